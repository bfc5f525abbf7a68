// SPDX-License-Identifier: MIT
using Iwpmd.Wire;

namespace Iwpmd.State;

/// <summary>
/// Where the row of a peer can be: in a set of rows, by its address. The row that was seen longest ago is replaced.
/// </summary>
internal static class PeerSet
{
    public const int Ways = 8;

    /// <summary>The first slot of the set.</summary>
    public static int First(StateLayout state, in InetEndpoint address)
    {
        ulong hash = (address.High ^ (address.Low * 0x9e3779b97f4a7c15)) * 0xff51afd7ed558ccd;
        return (int)((hash >> 33) % (ulong)(state.Peers.Length / Ways)) * Ways;
    }

    /// <summary>The slot that is replaced.</summary>
    public static int Oldest(StateLayout state, in InetEndpoint address)
    {
        int oldest = First(state, address);
        for (int other = oldest + 1, end = oldest + Ways; other < end; other++)
        {
            if (state.Peers[other].LastSeenAt < state.Peers[oldest].LastSeenAt)
            {
                oldest = other;
            }
        }
        return oldest;
    }
}

// SPDX-License-Identifier: MIT
using Iwpmd.Wire;

namespace Iwpmd.State;

/// <summary>
/// Why a query fell back, and what to do, in words; they are made where they are logged.
/// </summary>
/// <param name="Reason">The cause, or that of the time before.</param>
/// <param name="Source">Who says so; none, or the peer itself.</param>
internal readonly record struct FallbackReport(
    InetEndpoint Peer, FallbackCause Cause, FallbackCause Reason, InetEndpoint Source, TimeSpan Deadline)
{
    public override string ToString()
    {
        bool isOfPeer = Source.Family == IpFamily.None || Source.SameIp(Peer);
        string says = isOfPeer ? "" : $", says {Source.AddressText()}";
        string waited = Cause == FallbackCause.NoAnswer ? $" within {Deadline.TotalMilliseconds} ms" : "";
        string memory = Cause == FallbackCause.Remembered ? " (a moment before; it is not asked again yet)" : "";
        return $"{Peer.AddressText()} {FallbackWords.Describe(Reason)}{says}{waited}{memory}"
            + FallbackWords.AndRemedy(Reason);
    }
}

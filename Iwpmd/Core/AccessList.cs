// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;
using Iwpmd.Wire;

namespace Iwpmd.Core;

/// <summary>
/// Which hosts may ask us: those of <paramref name="Allowed"/>, or everybody when it is empty, but none of
/// <paramref name="Denied"/>.
/// </summary>
internal sealed record AccessList(InetNetwork[] Allowed, InetNetwork[] Denied)
{
    public static AccessList Everybody { get; } = new([], []);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool Contains(in InetEndpoint address) =>
        (Denied.Length == 0 || !Any(Denied, address)) && (Allowed.Length == 0 || Any(Allowed, address));

    private static bool Any(InetNetwork[] networks, in InetEndpoint address)
    {
        foreach (ref readonly InetNetwork network in networks.AsSpan())
        {
            if (network.Contains(address))
            {
                return true;
            }
        }
        return false;
    }
}

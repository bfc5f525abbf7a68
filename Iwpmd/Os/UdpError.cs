// SPDX-License-Identifier: MIT
using Iwpmd.Os.Interop;
using Iwpmd.Wire;

namespace Iwpmd.Os;

/// <summary>
/// What became of a datagram that we sent to <paramref name="To"/>; <paramref name="QuotedLength"/> bytes of its
/// payload are quoted.
/// </summary>
internal readonly record struct UdpError(
    InetEndpoint To, Errno Error, byte Origin, byte Type, byte Code, int QuotedLength)
{
    /// <summary>Who says so by ICMP.</summary>
    public InetEndpoint Source { get; init; }

    public bool IsV6 => Origin == Libc.SO_EE_ORIGIN_ICMP6;

    /// <summary>
    /// A host or router said by ICMP that it could not deliver. Too long for the path is another matter.
    /// </summary>
    public bool IsUnreachable => Origin switch
    {
        Libc.SO_EE_ORIGIN_ICMP => Type == Libc.ICMP_DEST_UNREACH && Code != Libc.ICMP_FRAG_NEEDED,
        Libc.SO_EE_ORIGIN_ICMP6 => Type == Libc.ICMPV6_DEST_UNREACH,
        _ => false,
    };
}

// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.Os;
using Iwpmd.State;
using Iwpmd.Wire;

namespace Iwpmd.Daemon;

/// <summary>
/// The fallback cause of an error of the host or of ICMP. The codes are those of RFC 792, 1812 and 4443.
/// </summary>
internal static class FallbackCauses
{
    public static FallbackCause Of(in UdpError error) => error.IsV6 ? OfV6(error.Code) : OfV4(error.Code);

    /// <summary>Of a send that failed; none when the error is not about the peer.</summary>
    public static FallbackCause Of(Errno error) =>
        // netfilter and cgroups; a route of type prohibit
        error is Errno.EPERM or Errno.EACCES ? FallbackCause.LocalRule
        : error == Errno.EHOSTUNREACH ? FallbackCause.HostUnreachable
        : error is Errno.ENETUNREACH or Errno.ENETDOWN or Errno.EADDRNOTAVAIL ? FallbackCause.NoRoute
        // a route of type blackhole
        : error is Errno.EAFNOSUPPORT or Errno.EINVAL ? FallbackCause.NoRoute
        : FallbackCause.None;

    private static FallbackCause OfV4(byte code) => code switch
    {
        0 or 6 or 11 => FallbackCause.NoRoute, // network: unreachable, unknown, not for this type of service
        1 or 7 or 12 => FallbackCause.HostUnreachable, // host: the same three
        9 or 10 or 13 or 14 or 15 => FallbackCause.Prohibited, // network, host, communication; precedence
        _ => FallbackCause.Unreachable,
    };

    private static FallbackCause OfV6(byte code) => code switch
    {
        0 or 2 => FallbackCause.NoRoute, // no route, beyond the scope of the source
        1 or 5 or 6 => FallbackCause.Prohibited, // administratively, by its policy for sources, by a route that rejects
        3 => FallbackCause.HostUnreachable,
        _ => FallbackCause.Unreachable,
    };
}

// SPDX-License-Identifier: MIT
using Iwpmd.Wire;

namespace Iwpmd.Core;

internal enum ClaimResult
{
    Claimed,

    /// <summary>Another program has the port.</summary>
    Taken,

    /// <summary>No port of the range is free.</summary>
    NoneFree,

    /// <summary>The limit of descriptors is reached.</summary>
    NoDescriptor,

    /// <summary>The host refused a socket: memory, no such family, or a port that needs a privilege.</summary>
    Failed,
}

/// <summary>All that the core asks of the host: TCP ports, claimed so that no other program can bind them.</summary>
internal interface ITcpPorts
{
    /// <summary>
    /// Claims a free port, never <paramref name="except"/>; <paramref name="port"/> is 0 unless the result is Claimed.
    /// </summary>
    ClaimResult TryClaimAny(IpFamily family, ushort except, out ushort port);

    ClaimResult TryClaim(IpFamily family, ushort port);

    /// <summary>
    /// Claims a port, for both families, that may be claimed so any number of times and is released as often. Ports of
    /// other programs, or of the calls above, are taken.
    /// </summary>
    ClaimResult TryClaimShared(ushort port);

    /// <summary>Releases a claimed port.</summary>
    void Release(ushort port);
}

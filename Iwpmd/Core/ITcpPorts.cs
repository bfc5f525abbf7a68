// SPDX-License-Identifier: MIT
using Iwpmd.Wire;

namespace Iwpmd.Core;

internal enum ClaimResult
{
    Claimed,

    /// <summary>Somebody else has the port.</summary>
    Taken,

    /// <summary>No port of the range is free.</summary>
    NoneFree,

    /// <summary>The limit of descriptors is reached.</summary>
    NoDescriptor,

    /// <summary>The host refused a socket: memory, no such family, or a port that needs a privilege.</summary>
    Failed,
}

/// <summary>The one thing the core asks of the world: TCP ports of the host, claimed so that no other program can have them.</summary>
internal interface ITcpPorts
{
    /// <summary>Claims a free port, never <paramref name="except"/>; <paramref name="port"/> is 0 unless the result is Claimed.</summary>
    ClaimResult TryClaimAny(IpFamily family, ushort except, out ushort port);

    ClaimResult TryClaim(IpFamily family, ushort port);

    /// <summary>
    /// Claims a port, for both families, that may be claimed so any number of times, and is given back as often. What
    /// other programs, or the calls above, have is taken.
    /// </summary>
    ClaimResult TryClaimShared(ushort port);

    /// <summary>Gives a claimed port back.</summary>
    void Release(ushort port);
}

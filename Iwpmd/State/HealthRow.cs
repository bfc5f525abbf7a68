// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;
using Iwpmd.Wire;

namespace Iwpmd.State;

/// <summary>
/// The health of the daemon, for readers of the state: 464 bytes, of which earlier versions know the first 64.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
internal struct HealthRow : IStateRow
{
    public uint Sequence, Checksum;
    public InetEndpoint LastFallbackPeer;
    public TimeSpan LastFallbackAt;
    public FallbackCause LastFallbackCause;
    public HandshakeState Kernel;
    public StateOrigin Origin;

    /// <summary>If the last cause is Remembered: why the host did not answer before.</summary>
    public FallbackCause RememberedCause;
    public uint Unprotected;

    /// <summary>Mappings of an earlier process, and how many of them have their port, or need none.</summary>
    public uint RestoredOf, Restored;

    /// <summary>The TCP ports that are mapped to, both ends included.</summary>
    public ushort LowestPort, HighestPort;

    /// <summary>
    /// 1 until the rows were compared with the devices' endpoints: the next process continues the audit.
    /// </summary>
    public uint IsAuditPending;

    /// <summary>How many ports from the lowest to the highest are reserved.</summary>
    public uint ReservedPorts;

    /// <summary>Faults of the configuration when it was last read.</summary>
    public uint ConfigurationFaults;

    /// <summary>When the configuration was last read.</summary>
    public TimeSpan ConfiguredAt;

    /// <summary>Losses, by cause.</summary>
    public LossRows Losses;
}

/// <summary>The origin of the daemon's state.</summary>
internal enum StateOrigin : byte
{
    Fresh = 0,

    /// <summary>Restored from the state file.</summary>
    Restored = 1,

    /// <summary>Taken over with the sockets: the kernel did not notice.</summary>
    TakenOver = 2,
}

/// <summary>The state of the handshake with the kernel.</summary>
internal enum HandshakeState : byte
{
    None,
    HelloSent,
    MapInfoSent,
    Ready,

    /// <summary>The kernel refuses every message: no iw_cm, or not the initial network namespace.</summary>
    Unusable,

    /// <summary>The kernel did not answer HELLO.</summary>
    Unanswered,
}

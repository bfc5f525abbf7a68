// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;

namespace Iwpmd.State;

/// <summary>How the daemon is, for whoever reads the state: 464 bytes, of which earlier versions know the first 64.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
internal struct HealthRow : IStateRow
{
    public uint Sequence, Checksum;
    public PackedEndpoint LastFallbackPeer;
    public long LastFallbackAt;
    public FallbackCause LastFallbackCause;
    public HandshakeState Kernel;
    public StateOrigin Origin;

    /// <summary>Where the last cause is that the host was not asked again: why it did not answer before.</summary>
    public FallbackCause RememberedCause;
    public uint Unprotected;

    /// <summary>Mappings that an earlier process left, and how many of their ports are held, or need none.</summary>
    public uint RestoredOf, Restored;

    /// <summary>The TCP ports that are mapped to, both ends included.</summary>
    public ushort LowestPort, HighestPort;

    /// <summary>1 while the rows must still be compared with the devices' endpoints: the next process goes on with that.</summary>
    public uint IsAuditPending;

    /// <summary>Of the ports from the lowest to the highest, those that are not chosen.</summary>
    public uint ReservedPorts;
    private readonly uint _unused3;

    /// <summary>When the configuration was read last.</summary>
    public long ConfiguredAt;

    /// <summary>What users lost through this host.</summary>
    public LossRows Losses;
}

/// <summary>How the daemon got its state.</summary>
internal enum StateOrigin : byte
{
    Fresh = 0,

    /// <summary>Read back from the state file.</summary>
    Restored = 1,

    /// <summary>And the sockets with it: the kernel noticed nothing.</summary>
    TakenOver = 2,
}

/// <summary>Where we stand with the kernel.</summary>
internal enum HandshakeState : byte
{
    None,
    HelloSent,
    MapInfoSent,
    Ready,

    /// <summary>The kernel refuses everything: no iw_cm, or not the initial network namespace.</summary>
    Unusable,

    /// <summary>The kernel did not say whether it took our hello.</summary>
    Unanswered,
}

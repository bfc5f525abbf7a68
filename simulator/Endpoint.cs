// SPDX-License-Identifier: MIT
using Iwpmd.Wire;

namespace Iwpmd.Simulation;

internal enum EndpointState
{
    /// <summary>The kernel still asks.</summary>
    Asking,
    Up,
    Ended,
}

/// <summary>A connection endpoint of a host's kernel: a listener, or the active side of a connection.</summary>
internal sealed class Endpoint(InetEndpoint local, InetEndpoint remote, bool noPortMap, int device)
{
    public InetEndpoint Local { get; } = local;

    /// <summary>Family None: it listens.</summary>
    public InetEndpoint Remote { get; } = remote;

    public bool IsListening => Remote.Family == IpFamily.None;

    public bool NoPortMap => noPortMap;

    public int Device => device;

    public EndpointState State { get; set; }

    /// <summary>The program has ended it; the kernel asks still.</summary>
    public bool IsUnwanted { get; set; }

    /// <summary>An ADD or QUERY was sent for it.</summary>
    public bool IsAsked { get; set; }

    /// <summary>The peer's port mapper said that nobody listens there.</summary>
    public bool IsRejected { get; set; }

    /// <summary>The ABI version of the kernel when it asked.</summary>
    public ushort AskedAbi { get; set; }

    /// <summary>Nobody answered.</summary>
    public bool IsUnanswered { get; set; }

    /// <summary>What the kernel uses.</summary>
    public InetEndpoint MappedLocal { get; set; } = local;

    public InetEndpoint MappedRemote { get; set; } = remote;

    /// <summary>The kernel names it in a replay.</summary>
    public bool IsRecorded { get; set; }

    public uint RecordedFlags { get; set; }

    public TimeSpan AskedAt { get; set; }

    public TimeSpan UpAt { get; set; }

    public bool IsMapped => State == EndpointState.Up && MappedLocal.Port != Local.Port;
}

// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.Os;
using Iwpmd.State;
using Microsoft.Extensions.Logging;

namespace Iwpmd.Daemon;

/// <summary>
/// Which TCP ports are chosen: those of the configuration, else the host's current range. The host is asked at the
/// loop's tick, so that no mapping costs more, and a change takes effect within two seconds.
/// </summary>
internal sealed class PortPolicy(PortRange? configured, PortSettings host, ILogger log)
{
    private PortRange? _configured = configured;
    private TimeSpan _lookAt;

    public PortRange Range => _configured ?? host.Range;

    private RangeOwner Owner => _configured is null ? RangeOwner.Host : RangeOwner.Configuration;

    public TcpPorts Open(PortSet kept) => new(Range, Owner, host.Reserved, Entropy.Random64(), log) { Kept = kept };

    /// <summary>Changes to another range, or to the host's.</summary>
    public void Configure(PortRange? range, TcpPorts ports, StateLayout state)
    {
        _configured = range;
        ports.Choose(Range, Owner, host.Reserved);
        Record(ports, state);
    }

    /// <summary>At every wake-up of the loop.</summary>
    public void Follow(TcpPorts ports, StateLayout state, TimeSpan now)
    {
        if (now < _lookAt)
        {
            return;
        }
        _lookAt = now + EventLoop.Tick;
        if (host.HasChanged())
        {
            ports.Choose(Range, Owner, host.Reserved);
            Record(ports, state);
            Log.PortsChanged(log, Range.Low, Range.High, ports.Reserved);
        }
    }

    /// <summary>Writes the range to the state for its readers.</summary>
    public void Record(TcpPorts ports, StateLayout state)
    {
        using var health = new RowChange<HealthRow>(ref state.Health);
        (health.Row.LowestPort, health.Row.HighestPort) = (Range.Low, Range.High);
        health.Row.ReservedPorts = Owner == RangeOwner.Host ? (uint)ports.Reserved : 0;
    }
}

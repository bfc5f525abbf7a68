// SPDX-License-Identifier: MIT
using Iwpmd.State;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;

namespace Iwpmd.Core;

/// <summary>How the core behaves; from the configuration.</summary>
internal sealed record PortMapperSettings
{
    public TimeSpan QueryDeadline { get; init; } = TimeSpan.FromMilliseconds(3000);

    public TimeSpan QueryRetry { get; init; } = TimeSpan.FromMilliseconds(500);

    public TimeSpan UnreachableMemory { get; init; } = TimeSpan.FromMilliseconds(5000);

    /// <summary>A listener on one of these is mapped to the same number, if that is free.</summary>
    public PortSet KeptPorts { get; init; } = PortSet.None;

    public AnswerSource AnswersFrom { get; init; } = AnswerSource.Any;

    public AdmissionSettings Admission { get; init; } = new();

    /// <summary>How many mappings the kernel of this host can name.</summary>
    public int MostReplayed { get; init; } = KernelProtocol.MostReplayed(4096);
}

/// <summary>From which source address an answer to a query is taken.</summary>
internal enum AnswerSource
{
    Any,

    /// <summary>The one that was asked.</summary>
    Asked,
}

/// <summary>Where a peer's datagram came from, to which of our addresses, and by which interface.</summary>
internal readonly record struct PeerArrival(InetEndpoint From, InetEndpoint To, uint Interface);

/// <summary>
/// Decides: the owner of all state. Requests, messages and the time go in by Handle and Expire; what is to be sent comes out of the <see cref="Outbox"/>.
/// It knows no descriptors, clocks or bytes. Times are CLOCK_BOOTTIME; <c>notBefore</c> is the earliest moment at which a request can have been sent.
/// </summary>
internal sealed partial class PortMapper
{
    /// <summary>UDP port of port mappers.</summary>
    public const ushort Port = 3935;

    /// <summary>Differs: the kernel waits 10 s for an answer and may crash on a later one, so none is sent that may be late.</summary>
    public static readonly TimeSpan AnswerWithin = TimeSpan.FromSeconds(9.5);

    private static readonly TimeSpan UnprotectedRetry = TimeSpan.FromSeconds(2);

    private readonly StateLayout _state;
    private readonly ITcpPorts _ports;
    private PortMapperSettings _settings;
    private readonly Func<ulong> _random;
    private readonly ILogger _log;
    private readonly MappingTable _mappings;
    private readonly Conversations _conversations;
    private readonly PeerTable _peers;
    private int _unprotected;
    private TimeSpan _retryUnprotectedAt;
    private LogGate _protectedGate = new(TimeSpan.FromSeconds(10), burst: 100);
    private LogGate _unprotectedGate = new(TimeSpan.FromSeconds(10), burst: 100);

    /// <param name="state">Formatted; what it holds is kept.</param>
    /// <param name="random">64 random bits a call.</param>
    public PortMapper(StateLayout state, ITcpPorts ports, PortMapperSettings settings, Func<ulong> random, ILogger log)
    {
        (_state, _ports, _settings, _random, _log) = (state, ports, settings, random, log);
        StateRow.DropUnsound(new Span<HealthRow>(ref state.Health));
        StateRow.DropUnsound(state.Clients);
        StateRow.DropUnsound(state.Peers);
        _mappings = new MappingTable(state);
        _conversations = new Conversations(state, random());
        Admission = new Admission(settings.Admission, random());
        _peers = new PeerTable(state);
        _replayed = new int[_mappings.Capacity];
    }

    public Outbox Outbox { get; } = new();

    public MappingTable Mappings => _mappings;

    public Conversations Conversations => _conversations;

    public Admission Admission { get; }

    /// <summary>When Expire has something to do; MaxValue when nothing waits.</summary>
    public TimeSpan NextDeadline
    {
        get
        {
            TimeSpan next = _conversations.NextDue;
            if (_registrations.Count > 0 && _registrations.Peek().Due < next)
            {
                next = _registrations.Peek().Due;
            }
            next = _censusAt < next ? _censusAt : next;
            next = _reportRefusalsAt < next ? _reportRefusalsAt : next;
            return _unprotected > 0 && _retryUnprotectedAt < next ? _retryUnprotectedAt : next;
        }
    }

    /// <summary>Does what is due; calling it early or often is harmless.</summary>
    public void Expire(TimeSpan now)
    {
        SayHelloAgain(now);
        AnswerRegistrations(now);
        for (int slot = _conversations.PeekDue(now); slot >= 0; slot = _conversations.PeekDue(now))
        {
            OnConversationDue(slot, now);
        }
        if (_unprotected > 0 && now >= _retryUnprotectedAt)
        {
            RetryUnprotected(now);
        }
        ReportRefusals(now);
    }

    /// <summary>Claims the ports of the rows that an earlier process left in the state.</summary>
    public void Restore(TimeSpan now)
    {
        int held = 0, unbound = 0;
        // Not from 0: a socket that was taken over may hold outcomes of the earlier process.
        _nextSequence = (uint)(now.Ticks >> 10);
        if (_mappings.Dropped > 0)
        {
            Log.StateRowsDropped(_log, _mappings.Dropped);
        }
        for (int slot = 0; slot < _mappings.Touched; slot++)
        {
            ref readonly MappingRow row = ref _mappings[slot];
            switch (row.State)
            {
                case MappingState.Held or MappingState.Unprotected when TryClaim(slot, row.MappedPort, now):
                    SetState(slot, MappingState.Held);
                    held++;
                    break;
                case MappingState.Held or MappingState.Unprotected:
                    SetUnprotected(slot, now);
                    break;
                case MappingState.Advertised or MappingState.Fallback:
                    unbound++;
                    break;
            }
        }
        using (var change = new RowChange<HealthRow>(ref _state.Health))
        {
            (change.Row.RestoredOf, change.Row.Restored, change.Row.Unprotected) = ((uint)_mappings.Count, (uint)(held + unbound), (uint)_unprotected);
        }
        if (_mappings.Count > 0)
        {
            Log.MappingsRestored(_log, held, _unprotected, unbound);
        }
    }

    /// <summary>Other settings from now on; what was begun under the old ones ends as it was begun.</summary>
    public void Apply(PortMapperSettings settings)
    {
        _settings = settings with { MostReplayed = _settings.MostReplayed };
        Admission.Apply(settings.Admission);
    }

    /// <summary>Writes the table to the log.</summary>
    public void DumpMappings()
    {
        Log.MappingsCounted(_log, _mappings.Count);
        for (int slot = 0, number = 0; slot < _mappings.Touched; slot++)
        {
            ref readonly MappingRow row = ref _mappings[slot];
            if (row.IsUsed)
            {
                Log.MappingDumped(_log, number++, row.Local, row.Mapped, row.Client, row.References, row.Flags, row.State);
            }
        }
    }

    private void Count(Counter counter) => _state.Counters[(int)counter]++;

    /// <summary>A user lost something: health tells of it for a while.</summary>
    private void Lose(LossCause cause, TimeSpan now, ulong count = 1)
    {
        using var health = new RowChange<HealthRow>(ref _state.Health);
        health.Row.Losses[(int)cause].Add(count, now);
    }

    /// <summary>Claims the port that the kernel uses for a row.</summary>
    private bool TryClaim(int slot, ushort port, TimeSpan now)
    {
        ClaimResult result = ClaimAgain(slot, port);
        if (result is not (ClaimResult.Claimed or ClaimResult.Taken)) // of one that is taken the row itself tells
        {
            Lose(LossCause.NotProtected, now);
        }
        return result == ClaimResult.Claimed;
    }

    private void SetState(int slot, MappingState state)
    {
        using var change = _mappings.Change(slot);
        change.Row.State = state;
    }

    /// <summary>The row's port is in the kernel's use and not ours: keep it in sight and try again.</summary>
    private void SetUnprotected(int slot, TimeSpan now)
    {
        SetState(slot, MappingState.Unprotected);
        if (_unprotected == 0)
        {
            _retryUnprotectedAt = now + UnprotectedRetry;
        }
        CountUnprotected(+1);
        ref readonly MappingRow row = ref _mappings[slot];
        if (_unprotectedGate.TryPass(now, out string suppressed))
        {
            Log.MappingUnprotected(_log, row.Local, row.Mapped, row.MappedPort, suppressed);
        }
    }

    private void CountUnprotected(int change)
    {
        _unprotected += change;
        using var health = new RowChange<HealthRow>(ref _state.Health);
        health.Row.Unprotected = (uint)_unprotected;
    }

    private void RetryUnprotected(TimeSpan now)
    {
        _retryUnprotectedAt = now + UnprotectedRetry;
        for (int slot = 0; slot < _mappings.Touched && _unprotected > 0; slot++)
        {
            ref readonly MappingRow row = ref _mappings[slot];
            if (row.State == MappingState.Unprotected && TryClaim(slot, row.MappedPort, now))
            {
                SetState(slot, MappingState.Held);
                CountUnprotected(-1);
                if (_protectedGate.TryPass(now, out string suppressed))
                {
                    Log.MappingProtected(_log, row.Local, row.Mapped, suppressed);
                }
            }
        }
    }

    /// <summary>The port of a row goes back to the host; the row stays.</summary>
    private void ReleasePort(int slot)
    {
        ref readonly MappingRow row = ref _mappings[slot];
        if (row.State == MappingState.Held)
        {
            _ports.Release(row.MappedPort);
        }
        else if (row.State == MappingState.Unprotected)
        {
            CountUnprotected(-1);
        }
    }

    private void RemoveMapping(int slot)
    {
        Log.MappingRemoved(_log, _mappings[slot].Local, _mappings[slot].Mapped);
        ReleasePort(slot);
        _mappings.Remove(slot);
    }

    /// <summary>Differs: when the kernel goes on unmapped the port is given back at once, unless another reference uses it; the row waits for its REMOVEs.</summary>
    private void FallBack(int slot)
    {
        if (_mappings[slot].References > 1 || _mappings[slot].State == MappingState.Fallback || _mappings[slot].IsKept)
        {
            return;
        }
        ReleasePort(slot);
        using var change = _mappings.Change(slot);
        change.Row.State = MappingState.Fallback;
        change.Row.MappedPort = change.Row.Local.Port;
    }
}

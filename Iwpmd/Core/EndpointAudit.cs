// SPDX-License-Identifier: MIT
using Iwpmd.State;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;

namespace Iwpmd.Core;

/// <summary>How a connection endpoint of the host is used.</summary>
internal enum EndpointUse : byte
{
    Other,
    Listening,
}

/// <summary>
/// The audit: after messages of the kernel may have been lost (no daemon ran, or the buffer overflowed) the rows are
/// compared with the endpoints that the host's iWARP devices have open. One count is not enough, since a REMOVE may be
/// under way: a row is changed when two counts, <see cref="Mappings.RecordingTime"/> apart, are equal and no message
/// about it came in between.
/// </summary>
internal sealed class EndpointAudit(StateLayout state, Mappings mappings, TimerTable timers, ILogger log)
{
    private const int MaxTries = 30;

    /// <summary>Times of one turn of the loop differ by less: what is done at once counts as done before.</summary>
    private static readonly TimeSpan TurnOfLoop = TimeSpan.FromMilliseconds(100);

    private int[] _counted = [], _countedBefore = []; // by slot: its endpoints in this audit and the last
    private TimeSpan _lastAt, _begunAt;
    private TimeSpan _suspectBefore; // older rows may have missed a REMOVE
    private int _tries;
    private bool _mayLackAdds;

    /// <summary>
    /// An audit is due: <see cref="Begin"/>, <see cref="Count"/> of each endpoint, <see cref="End"/>.
    /// </summary>
    public bool IsDue(TimeSpan now) => timers.IsDue(Timer.Audit, now);

    /// <summary>
    /// As <see cref="Schedule"/>, when a process may have lost ADDs that it had read: the kernel still waits for their
    /// answers, and an ADD of the same listener for another device may come.
    /// </summary>
    public void ScheduleAfterCrash(TimeSpan now)
    {
        _mayLackAdds = true;
        Schedule(now);
        mappings.MayLackAddsBefore = now + Mappings.RecordingTime;
    }

    /// <summary>Messages may have been lost until now: every row is suspect.</summary>
    public void Schedule(TimeSpan now)
    {
        _suspectBefore = now + TurnOfLoop;
        if (_mayLackAdds)
        {
            mappings.MayLackAddsBefore = Times.Later(mappings.MayLackAddsBefore, _suspectBefore);
        }
        timers.Set(Timer.Audit, now + Mappings.RecordingTime); // by then the kernel has recorded the latest requests
        _lastAt = TimeSpan.Zero;
        _tries = 0;
        SetAuditPending(1);
    }

    /// <summary>Requests may be served during an audit: rows that they change wait for the next one.</summary>
    public void Begin(TimeSpan now)
    {
        _begunAt = now;
        timers.Stop(Timer.Audit);
        (_counted, _countedBefore) = (_countedBefore, _counted);
        if (_counted.Length == 0)
        {
            _counted = new int[mappings.Capacity];
        }
        _counted.AsSpan().Clear();
    }

    public void Count(in InetEndpoint local, EndpointUse use)
    {
        int slot = mappings.FindExactLocal(local);
        // Connections that a listener accepted have its address, but no mapping: they are not counted for its row.
        if (slot >= 0 && (mappings[slot].Purpose != MappingPurpose.Listening || use == EndpointUse.Listening))
        {
            _counted[slot]++;
        }
    }

    /// <param name="whyIncomplete">Null when every endpoint of the host was counted.</param>
    public void End(string? whyIncomplete, TimeSpan now)
    {
        if (timers.IsSet(Timer.Audit))
        {
            return; // messages were lost meanwhile: another audit is scheduled
        }
        timers.Set(Timer.Audit, now + Mappings.RecordingTime);
        if (whyIncomplete is not null)
        {
            OnIncomplete(whyIncomplete);
            return;
        }
        bool isDone = true;
        int changed = 0;
        for (int slot = 0; slot < mappings.HighWater; slot++)
        {
            ref readonly MappingRow row = ref mappings[slot];
            if (!row.IsUsed || (row.References > 0 && IsAsCounted(slot)))
            {
                continue;
            }
            // by two counts: zero is no earlier one
            if (row.LastChangedAt >= _lastAt || _countedBefore[slot] != _counted[slot])
            {
                isDone = false;
                continue;
            }
            changed++;
            if (_counted[slot] > 0 && !row.Local.IsWildcard && !timers.IsSet(Timer.Hello))
            {
                // Differs: who is left may have been refused: the replay says whose the port is
                timers.Set(Timer.Hello, now);
            }
            mappings.SetReferences(slot, _counted[slot]);
        }
        _lastAt = _begunAt;
        if (changed > 0)
        {
            Log.MappingsReconciled(log, changed);
        }
        if (isDone)
        {
            (_counted, _countedBefore) = ([], []);
            Finish();
        }
    }

    private bool IsAsCounted(int slot)
    {
        ref readonly MappingRow row = ref mappings[slot];
        TimeSpan suspectBefore =
            row.Local.IsWildcard ? Times.Later(_suspectBefore, mappings.MayLackAddsBefore) : _suspectBefore;
        return row.CreatedAt >= suspectBefore || _counted[slot] == row.References
            || (_counted[slot] > row.References && row.Purpose == MappingPurpose.Unknown && !row.Local.IsWildcard);
    }

    private void OnIncomplete(string why)
    {
        _lastAt = TimeSpan.Zero;
        if (++_tries == MaxTries)
        {
            Log.ReconciliationNotPossible(log, why);
            mappings.RemoveUnreferenced();
            Finish();
        }
    }

    private void Finish()
    {
        timers.Stop(Timer.Audit);
        _mayLackAdds = false;
        mappings.MayLackAddsBefore = TimeSpan.Zero;
        SetAuditPending(0);
    }

    private void SetAuditPending(uint value)
    {
        using var change = new RowChange<HealthRow>(ref state.Health);
        change.Row.IsAuditPending = value;
    }
}

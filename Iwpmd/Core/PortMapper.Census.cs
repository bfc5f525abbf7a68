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
/// The census: after messages of the kernel may have been lost (nobody read, or the buffer overflowed) the rows are compared with the endpoints that the host's
/// iWARP devices really have open. One look proves nothing, since a REMOVE may be on its way: a row is changed when two looks, <see cref="SettledAge"/> apart,
/// say the same and nothing was said about it in between.
/// </summary>
internal sealed partial class PortMapper
{
    private const int CensusTries = 30;

    private int[] _counted = [], _countedBefore = []; // by slot: its endpoints in this census and the last
    private TimeSpan _censusAt = TimeSpan.MaxValue, _lastCensusAt, _censusBegunAt;
    private long _doubtedBefore; // rows that are older may have missed a REMOVE
    private int _censusTries;

    /// <summary>A census shall be taken now: <see cref="BeginCensus"/>, <see cref="CountEndpoint"/> of each endpoint, <see cref="EndCensus"/>.</summary>
    public bool WantsCensus(TimeSpan now) => now >= _censusAt;

    /// <summary>Requests may be served while it is taken: rows that they touch wait for the next one.</summary>
    public void BeginCensus(TimeSpan now)
    {
        _censusBegunAt = now;
        _censusAt = TimeSpan.MaxValue;
        (_counted, _countedBefore) = (_countedBefore, _counted);
        if (_counted.Length == 0)
        {
            _counted = new int[_mappings.Capacity];
        }
        _counted.AsSpan().Clear();
    }

    public void CountEndpoint(in InetEndpoint local, EndpointUse use)
    {
        int slot = _censusAt == TimeSpan.MaxValue ? _mappings.FindExactLocal(local) : -1;
        // Of a listener's row the connections that it accepted are none of its own: they have its address, but no mapping.
        if (slot >= 0 && (_mappings[slot].Purpose != MappingPurpose.Listening || use == EndpointUse.Listening))
        {
            _counted[slot]++;
        }
    }

    /// <param name="whyIncomplete">Null when every endpoint of the host was counted.</param>
    public void EndCensus(string? whyIncomplete, TimeSpan now)
    {
        if (_censusAt != TimeSpan.MaxValue)
        {
            return; // messages were lost meanwhile: another one begins later
        }
        _censusAt = now + SettledAge;
        if (whyIncomplete is not null)
        {
            OnCensusIncomplete(whyIncomplete);
            return;
        }
        int doubted = 0, changed = 0;
        for (int slot = 0; slot < _mappings.Touched; slot++)
        {
            ref readonly MappingRow row = ref _mappings[slot];
            if (!row.IsUsed || row.CreatedAt >= _doubtedBefore || _counted[slot] == row.References || (_counted[slot] > 0 && row.Purpose == MappingPurpose.Unknown))
            {
                continue;
            }
            bool isSettled = _lastCensusAt > TimeSpan.Zero && row.TouchedAt < _lastCensusAt.Ticks && _countedBefore[slot] == _counted[slot];
            if (!isSettled)
            {
                doubted++;
                continue;
            }
            changed++;
            SetReferences(slot, _counted[slot]);
        }
        _lastCensusAt = _censusBegunAt;
        if (changed > 0)
        {
            Log.CensusSettled(_log, changed);
        }
        if (doubted == 0)
        {
            _censusAt = TimeSpan.MaxValue;
            (_counted, _countedBefore) = ([], []);
            SetDoubted(0);
        }
    }

    private void OnCensusIncomplete(string why)
    {
        _lastCensusAt = TimeSpan.Zero;
        Array.Clear(_countedBefore);
        if (++_censusTries == CensusTries)
        {
            Log.CensusGivenUp(_log, why);
            _censusAt = TimeSpan.MaxValue;
            SetDoubted(0);
        }
    }

    /// <summary>Messages may have been lost until now: every row is doubted.</summary>
    private void Doubt(TimeSpan now)
    {
        _doubtedBefore = now.Ticks;
        _censusAt = now + SettledAge; // what the kernel does with a request of a moment ago is over by then
        _lastCensusAt = TimeSpan.Zero;
        _censusTries = 0;
        SetDoubted(1);
    }

    private void SetDoubted(uint value)
    {
        using var change = new RowChange<HealthRow>(ref _state.Health);
        change.Row.IsDoubted = value;
    }

    private void SetReferences(int slot, int references)
    {
        if (references == 0)
        {
            RemoveMapping(slot);
            return;
        }
        using var change = _mappings.Change(slot);
        change.Row.References = references;
    }
}

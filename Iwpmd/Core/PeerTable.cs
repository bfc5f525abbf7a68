// SPDX-License-Identifier: MIT
using Iwpmd.State;
using Iwpmd.Wire;

namespace Iwpmd.Core;

/// <summary>
/// The hosts whose port mappers were asked: rows in the state, set-associative by address; the one that was seen
/// longest ago is replaced. Until <see cref="PeerRow.UnreachableUntil"/> a host counts as one without a port mapper.
/// </summary>
internal sealed class PeerTable
{
    private readonly StateLayout _state;
    private TimeSpan _unreachableUntil; // of the row that is so the longest: as a rule there is none

    public PeerTable(StateLayout state)
    {
        _state = state;
        foreach (ref readonly PeerRow row in state.IsNew ? [] : state.Peers)
        {
            _unreachableUntil = Times.Later(_unreachableUntil, row.UnreachableUntil);
        }
    }

    public RowChange<PeerRow> Change(int slot) => new(ref _state.Peers[slot]);

    /// <summary>True while the host is remembered as one that does not answer.</summary>
    public bool IsUnreachable(in InetEndpoint address, TimeSpan now) =>
        now < _unreachableUntil && Find(address) is >= 0 and int slot && _state.Peers[slot].UnreachableUntil > now;

    /// <summary>Why the host did not answer the last time.</summary>
    public FallbackCause LastCause(in InetEndpoint address)
    {
        int slot = Find(address);
        return slot < 0 ? FallbackCause.None : _state.Peers[slot].LastCause;
    }

    /// <summary>The reason of a missing answer came after the deadline.</summary>
    public void Correct(in InetEndpoint address, FallbackCause cause)
    {
        int slot = Find(address);
        if (slot >= 0 && _state.Peers[slot].LastCause == FallbackCause.NoAnswer)
        {
            using var change = Change(slot);
            change.Row.LastCause = cause;
        }
    }

    /// <summary>The row of this host, or -1.</summary>
    public int Find(in InetEndpoint address)
    {
        int first = PeerSet.First(_state, address);
        for (int slot = first; slot < first + PeerSet.Ways; slot++)
        {
            if (address.SameAddress(_state.Peers[slot].Address))
            {
                return slot;
            }
        }
        return -1;
    }

    /// <summary>The row of this host, a new one if need be.</summary>
    public int FindOrAdd(in InetEndpoint address, TimeSpan now)
    {
        int slot = Find(address);
        if (slot >= 0)
        {
            return slot;
        }
        int oldest = PeerSet.Oldest(_state, address);
        using (var change = Change(oldest))
        {
            change.Row =
                new PeerRow { Sequence = change.Row.Sequence, Address = address.WithPort(0), LastSeenAt = now };
        }
        return oldest;
    }

    /// <summary>The host answered after <paramref name="roundTrip"/>.</summary>
    public void Answered(in InetEndpoint address, PeerMessageType answer, TimeSpan roundTrip, TimeSpan now)
    {
        uint microseconds = (uint)Math.Clamp(roundTrip.TotalMicroseconds, 0, uint.MaxValue);
        using var change = Change(FindOrAdd(address, now));
        ref PeerRow row = ref change.Row;
        row.LastSeenAt = now;
        row.UnreachableUntil = TimeSpan.Zero;
        row.LastCause = FallbackCause.None;
        row.Accepts += answer == PeerMessageType.Accept ? 1u : 0;
        row.Rejects += answer == PeerMessageType.Reject ? 1u : 0;
        row.RoundTrips[(int)(row.RoundTripCount++ % PeerRow.RoundTripSamples.Length)] = microseconds;
        row.RoundTripWorst = Math.Max(row.RoundTripWorst, microseconds);
    }

    /// <summary>
    /// The host has no port mapper, or does not answer: it is not asked again until <paramref name="until"/>.
    /// </summary>
    public void Missed(in InetEndpoint address, FallbackCause cause, TimeSpan until, TimeSpan now)
    {
        using var change = Change(FindOrAdd(address, now));
        ref PeerRow row = ref change.Row;
        row.LastSeenAt = now;
        row.UnreachableUntil = until;
        _unreachableUntil = Times.Later(_unreachableUntil, until);
        row.LastCause = cause;
        bool isTimeout = cause is FallbackCause.NoAnswer or FallbackCause.AnswerDropped;
        row.Timeouts += isTimeout ? 1u : 0;
        row.Unreachables += isTimeout ? 0u : 1;
    }

    /// <summary>The host sent a Request, so its port mapper runs.</summary>
    public void Heard(in InetEndpoint address, TimeSpan now)
    {
        if (IsUnreachable(address, now))
        {
            int slot = Find(address);
            using var change = Change(slot);
            change.Row.UnreachableUntil = TimeSpan.Zero;
        }
    }
}

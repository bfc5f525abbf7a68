// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;
using Iwpmd.State;
using Iwpmd.Wire;

namespace Iwpmd.Core;

/// <summary>
/// The mappings: rows in the state, slots chained by local port, a free list, reference counts. It does not know what a
/// row means to the kernel or a peer. A slot is the index of a row; -1 is none.
/// </summary>
internal sealed class MappingTable
{
    private readonly StateLayout _state;
    // slot + 1 of the newest row with this local port, 0 is none
    private readonly int[] _heads = new int[ushort.MaxValue + 1];
    private readonly int[] _next;                                 // slot + 1 of the next row with the same port
    private readonly SlotPool _free;

    /// <summary>
    /// Rebuilds the chains from the state, whose health row is sound; unsound rows are emptied and counted in
    /// <see cref="Dropped"/>, and no session with the kernel is resumed then.
    /// </summary>
    public MappingTable(StateLayout state)
    {
        _state = state;
        _next = new int[state.Mappings.Length];
        _free = new SlotPool(_next.Length);
        int used = 0; // counted, since the header's number is not protected by a checksum
        while (used < _next.Length && !StateRow.IsNeverWritten(ref state.Mappings[used]))
        {
            used++;
        }
        state.Header.MappingsHighWater = used;
        for (int slot = used - 1; slot >= 0; slot--)
        {
            ref MappingRow row = ref state.Mappings[slot];
            if (!StateRow.IsSound(ref row))
            {
                if (Dropped++ == 0)
                {
                    // Only the kernel knows whether its port is in use: it is asked, also if this process ends here.
                    using var health = new RowChange<HealthRow>(ref state.Health);
                    health.Row.Kernel = HandshakeState.None;
                }
                using var change = Change(slot);
                // Its conversations must not take the next row here for theirs.
                Empty(change);
            }
            if (row.IsUsed)
            {
                Chain(slot, row.Local.Port);
                Count++;
            }
            else
            {
                _free.Free(slot);
            }
        }
    }

    public int Count { get; private set; }

    /// <summary>Rows whose checksum was wrong when the table was made.</summary>
    public int Dropped { get; private set; }

    public int Capacity => _next.Length;

    /// <summary>Slots from this one on were never used.</summary>
    public int HighWater => (int)_state.Header.MappingsHighWater;

    public ref readonly MappingRow this[int slot] => ref _state.Mappings[slot];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public RowChange<MappingRow> Change(int slot) => new(ref _state.Mappings[slot]);

    /// <summary>Adds a row with one reference; -1 when the table is full.</summary>
    public int Add(in MappingRow values, TimeSpan now)
    {
        int slot = _free.Take(ref _state.Header.MappingsHighWater);
        if (slot < 0)
        {
            return -1;
        }
        using (var change = Change(slot))
        {
            uint generation = change.Row.Generation;
            change.Replace(values);
            change.Row.Generation = generation + 1;
            change.Row.References = 1;
            change.Row.CreatedAt = now;
            change.Row.LastChangedAt = now;
        }
        Chain(slot, values.Local.Port);
        Count++;
        return slot;
    }

    public void Remove(int slot)
    {
        ref MappingRow row = ref _state.Mappings[slot];
        Unchain(slot, row.Local.Port);
        using (var change = Change(slot))
        {
            Empty(change);
        }
        _free.Free(slot);
        Count--;
    }

    /// <summary>The row of exactly this address and port.</summary>
    public int FindExactLocal(in InetEndpoint local)
    {
        for (int slot = _heads[local.Port] - 1; slot >= 0; slot = _next[slot] - 1)
        {
            if (_state.Mappings[slot].Local == local)
            {
                return slot;
            }
        }
        return -1;
    }

    /// <summary>
    /// The mapping that answers for this address: the exact one, else one of the same port and family where either side
    /// is the wildcard. Rows in fallback map nothing and are passed over. Differs: C iwpmd also matches across
    /// families.
    /// </summary>
    public int FindByLocal(in InetEndpoint local)
    {
        int overlapping = -1;
        for (int slot = _heads[local.Port] - 1; slot >= 0; slot = _next[slot] - 1)
        {
            ref readonly MappingRow row = ref _state.Mappings[slot];
            InetEndpoint candidate = row.Local;
            if (candidate.Family != local.Family || row.State == MappingState.Fallback)
            {
                continue;
            }
            if (candidate == local)
            {
                return slot;
            }
            if (candidate.IsWildcard || local.IsWildcard)
            {
                overlapping = slot;
            }
        }
        return overlapping;
    }

    /// <summary>All but the number of those that used the row.</summary>
    private static void Empty(RowChange<MappingRow> change)
    {
        uint generation = change.Row.Generation;
        change.Clear();
        change.Row.Generation = generation;
    }

    private void Chain(int slot, ushort port)
    {
        _next[slot] = _heads[port];
        _heads[port] = slot + 1;
    }

    private void Unchain(int slot, ushort port)
    {
        ref int link = ref _heads[port];
        while (link != slot + 1)
        {
            link = ref _next[link - 1];
        }
        link = _next[slot];
    }
}

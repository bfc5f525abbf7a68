// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;
using Iwpmd.State;
using Iwpmd.Wire;

namespace Iwpmd.Core;

/// <summary>
/// Queries and accepts in flight, and complete ones that still answer copies: rows in the state, found by handle, each
/// with one absolute due time. Bounded: each role has half of the rows, so that peers cannot displace the kernel's
/// queries. When all are in use a complete query is evicted, or the oldest accept, whose peer can ask again. It does
/// not know what is sent.
/// </summary>
internal sealed class Conversations
{
    /// <summary>Copies of messages are answered for as long as a C daemon sends them.</summary>
    public static readonly TimeSpan Lifetime = TimeSpan.FromSeconds(10);

    private readonly StateLayout _state;
    private readonly int[] _heads; // by hash of the handle: slot + 1, 0 is none
    private readonly int[] _next;  // slot + 1 of the next row of the chain
    private readonly int[] _newer; // among those that can be evicted: slot + 1 of the next younger
    private readonly int[] _older;
    private readonly DeadlineQueue _due;
    private readonly SlotPool _free;
    private readonly Role[] _roles = new Role[(int)ConversationRole.Accepting + 1];
    private readonly int _limit;
    private readonly ulong _secret;
    private readonly uint _checksumOfZeros;

    /// <summary>How many rows a role has, and those that can be evicted, in order: slot + 1, 0 is none.</summary>
    private struct Role
    {
        public int Count, Oldest, Newest;
    }

    public Conversations(StateLayout state, ulong secret)
    {
        (_state, _secret) = (state, secret);
        ConversationRow zeros = default;
        _checksumOfZeros = StateRow.Checksum(ref zeros);
        int capacity = state.Conversations.Length;
        _heads = new int[(int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)capacity)];
        _next = new int[capacity];
        _newer = new int[capacity];
        _older = new int[capacity];
        _limit = capacity / 2;
        _due = new DeadlineQueue(capacity);
        _free = new SlotPool(capacity);
        Restore();
    }

    public int Count => _due.Count;

    public TimeSpan NextDue => _due.Next;

    public ref readonly ConversationRow this[int slot] => ref _state.Conversations[slot];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public RowChange<ConversationRow> Change(int slot) => new(ref _state.Conversations[slot]);

    /// <summary>
    /// An empty row, to be filled in and opened at once; -1 when every row is in use by a query that waits for its
    /// answer.
    /// </summary>
    public int Take(ConversationRole role)
    {
        ref Role rows = ref _roles[(int)role];
        if (rows.Count == _limit && rows.Oldest != 0)
        {
            Close(rows.Oldest - 1);
        }
        return rows.Count == _limit ? -1 : _free.Take(ref _state.Header.ConversationsHighWater);
    }

    /// <summary>The conversation of this row, which has role and handle, is due at <paramref name="due"/>.</summary>
    public void Open(int slot, TimeSpan due)
    {
        ref readonly ConversationRow row = ref this[slot];
        _roles[(int)row.Role].Count++;
        ref int head = ref _heads[Hash(row.Handle)];
        _next[slot] = head;
        head = slot + 1;
        _due.Set(slot, due);
        if (row.Role == ConversationRole.Accepting || row.IsComplete)
        {
            AllowEviction(slot);
        }
    }

    public void Reschedule(int slot, TimeSpan due) => _due.Set(slot, due);

    /// <summary>It is answered: it answers copies until <paramref name="until"/>, and may be evicted.</summary>
    public void Complete(int slot, TimeSpan until)
    {
        _due.Set(slot, until);
        if (this[slot].IsComplete)
        {
            return;
        }
        using (var change = Change(slot))
        {
            change.Row.IsComplete = true;
        }
        if (this[slot].Role == ConversationRole.Querying)
        {
            AllowEviction(slot);
        }
    }

    public void Close(int slot)
    {
        ref ConversationRow row = ref _state.Conversations[slot];
        ref int link = ref _heads[Hash(row.Handle)];
        while (link != slot + 1)
        {
            link = ref _next[link - 1];
        }
        link = _next[slot];
        ref Role role = ref _roles[(int)row.Role];
        role.Count--;
        if (row.IsComplete || row.Role == ConversationRole.Accepting)
        {
            (_older[slot] == 0 ? ref role.Oldest : ref _newer[_older[slot] - 1]) = _newer[slot];
            (_newer[slot] == 0 ? ref role.Newest : ref _older[_newer[slot] - 1]) = _older[slot];
        }
        _due.Remove(slot);
        StateRow.Clear(ref row, _checksumOfZeros);
        _free.Free(slot);
    }

    /// <summary>
    /// A conversation that is due by <paramref name="now"/>, else -1; it must be rescheduled, completed or closed.
    /// </summary>
    public int PeekDue(TimeSpan now) => _due.PeekDue(now);

    /// <summary>Our query with this handle, from whatever source.</summary>
    public int FindQuery(ulong handle)
    {
        for (int slot = _heads[Hash(handle)] - 1; slot >= 0; slot = _next[slot] - 1)
        {
            if (this[slot].Handle == handle && this[slot].Role == ConversationRole.Querying)
            {
                return slot;
            }
        }
        return -1;
    }

    /// <summary>
    /// What <paramref name="peer"/> asked with this handle for this connecting endpoint: handles of different hosts can
    /// collide.
    /// </summary>
    public int FindAccept(in InetEndpoint peer, ulong handle, in InetEndpoint connecting)
    {
        for (int slot = _heads[Hash(handle)] - 1; slot >= 0; slot = _next[slot] - 1)
        {
            ref readonly ConversationRow row = ref this[slot];
            if (row.Handle == handle && row.Role == ConversationRole.Accepting && peer.SameAddress(row.Peer)
                && row.Remote == connecting)
            {
                return slot;
            }
        }
        return -1;
    }

    /// <summary>
    /// Continues those of an earlier process: a query that waits is due at once, so that its Request is sent again.
    /// </summary>
    private void Restore()
    {
        Span<ConversationRow> rows = _state.Conversations;
        int used = 0;
        for (; used < rows.Length && !StateRow.IsNeverWritten(ref rows[used]); used++)
        {
            ref ConversationRow row = ref rows[used];
            bool isWhole = StateRow.IsSound(ref row)
                && row.Role is ConversationRole.Querying or ConversationRole.Accepting
                && (uint)row.Slot < (uint)_state.Mappings.Length
                && row.LastSentAt < TimeSpan.MaxValue - Lifetime;
            if (isWhole && _roles[(int)row.Role].Count < _limit)
            {
                bool waits = row.Role == ConversationRole.Querying && !row.IsComplete;
                Open(used, waits ? TimeSpan.Zero : row.LastSentAt + Lifetime);
                continue;
            }
            using (var change = Change(used))
            {
                change.Clear();
            }
            _free.Free(used);
        }
        _state.Header.ConversationsHighWater = used;
    }

    private void AllowEviction(int slot)
    {
        ref Role role = ref _roles[(int)this[slot].Role];
        (_older[slot], _newer[slot]) = (role.Newest, 0);
        (role.Newest == 0 ? ref role.Oldest : ref _newer[role.Newest - 1]) = slot + 1;
        role.Newest = slot + 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private int Hash(ulong handle) => (int)SecretHash.Of(_secret, handle) & (_heads.Length - 1);
}

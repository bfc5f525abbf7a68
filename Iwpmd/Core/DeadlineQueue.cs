// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;

namespace Iwpmd.Core;

/// <summary>
/// Which of a fixed number of slots is due next. Most times are set in their order: those slots are in a list. The
/// others are in a heap with the position of each slot, so that a time can be moved. Each node has four children, side
/// by side: half the levels of a binary heap.
/// </summary>
internal sealed class DeadlineQueue(int capacity)
{
    private const int Children = 4;
    private const int Listed = -1; // instead of a position

    private readonly Entry[] _heap = new Entry[capacity];
    private readonly int[] _positions = new int[capacity]; // position + 1 in the heap, 0 is nowhere
    private readonly Link[] _links = new Link[capacity];
    private int _heaped;
    private int _first, _last; // of the list: slot + 1, 0 is none

    private readonly record struct Entry(long Due, int Slot);

    /// <summary>Neighbours in the list: slot + 1, 0 is none.</summary>
    private struct Link
    {
        public long Due;
        public int Earlier, Later;
    }

    public int Count { get; private set; }

    public TimeSpan Next => new(Math.Min(FirstOfHeap, FirstOfList));

    private long FirstOfHeap
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => _heaped == 0 ? long.MaxValue : _heap[0].Due;
    }

    private long FirstOfList
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => _first == 0 ? long.MaxValue : _links[_first - 1].Due;
    }

    /// <summary>
    /// The slot that is due first if it is due by <paramref name="now"/>, else -1; it stays until moved or removed.
    /// </summary>
    public int PeekDue(TimeSpan now) =>
        Next > now ? -1 : FirstOfHeap < FirstOfList ? _heap[0].Slot : _first - 1;

    public void Set(int slot, TimeSpan due)
    {
        int position = _positions[slot];
        if (position == Listed && _links[slot].Due == due.Ticks)
        {
            return;
        }
        bool isLast = _last == 0 || due.Ticks >= _links[_last - 1].Due;
        if (position == Listed || isLast)
        {
            Remove(slot);
            position = 0;
        }
        Count += position == 0 ? 1 : 0;
        if (isLast)
        {
            Append(slot, due.Ticks);
        }
        else
        {
            Settle(position == 0 ? _heaped++ : position - 1, new Entry(due.Ticks, slot));
        }
    }

    public void Remove(int slot)
    {
        int position = _positions[slot];
        if (position == 0)
        {
            return;
        }
        _positions[slot] = 0;
        Count--;
        if (position == Listed)
        {
            Link link = _links[slot];
            (link.Earlier == 0 ? ref _first : ref _links[link.Earlier - 1].Later) = link.Later;
            (link.Later == 0 ? ref _last : ref _links[link.Later - 1].Earlier) = link.Earlier;
        }
        else if (position <= --_heaped)
        {
            Settle(position - 1, _heap[_heaped]);
        }
    }

    private void Append(int slot, long due)
    {
        _links[slot] = new Link { Due = due, Earlier = _last };
        (_last == 0 ? ref _first : ref _links[_last - 1].Later) = slot + 1;
        _last = slot + 1;
        _positions[slot] = Listed;
    }

    /// <summary>Places an entry at <paramref name="hole"/>, or where it belongs above or below.</summary>
    private void Settle(int hole, in Entry entry)
    {
        Entry placed = entry;
        int above = Up(hole, placed.Due);
        Place(above == hole ? Down(hole, placed.Due) : above, placed);
    }

    private int Up(int hole, long due)
    {
        while (hole > 0)
        {
            int parent = (hole - 1) / Children;
            if (_heap[parent].Due <= due)
            {
                break;
            }
            Place(hole, _heap[parent]);
            hole = parent;
        }
        return hole;
    }

    private int Down(int hole, long due)
    {
        while ((hole * Children) + 1 < _heaped)
        {
            int least = (hole * Children) + 1, end = Math.Min(least + Children, _heaped);
            long leastDue = _heap[least].Due;
            for (int child = least + 1; child < end; child++)
            {
                long other = _heap[child].Due;
                if (other < leastDue)
                {
                    (least, leastDue) = (child, other);
                }
            }
            if (leastDue >= due)
            {
                break;
            }
            Place(hole, _heap[least]);
            hole = least;
        }
        return hole;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Place(int position, in Entry entry)
    {
        _heap[position] = entry;
        _positions[entry.Slot] = position + 1;
    }
}

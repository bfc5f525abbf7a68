// SPDX-License-Identifier: MIT
namespace Iwpmd.Core;

/// <summary>
/// Which of a fixed number of slots is due next: a heap of absolute times with the position of each slot, so that a
/// time can be moved. Each node has four children, side by side: half the levels of a binary heap.
/// </summary>
internal sealed class DeadlineQueue(int capacity)
{
    private const int Children = 4;

    private readonly Entry[] _heap = new Entry[capacity];
    private readonly int[] _positions = new int[capacity]; // position + 1 in the heap, 0 is not in it

    private readonly record struct Entry(long Due, int Slot);

    public int Count { get; private set; }

    public TimeSpan Next => Count == 0 ? TimeSpan.MaxValue : new TimeSpan(_heap[0].Due);

    /// <summary>
    /// The slot that is due first if it is due by <paramref name="now"/>, else -1; it stays until moved or removed.
    /// </summary>
    public int PeekDue(TimeSpan now) => Count > 0 && _heap[0].Due <= now.Ticks ? _heap[0].Slot : -1;

    public void Set(int slot, TimeSpan due)
    {
        int position = _positions[slot] - 1;
        Settle(position < 0 ? Count++ : position, new Entry(due.Ticks, slot));
    }

    public void Remove(int slot)
    {
        int position = _positions[slot] - 1;
        if (position < 0)
        {
            return;
        }
        _positions[slot] = 0;
        Count--;
        if (position < Count)
        {
            Settle(position, _heap[Count]);
        }
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
        while ((hole * Children) + 1 < Count)
        {
            int least = (hole * Children) + 1, end = Math.Min(least + Children, Count);
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

    private void Place(int position, in Entry entry)
    {
        _heap[position] = entry;
        _positions[entry.Slot] = position + 1;
    }
}

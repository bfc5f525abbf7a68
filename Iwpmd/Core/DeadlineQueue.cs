// SPDX-License-Identifier: MIT
namespace Iwpmd.Core;

/// <summary>
/// Which of a fixed number of slots is due next: a binary heap of absolute times with the position of each slot, so
/// that a time can be moved.
/// </summary>
internal sealed class DeadlineQueue(int capacity)
{
    private readonly int[] _heap = new int[capacity];
    private readonly int[] _positions = new int[capacity]; // position + 1 in the heap, 0 is not in it
    private readonly long[] _due = new long[capacity];

    public int Count { get; private set; }

    public TimeSpan Next => Count == 0 ? TimeSpan.MaxValue : new TimeSpan(_due[_heap[0]]);

    /// <summary>
    /// The slot that is due first if it is due by <paramref name="now"/>, else -1; it stays until moved or removed.
    /// </summary>
    public int PeekDue(TimeSpan now) => Count > 0 && _due[_heap[0]] <= now.Ticks ? _heap[0] : -1;

    public void Set(int slot, TimeSpan due)
    {
        _due[slot] = due.Ticks;
        if (_positions[slot] == 0)
        {
            Place(slot, Count++);
        }
        Down(Up(_positions[slot] - 1));
    }

    public void Remove(int slot)
    {
        int position = _positions[slot] - 1;
        if (position < 0)
        {
            return;
        }
        _positions[slot] = 0;
        int last = _heap[--Count];
        if (last != slot)
        {
            Place(last, position);
            Down(Up(position));
        }
    }

    private int Up(int position)
    {
        int slot = _heap[position];
        while (position > 0 && _due[_heap[(position - 1) / 2]] > _due[slot])
        {
            Place(_heap[(position - 1) / 2], position);
            position = (position - 1) / 2;
        }
        Place(slot, position);
        return position;
    }

    private void Down(int position)
    {
        int slot = _heap[position];
        while ((2 * position) + 1 < Count)
        {
            int child = (2 * position) + 1;
            if (child + 1 < Count && _due[_heap[child + 1]] < _due[_heap[child]])
            {
                child++;
            }
            if (_due[_heap[child]] >= _due[slot])
            {
                break;
            }
            Place(_heap[child], position);
            position = child;
        }
        Place(slot, position);
    }

    private void Place(int slot, int position)
    {
        _heap[position] = slot;
        _positions[slot] = position + 1;
    }
}

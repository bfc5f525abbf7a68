// SPDX-License-Identifier: MIT
namespace Iwpmd.Core;

/// <summary>The free rows of a table. Rows that were freed are used again before those that never were, so that memory which is not needed is never touched.</summary>
internal sealed class SlotPool(int capacity)
{
    private readonly int[] _next = new int[capacity]; // slot + 1 of the next free row
    private int _head;

    /// <summary>A free slot, or -1; <paramref name="touched"/> is the number of slots that were ever used.</summary>
    public int Take(ref long touched)
    {
        if (_head == 0)
        {
            return touched < _next.Length ? (int)touched++ : -1;
        }
        int slot = _head - 1;
        _head = _next[slot];
        return slot;
    }

    public void Free(int slot)
    {
        _next[slot] = _head;
        _head = slot + 1;
    }
}

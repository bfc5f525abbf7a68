// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;

namespace Iwpmd.Core;

/// <summary>
/// The free rows of a table. Freed rows are used again before new ones, so that memory which is not needed is never
/// written.
/// </summary>
internal sealed class SlotPool(int capacity)
{
    private readonly int[] _next = new int[capacity]; // slot + 1 of the next free row
    private int _head;

    /// <summary>A free slot, or -1; <paramref name="used"/> is the number of slots that were ever used.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int Take(ref long used)
    {
        if (_head == 0)
        {
            return used < _next.Length ? (int)used++ : -1;
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

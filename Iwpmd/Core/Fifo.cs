// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;

namespace Iwpmd.Core;

/// <summary>
/// A queue of large structs, written and read in place: System.Collections.Generic.Queue would copy each of them three
/// times.
/// </summary>
/// <param name="capacity">To begin with; a power of two.</param>
internal sealed class Fifo<T>(int capacity)
    where T : struct
{
    private T[] _ring = new T[capacity];
    private int _head;

    public int Count { get; private set; }

    /// <summary>A new last element, to be assigned at once; the reference ends with the next call.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ref T Enqueue()
    {
        if (Count == _ring.Length)
        {
            Grow();
        }
        return ref _ring[(_head + Count++) & (_ring.Length - 1)];
    }

    public ref T Last => ref _ring[(_head + Count - 1) & (_ring.Length - 1)];

    /// <summary>Removes the last element.</summary>
    public void TakeBack() => Count--;

    /// <summary>The first element; the reference is good until it is dequeued.</summary>
    public ref readonly T Peek() => ref _ring[_head];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Dequeue()
    {
        _head = (_head + 1) & (_ring.Length - 1);
        Count--;
    }

    private void Grow()
    {
        var larger = new T[_ring.Length * 2];
        int first = _ring.Length - _head;
        _ring.AsSpan(_head).CopyTo(larger);
        _ring.AsSpan(0, _head).CopyTo(larger.AsSpan(first));
        (_ring, _head) = (larger, 0);
    }
}

// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Iwpmd.Core;
using Iwpmd.State;
using Iwpmd.Wire;

namespace Iwpmd.Simulation;

/// <summary>The state of a host's daemons in memory that outlives them, as a file in /run does.</summary>
internal sealed class StateMemory
{
    public static readonly StateIdentity Identity = new(
        Guid.Parse("3f0e1a52-8a11-4f63-9d0a-1f6a11c0de01"), new FixedName("simulated"));

    private readonly byte[] _bytes;
    private byte[]? _frozen;

    private StateMemory(StateCapacity capacity)
    {
        Capacity = capacity;
        _bytes = GC.AllocateArray<byte>((int)StateLayout.SizeOf(capacity), pinned: true);
        Layout = NewLayout();
    }

    public StateCapacity Capacity { get; }

    public StateLayout Layout { get; private set; }

    public ReadOnlySpan<byte> Bytes => _bytes;

    /// <summary>As a daemon opens it: what is there, in another shape if need be, or a new one.</summary>
    public static StateMemory Open(StateMemory? old, int mappings)
    {
        StateCapacity capacity = StateCapacity.For(mappings);
        if (old is null || StateLayout.WhyUnusable(old._bytes, Identity.BootId, out StateGeometry shape) is not null)
        {
            return Renew(capacity);
        }
        if (shape != StateLayout.GeometryOf(capacity))
        {
            capacity = StateCapacity.For(Math.Max(mappings, StateMigration.CountMappings(old._bytes, shape)));
        }
        if (shape == StateLayout.GeometryOf(capacity))
        {
            old.Layout = old.NewLayout();
            return old;
        }
        StateMemory fresh = Renew(capacity);
        _ = StateMigration.Adopt(old._bytes, shape, fresh.Layout);
        return fresh;
    }

    /// <summary>
    /// What the process writes from now on is undone by <see cref="Thaw"/>: it is gone, but its code still unwinds.
    /// </summary>
    public void Freeze() => _frozen = (byte[])_bytes.Clone();

    public void Thaw()
    {
        _frozen?.CopyTo(_bytes, 0);
        _frozen = null;
    }

    private static StateMemory Renew(StateCapacity capacity)
    {
        var memory = new StateMemory(capacity);
        memory.Layout.Format(Identity);
        return memory;
    }

    private unsafe StateLayout NewLayout() =>
        new((nint)Unsafe.AsPointer(ref MemoryMarshal.GetArrayDataReference(_bytes)), Capacity);
}

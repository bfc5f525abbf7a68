// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;

namespace Iwpmd.Simulation;

/// <summary>
/// Called in each change of a row of the state: before its fields change, when they have, and when its checksum has.
/// </summary>
internal static class Watch
{
    private static readonly byte[] s_none = [];

    [ThreadStatic]
    private static byte[]? t_before;

    public static void Begin<T>(ref T row)
        where T : unmanaged
    {
        Machine? machine = Machine.Current;
        if (machine is null || !machine.MayCrash)
        {
            return;
        }
        t_before = MemoryMarshal.AsBytes(MemoryMarshal.CreateSpan(ref row, 1)).ToArray();
        machine.Step();
    }

    /// <summary>A crash here leaves any of the row's fields written.</summary>
    public static void Written<T>(ref T row)
        where T : unmanaged
    {
        Machine? machine = Machine.Current;
        if (machine is null || !machine.MayCrash)
        {
            return;
        }
        if (machine.CrashIn == 1)
        {
            Span<byte> bytes = MemoryMarshal.AsBytes(MemoryMarshal.CreateSpan(ref row, 1));
            byte[] before = t_before ?? s_none;
            for (int at = 8; before.Length == bytes.Length && at < bytes.Length; at += 4)
            {
                if (machine.World.Dice.Chance(0.5))
                {
                    before.AsSpan(at, 4).CopyTo(bytes[at..]);
                }
            }
        }
        machine.Step();
    }

    public static void Summed()
    {
        if (Machine.Current is Machine machine && machine.MayCrash)
        {
            machine.Step();
        }
    }
}

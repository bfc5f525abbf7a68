// SPDX-License-Identifier: MIT
using Iwpmd.Os.Interop;

namespace Iwpmd.Os;

/// <summary>The name by which pgrep, pkill, killall, ps and ss know a process: that of its main thread.</summary>
internal static unsafe class ProcessName
{
    /// <summary>Only the main thread may call it.</summary>
    public static void Set(ReadOnlySpan<byte> name)
    {
        Span<byte> terminated = stackalloc byte[16]; // TASK_COMM_LEN
        terminated.Clear();
        name.CopyTo(terminated);
        fixed (byte* bytes = terminated)
        {
            _ = Libc.prctl(Libc.PR_SET_NAME, (nuint)bytes, 0, 0, 0);
        }
    }
}

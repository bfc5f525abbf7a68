// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;
using Iwpmd.Os.Interop;

namespace Iwpmd.Os;

/// <summary>
/// The one clock of the daemon: time since boot, suspend included, as the kernel's own waits never run faster than it.
/// </summary>
[SkipLocalsInit]
internal static class Clock
{
    private const uint NanosecondsPerTick = 100;

    public static unsafe TimeSpan Now
    {
        get
        {
            Libc.timespec now;
            if (Libc.clock_gettime(Libc.CLOCK_BOOTTIME, &now) != 0)
            {
                throw new InvalidOperationException("this kernel has no CLOCK_BOOTTIME");
            }
            return new TimeSpan((now.tv_sec * TimeSpan.TicksPerSecond) + ((uint)now.tv_nsec / NanosecondsPerTick));
        }
    }

    /// <summary>For people, by the C library: time zones in the runtime would cost megabytes.</summary>
    public static unsafe TimeSpan LocalTimeOfDay
    {
        get
        {
            Libc.timespec now;
            Libc.tm local = default;
            _ = Libc.clock_gettime(Libc.CLOCK_REALTIME, &now);
            nint seconds = now.tv_sec;
            _ = Libc.localtime_r(&seconds, &local);
            return new TimeSpan(0, local.tm_hour, local.tm_min, local.tm_sec, (int)(now.tv_nsec / 1_000_000));
        }
    }
}

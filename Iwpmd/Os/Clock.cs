namespace Iwpmd.Os;

/// <summary>The one clock of the daemon: time since boot, suspend included, as the kernel's own waits never run faster than it.</summary>
internal static class Clock
{
    private const long NanosecondsPerTick = 100;

    public static unsafe TimeSpan Now
    {
        get
        {
            Libc.timespec now;
            if (Libc.clock_gettime(Libc.CLOCK_BOOTTIME, &now) != 0)
            {
                throw new InvalidOperationException($"clock_gettime: {Errno.Last}");
            }
            return TimeSpan.FromTicks((now.tv_sec * TimeSpan.TicksPerSecond) + (now.tv_nsec / NanosecondsPerTick));
        }
    }
}

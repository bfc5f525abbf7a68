// SPDX-License-Identifier: MIT
namespace Iwpmd.Os;

/// <summary>The unit in which poll and epoll are told how long to wait.</summary>
internal static class Milliseconds
{
    public static int RoundUp(TimeSpan timeout)
    {
        long ticks = Math.Clamp(timeout.Ticks, 0, int.MaxValue * TimeSpan.TicksPerMillisecond);
        return (int)((ticks + TimeSpan.TicksPerMillisecond - 1) / TimeSpan.TicksPerMillisecond);
    }
}

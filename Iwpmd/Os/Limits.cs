// SPDX-License-Identifier: MIT
using Iwpmd.Os.Interop;
using Iwpmd.Wire;

namespace Iwpmd.Os;

/// <summary>
/// What the process may: whose rights it has, how many descriptors, and room for them in the kernel's table.
/// </summary>
internal static unsafe class Limits
{
    private const int Spare = 10;

    /// <summary>The user whose rights this process has.</summary>
    public static uint UserId => Libc.geteuid();

    /// <summary>
    /// Raises the soft limit of open descriptors to the hard one; returns what holds now, by <paramref name="limit"/>.
    /// </summary>
    public static Errno RaiseDescriptorLimit(out ulong limit)
    {
        Libc.rlimit current = default;
        limit = 0;
        if (Libc.getrlimit(Libc.RLIMIT_NOFILE, &current) != 0)
        {
            return Errno.Last;
        }
        limit = current.rlim_cur;
        Libc.rlimit raised = current;
        raised.rlim_cur = current.rlim_max;
        if (Libc.setrlimit(Libc.RLIMIT_NOFILE, &raised) != 0)
        {
            return Errno.Last;
        }
        limit = raised.rlim_cur;
        return Errno.None;
    }

    /// <summary>
    /// Makes the table large enough for <paramref name="descriptors"/>, once: in a process with threads each growth
    /// later costs microseconds of waiting. Never by the limit alone, which can be 10^9 and would ask for 8 GB.
    /// </summary>
    public static Errno GrowDescriptorTable(int descriptors)
    {
        Libc.rlimit current = default;
        if (Libc.getrlimit(Libc.RLIMIT_NOFILE, &current) != 0)
        {
            return Errno.Last;
        }
        int highest = (int)Math.Min((ulong)current.rlim_cur, (ulong)Math.Max(descriptors, 0)) - Spare;
        if (highest <= 0)
        {
            return Errno.None;
        }
        // Any descriptor does; only the number of its copy matters.
        int epoll = Libc.epoll_create1(Libc.EPOLL_CLOEXEC);
        int copy = epoll < 0 ? -1 : Libc.fcntl(epoll, Libc.F_DUPFD, highest);
        Errno error = copy < 0 ? Errno.Last : Errno.None;
        _ = copy < 0 ? 0 : Libc.close(copy);
        _ = epoll < 0 ? 0 : Libc.close(epoll);
        return error;
    }
}

// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;

namespace Iwpmd.Os.Interop;

internal static unsafe partial class Libc
{
    public const int EPOLL_CLOEXEC = 0x80000, EPOLL_CTL_ADD = 1, EPOLL_CTL_DEL = 2;
    public const uint EPOLLIN = 1, EPOLLERR = 8;

    // struct epoll_event is packed on x86-64 and aligned elsewhere, so it has no struct here.
    public static readonly ByArchitecture sizeof_epoll_event = new(12, 16);
    public static readonly ByArchitecture offsetof_epoll_event__data = new(4, 8);

    [LibraryImport(Name)]
    internal static partial int epoll_create1(int flags);

    [LibraryImport(Name)]
    internal static partial int epoll_ctl(int epfd, int operation, int fd, byte* ev);

    [LibraryImport(Name)]
    internal static partial int epoll_wait(int epfd, byte* events, int maxEvents, int timeoutMs);
}

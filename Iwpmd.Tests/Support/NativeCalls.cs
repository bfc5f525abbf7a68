// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;
using Iwpmd.Os;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Support;

/// <summary>System calls that only these tests need.</summary>
internal static unsafe partial class NativeCalls
{
    public const int SIGKILL = 9, SIGCONT = 18, SIGSTOP = 19;
    public const nuint MS_BIND = 0x1000;
    private const nint SYS_gettid = 186, SYS_pidfd_open = 434; // x86-64

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint syscall(nint number, nint first, nint second);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int listen(int fd, int backlog);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int accept4(int fd, void* address, uint* size, int flags);

    public static int ThreadId() => (int)syscall(SYS_gettid, 0, 0);

    /// <summary>Waits for the end of any process, child or not; true when it is gone.</summary>
    public static bool AwaitExit(int pid, TimeSpan timeout)
    {
        int fd = (int)syscall(SYS_pidfd_open, pid, 0);
        if (fd < 0)
        {
            return true;
        }
        try
        {
            return SocketFd.WaitReadable(fd, timeout);
        }
        finally
        {
            SocketFd.Close(fd);
        }
    }

    public static void Succeed(int result, string what) =>
        Assert.True(result >= 0, $"{what}: {(result < 0 ? Errno.Last : Errno.None)}");
}

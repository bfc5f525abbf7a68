// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;
using Iwpmd.Os.Interop;
using Iwpmd.Os;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Support;

/// <summary>
/// System calls that only the tests need; the numbers are those of Linux on every architecture that .NET runs on.
/// </summary>
internal static unsafe partial class TestLibc
{
    public const int SIGHUP = 1, SIGINT = 2, SIGUSR1 = 10, SIGTERM = 15;
    public const int CLONE_FS = 0x200, CLONE_FILES = 0x400, CLONE_NEWNS = 0x20000, CLONE_NEWNET = 0x40000000;
    public const nuint MS_REC = 0x4000, MS_PRIVATE = 0x40000;
    public const nuint SIOCSIFADDR = 0x8916, SIOCSIFFLAGS = 0x8914;

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int socketpair(int domain, int type, int protocol, int* fds);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial nint sendto(int fd, byte* buffer, nuint size, int flags, void* to, uint toSize);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int kill(int pid, int signal);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int unshare(int flags);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int mount(string source, string target, string? type, nuint flags, string? data);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int mkfifo(string path, uint mode);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int chown(string path, uint user, uint group);

    [LibraryImport("libc", SetLastError = true)]
    internal static partial int ioctl(int fd, nuint request, void* argument);

    public static void Succeed(int result) => Assert.True(result >= 0, Errno.Last.ToString());

    public static (int First, int Second) DatagramPair()
    {
        int* fds = stackalloc int[2];
        Succeed(socketpair(Libc.AF_UNIX, Libc.SOCK_DGRAM | Libc.SOCK_CLOEXEC | Libc.SOCK_NONBLOCK, 0, fds));
        return (fds[0], fds[1]);
    }
}

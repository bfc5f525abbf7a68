// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;

namespace Iwpmd.Os.Interop;

internal static unsafe partial class Libc
{
    public const int O_RDONLY = 0, O_WRONLY = 1, O_RDWR = 2, O_ACCMODE = 3, O_CREAT = 0x40, O_EXCL = 0x80,
        O_TRUNC = 0x200, O_APPEND = 0x400, O_NONBLOCK = 0x800, O_CLOEXEC = 0x80000;
    public const int F_DUPFD = 0, F_GETFD = 1, F_SETFD = 2, F_DUPFD_CLOEXEC = 1030, FD_CLOEXEC = 1;
    public const int AT_EMPTY_PATH = 0x1000, AT_FDCWD = -100, AT_SYMLINK_NOFOLLOW = 0x100;
    public const int FALLOC_FL_KEEP_SIZE = 1, FALLOC_FL_PUNCH_HOLE = 2;
    public static readonly ByArchitecture O_NOFOLLOW = new(0x20000, 0x8000);

    [LibraryImport(Name, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int open(string path, int flags, uint mode);

    [LibraryImport(Name)]
    internal static partial int fcntl(int fd, int command, nint argument);

    /// <summary>Returns the error number itself.</summary>
    [LibraryImport(Name)]
    internal static partial int posix_fallocate(int fd, nint offset, nint length);

    [LibraryImport(Name)]
    internal static partial int fallocate(int fd, int mode, nint offset, nint length);
}

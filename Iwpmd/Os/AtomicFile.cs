// SPDX-License-Identifier: MIT
using Iwpmd.Os.Interop;
using Iwpmd.Wire;

namespace Iwpmd.Os;

/// <summary>
/// A file that others read: they see what it was or what it is, never a part. What is no plain file (a device, a pipe,
/// a link) is never replaced, but written to.
/// </summary>
internal static unsafe class AtomicFile
{
    private const uint Mode = 0x1a4; // 0644

    public static Errno TryWrite(string path, ReadOnlySpan<byte> content)
    {
        if (!CanBeReplaced(path))
        {
            int there = Libc.open(path, Libc.O_WRONLY | Libc.O_TRUNC | Libc.O_CLOEXEC, 0);
            return there < 0 ? Errno.Last : WriteAndClose(there, content);
        }
        string fresh = path + ".new";
        int fd = Libc.open(fresh, Libc.O_WRONLY | Libc.O_CREAT | Libc.O_TRUNC | Libc.O_CLOEXEC | Libc.O_NOFOLLOW, Mode);
        if (fd < 0)
        {
            return Errno.Last;
        }
        Errno error = WriteAndClose(fd, content);
        error = error == Errno.None && Libc.rename(fresh, path) != 0 ? Errno.Last : error;
        if (error != Errno.None)
        {
            _ = Libc.unlink(fresh);
        }
        return error;
    }

    /// <summary>It is a plain file, or nothing yet.</summary>
    private static bool CanBeReplaced(string path)
    {
        Libc.statx status;
        return Libc.statx_(Libc.AT_FDCWD, path, Libc.AT_SYMLINK_NOFOLLOW, Libc.STATX_BASIC_STATS, &status) != 0
            || (status.stx_mode & Libc.S_IFMT) == Libc.S_IFREG;
    }

    private static Errno WriteAndClose(int fd, ReadOnlySpan<byte> content)
    {
        Errno error = StandardOutput.TryWrite(fd, content);
        return Libc.close(fd) != 0 && error == Errno.None ? Errno.Last : error;
    }
}

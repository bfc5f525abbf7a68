// SPDX-License-Identifier: MIT
using Iwpmd.Os.Interop;
using Iwpmd.Wire;

namespace Iwpmd.Os;

/// <summary>What the kernel says of an open file: struct statx.</summary>
internal static unsafe class FileStatus
{
    public static Errno Read(int fd, out Libc.statx status)
    {
        fixed (Libc.statx* result = &status)
        {
            status = default;
            return Libc.statx_(fd, "", Libc.AT_EMPTY_PATH, Libc.STATX_BASIC_STATS, result) != 0
                ? Errno.Last
                : Errno.None;
        }
    }

    /// <summary>
    /// Who can lead the path elsewhere: the first user beside root who has a part of it; root when there is none.
    /// </summary>
    public static uint FirstOwner(string path)
    {
        string parts = Path.GetFullPath(path) + '/';
        uint owner = 0;
        for (int end = parts.IndexOf('/', 1); end > 0 && owner == 0; end = parts.IndexOf('/', end + 1))
        {
            Libc.statx status;
            owner = Libc.statx_(
                Libc.AT_FDCWD, parts[..end], Libc.AT_SYMLINK_NOFOLLOW, Libc.STATX_BASIC_STATS, &status) != 0
                ? 0
                : status.stx_uid;
        }
        return owner;
    }

    /// <summary>
    /// The same of a plain file; of anything else <see cref="Errno.EINVAL"/> with operation "type", of one that no
    /// span can have <see cref="Errno.EFBIG"/> with operation "size".
    /// </summary>
    public static OpError? ReadPlain(int fd, out Libc.statx status)
    {
        Errno error = Read(fd, out status);
        return error != Errno.None ? new OpError("statx", error)
            : (status.stx_mode & Libc.S_IFMT) != Libc.S_IFREG ? new OpError("type", Errno.EINVAL)
            : status.stx_size > int.MaxValue ? new OpError("size", Errno.EFBIG)
            : null;
    }

    /// <summary>
    /// Whether it lies on a tmpfs with so much room. Of other file systems it is not known before it is tried.
    /// </summary>
    public static bool HasMemoryFor(int fd, long bytes)
    {
        Libc.statfs status;
        return Libc.fstatfs(fd, &status) == 0 && status.f_type == Libc.TMPFS_MAGIC
            && status.f_bavail > (ulong)(bytes / status.f_bsize) + 1;
    }
}

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

    /// <summary>Whose what stands at the path is; the own user when that is not known.</summary>
    public static uint OwnerOf(string path)
    {
        Libc.statx status;
        return Libc.statx_(Libc.AT_FDCWD, path, 0, Libc.STATX_BASIC_STATS, &status) != 0
            ? Limits.UserId
            : status.stx_uid;
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

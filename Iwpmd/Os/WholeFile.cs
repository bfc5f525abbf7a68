// SPDX-License-Identifier: MIT
namespace Iwpmd.Os;

/// <summary>A file that others read: they see what it was or what it is, never a part.</summary>
internal static unsafe class WholeFile
{
    private const uint Mode = 0x1a4; // 0644

    public static Errno TryWrite(string path, ReadOnlySpan<byte> content)
    {
        string fresh = path + ".new";
        int fd = Libc.open(fresh, Libc.O_WRONLY | Libc.O_CREAT | Libc.O_TRUNC | Libc.O_CLOEXEC | Libc.O_NOFOLLOW, Mode);
        if (fd < 0)
        {
            return Errno.Last;
        }
        Errno error = StandardOutput.TryWrite(fd, content);
        error = Libc.close(fd) != 0 && error == Errno.None ? Errno.Last : error;
        error = error == Errno.None && Libc.rename(fresh, path) != 0 ? Errno.Last : error;
        if (error != Errno.None)
        {
            _ = Libc.unlink(fresh);
        }
        return error;
    }
}

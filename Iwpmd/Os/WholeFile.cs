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
        Errno error = Write(fd, content);
        _ = Libc.close(fd);
        return error != Errno.None ? error : Libc.rename(fresh, path) != 0 ? Errno.Last : Errno.None;
    }

    private static Errno Write(int fd, ReadOnlySpan<byte> content)
    {
        while (content.Length > 0)
        {
            fixed (byte* bytes = content)
            {
                nint count = Libc.write(fd, bytes, (nuint)content.Length);
                if (count < 0)
                {
                    return Errno.Last;
                }
                content = content[(int)count..];
            }
        }
        return Errno.None;
    }
}

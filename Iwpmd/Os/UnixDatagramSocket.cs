namespace Iwpmd.Os;

/// <summary>Opens a non-blocking datagram socket that sends to a local path, or to a name of the abstract namespace when it starts with '@'.</summary>
internal static class UnixDatagramSocket
{
    public static Errno TryConnect(string path, out int fd)
    {
        fd = -1;
        Span<byte> address = stackalloc byte[Libc.sizeof_sockaddr_un];
        int length = UnixAddress.Write(address, path);
        if (length == 0)
        {
            return Errno.Invalid;
        }
        Errno error = SocketFd.Open(Libc.AF_UNIX, Libc.SOCK_DGRAM | Libc.SOCK_CLOEXEC | Libc.SOCK_NONBLOCK, 0, out fd);
        if (error != Errno.None)
        {
            return error;
        }
        error = SocketFd.Connect(fd, address[..length]);
        if (error != Errno.None)
        {
            SocketFd.Close(fd);
            fd = -1;
        }
        return error;
    }

    public static unsafe Errno Send(int fd, ReadOnlySpan<byte> datagram)
    {
        fixed (byte* bytes = datagram)
        {
            return Libc.send(fd, bytes, (nuint)datagram.Length, Libc.MSG_DONTWAIT | Libc.MSG_NOSIGNAL) < 0 ? Errno.Last : Errno.None;
        }
    }
}

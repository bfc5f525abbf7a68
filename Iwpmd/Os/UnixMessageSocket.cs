// SPDX-License-Identifier: MIT
using Iwpmd.Os.Interop;
using Iwpmd.Wire;

namespace Iwpmd.Os;

/// <summary>
/// Connected sockets of this host that keep messages apart and tell when the other end is gone (SOCK_SEQPACKET). None
/// of them blocks.
/// </summary>
internal static unsafe class UnixMessageSocket
{
    private const int Flags = Libc.SOCK_SEQPACKET | Libc.SOCK_CLOEXEC | Libc.SOCK_NONBLOCK;
    private const int Backlog = 4;
    private const uint OwnerOnly = 0x180; // 0600

    /// <summary>Two ends, each of which can have <paramref name="sendBuffer"/> bytes on the way.</summary>
    public static Errno OpenPair(int sendBuffer, out int one, out int other)
    {
        int* pair = stackalloc int[2];
        (one, other) = (-1, -1);
        if (Libc.socketpair(Libc.AF_UNIX, Flags, 0, pair) != 0)
        {
            return Errno.Last;
        }
        (one, other) = (pair[0], pair[1]);
        SetSendBuffer(one, sendBuffer);
        return Errno.None;
    }

    /// <summary>
    /// Listens at a path that only <paramref name="owner"/> and root can reach; what stands there is replaced.
    /// </summary>
    public static Errno Listen(string path, uint owner, out int fd)
    {
        fd = -1;
        Span<byte> address = stackalloc byte[Libc.sizeof_sockaddr_un];
        int length = UnixAddress.Write(address, path);
        Errno error = length == 0 ? Errno.EINVAL : SocketFd.Open(Libc.AF_UNIX, Flags, 0, out fd);
        if (error != Errno.None)
        {
            return error;
        }
        _ = Libc.fchmod(fd, OwnerOnly); // of the socket before it has a name: the name takes it over
        using (new FileRights(owner))
        {
            _ = Libc.unlink(path);
            error = SocketFd.Bind(fd, address[..length]);
        }
        if (error == Errno.None && Libc.listen(fd, Backlog) != 0)
        {
            error = Errno.Last;
        }
        if (error != Errno.None)
        {
            SocketFd.Close(fd);
            fd = -1;
        }
        return error;
    }

    public static Errno Connect(string path, out int fd) => UnixAddress.TryConnect(Flags, path, out fd);

    /// <summary>The next connection and whose it is.</summary>
    public static Errno Accept(int listening, int sendBuffer, out int fd, out uint userId)
    {
        userId = uint.MaxValue;
        fd = Libc.accept4(listening, null, null, Libc.SOCK_CLOEXEC | Libc.SOCK_NONBLOCK);
        if (fd < 0)
        {
            return Errno.Last;
        }
        Libc.ucred peer;
        uint size = (uint)sizeof(Libc.ucred);
        if (Libc.getsockopt(fd, Libc.SOL_SOCKET, Libc.SO_PEERCRED, &peer, &size) != 0)
        {
            Errno error = Errno.Last;
            SocketFd.Close(fd);
            fd = -1;
            return error;
        }
        userId = peer.uid;
        SetSendBuffer(fd, sendBuffer);
        return Errno.None;
    }

    private static void SetSendBuffer(int fd, int bytes)
    {
        if (SocketFd.SetOption(fd, Libc.SOL_SOCKET, Libc.SO_SNDBUFFORCE, bytes) != Errno.None)
        {
            _ = SocketFd.SetOption(fd, Libc.SOL_SOCKET, Libc.SO_SNDBUF, bytes);
        }
    }
}

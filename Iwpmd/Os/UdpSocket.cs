// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Iwpmd.Os.Interop;
using Iwpmd.Wire;

namespace Iwpmd.Os;

/// <summary>
/// A UDP socket of one family on the wildcard address that knows where its datagrams came in and what became of those
/// it sent. It never blocks and never allocates.
/// </summary>
[SkipLocalsInit]
internal sealed unsafe partial class UdpSocket : IDisposable
{
    /// <summary>
    /// Thousands of datagrams: what comes while the process gets no processor must not push out the messages of known
    /// peers.
    /// </summary>
    private const int ReceiveBufferBytes = 4 * 1024 * 1024;
    private const int ControlSize = 256; // packet info and extended error with the offender's address, twice over

    private readonly IpFamily _family;

    private UdpSocket(int fd, IpFamily family, ushort port)
    {
        Fd = fd;
        _family = family;
        Port = port;
    }

    public int Fd { get; }

    public IpFamily Family => _family;

    public ushort Port { get; }

    /// <summary>Port 0 lets the kernel choose.</summary>
    public static OpError? TryOpen(IpFamily family, ushort port, out UdpSocket? socket)
    {
        socket = null;
        int domain = family == IpFamily.V4 ? Libc.AF_INET : Libc.AF_INET6;
        Errno error = SocketFd.Open(domain, Libc.SOCK_DGRAM | Libc.SOCK_CLOEXEC | Libc.SOCK_NONBLOCK, 0, out int fd);
        if (error != Errno.None)
        {
            return new OpError("socket", error);
        }
        OpError? failed = Prepare(fd, family, port, out ushort bound);
        if (failed is not null)
        {
            SocketFd.Close(fd);
            return failed;
        }
        socket = new UdpSocket(fd, family, bound);
        return null;
    }

    /// <summary>
    /// Takes over an open socket, with the port and the options it has; null when it is not one as
    /// <see cref="TryOpen"/> makes: one of another program may not hear who answers, or reach nobody.
    /// </summary>
    public static UdpSocket? Adopt(int fd)
    {
        Span<byte> address = stackalloc byte[Sockaddr.In6Size];
        if (SocketFd.ReadLocalAddress(fd, address, out int length) != Errno.None
            || !Sockaddr.TryRead(address[..length], out InetEndpoint local) || local.Port == 0
            || !local.IsWildcard || !HasOptions(fd, local.Family))
        {
            return null;
        }
        var socket = new UdpSocket(fd, local.Family, local.Port);
        _ = socket.Filter(null); // of a flood that its process did not outlive
        return socket;
    }

    /// <summary>
    /// Sends from <paramref name="from"/>'s address, or from the one that routing picks when its family is none.
    /// An ICMP error about an earlier datagram makes the next call fail, whoever that is meant for, and is used up by
    /// it: so a failure is tried again once.
    /// </summary>
    public Errno Send(ReadOnlySpan<byte> bytes, in InetEndpoint to, in InetEndpoint from)
    {
        byte* name = stackalloc byte[Sockaddr.In6Size];
        byte* control = stackalloc byte[ControlSize];
        fixed (byte* payload = bytes)
        {
            var vector = new Libc.iovec { iov_base = payload, iov_len = (nuint)bytes.Length };
            var message = new Libc.msghdr { msg_name = name, msg_iov = &vector, msg_iovlen = 1 };
            message.msg_namelen = (uint)Sockaddr.Write(new Span<byte>(name, Sockaddr.In6Size), to);
            if (from.Family != IpFamily.None)
            {
                message.msg_control = control;
                message.msg_controllen = (nuint)WriteSource(new Span<byte>(control, ControlSize), from);
            }
            Errno error = SendOnce(&message);
            return error is Errno.None or Errno.EAGAIN ? error : SendOnce(&message);
        }
    }

    /// <summary>
    /// Receives one datagram; a longer one than the buffer is cut off. A pending ICMP error is skipped: it stands in
    /// the error queue.
    /// </summary>
    public Errno Receive(Span<byte> buffer, out UdpArrival arrival)
    {
        byte* name = stackalloc byte[Sockaddr.In6Size];
        byte* control = stackalloc byte[ControlSize];
        Errno error = ReceiveOnce(buffer, name, control, 0, out Received received);
        if (error is not (Errno.None or Errno.EAGAIN))
        {
            error = ReceiveOnce(buffer, name, control, 0, out received);
        }
        arrival = error != Errno.None ? default
            : ReadArrival(
                received.Length, new ReadOnlySpan<byte>(name, received.NameLength),
                new ReadOnlySpan<byte>(control, received.ControlLength));
        return error;
    }

    /// <summary>What the kernel said beside a datagram of <paramref name="length"/> bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public UdpArrival ReadArrival(int length, ReadOnlySpan<byte> name, ReadOnlySpan<byte> control)
    {
        _ = Sockaddr.TryRead(name, out InetEndpoint from);
        InetEndpoint to = ReadDestination(control, out uint index);
        return new UdpArrival(length, from, to, index);
    }

    /// <summary>
    /// Takes the oldest error off the error queue; false when there is none. The start of the payload that it is about
    /// goes to <paramref name="quoted"/>.
    /// </summary>
    public bool TryReceiveError(Span<byte> quoted, out UdpError error)
    {
        byte* name = stackalloc byte[Sockaddr.In6Size];
        byte* control = stackalloc byte[ControlSize];
        if (ReceiveOnce(quoted, name, control, Libc.MSG_ERRQUEUE, out Received received) != Errno.None)
        {
            error = default;
            return false;
        }
        _ = Sockaddr.TryRead(new ReadOnlySpan<byte>(name, received.NameLength), out InetEndpoint to);
        var data = new ReadOnlySpan<byte>(control, received.ControlLength);
        Libc.sock_extended_err extended = ReadExtendedError(data, out InetEndpoint source);
        error = new UdpError(
            to, (Errno)((int)extended.ee_errno), extended.ee_origin, extended.ee_type, extended.ee_code,
            received.Length)
        {
            Source = source,
        };
        return true;
    }

    /// <summary>Waits for something to receive, be it an error; false when the time is over.</summary>
    public bool WaitReadable(TimeSpan timeout) => SocketFd.WaitReadable(Fd, timeout);

    /// <summary>The address of ours from which a datagram to <paramref name="to"/> would leave.</summary>
    public static Errno TryFindSource(in InetEndpoint to, out InetEndpoint source)
    {
        source = default;
        Errno error = SocketFd.Open(
            to.Family == IpFamily.V4 ? Libc.AF_INET : Libc.AF_INET6, Libc.SOCK_DGRAM | Libc.SOCK_CLOEXEC, 0,
            out int fd);
        if (error != Errno.None)
        {
            return error;
        }
        Span<byte> address = stackalloc byte[Sockaddr.In6Size];
        error = SocketFd.Connect(fd, address[..Sockaddr.Write(address, to)]); // sends nothing
        int length = 0;
        error = error != Errno.None ? error : SocketFd.ReadLocalAddress(fd, address, out length);
        SocketFd.Close(fd);
        return error == Errno.None && !Sockaddr.TryRead(address[..length], out source)
            ? Errno.EAFNOSUPPORT
            : error;
    }

    /// <summary>Drops unread what this program says, instead of what an earlier one said; null: nothing.</summary>
    public Errno Filter(BpfProgram? program)
    {
        Errno error = program is null
            ? SocketFd.SetOption(Fd, Libc.SOL_SOCKET, Libc.SO_DETACH_FILTER, 0)
            : program.AttachToSocket(Fd);
        return error == Errno.ENOENT ? Errno.None : error; // there was none
    }

    public void Dispose() => SocketFd.Close(Fd);

    private static OpError? Prepare(int fd, IpFamily family, ushort port, out ushort bound)
    {
        bound = 0;
        Errno error = SetOptions(fd, family);
        if (error != Errno.None)
        {
            return new OpError("setsockopt", error);
        }
        SocketFd.SetReceiveBuffer(fd, ReceiveBufferBytes);
        Span<byte> address = stackalloc byte[Sockaddr.In6Size];
        int length = Sockaddr.Write(address, new InetEndpoint(family, 0, 0, port));
        error = SocketFd.Bind(fd, address[..length]);
        if (error != Errno.None)
        {
            return new OpError("bind", error);
        }
        error = SocketFd.ReadLocalAddress(fd, address, out length);
        bound = error == Errno.None && Sockaddr.TryRead(address[..length], out InetEndpoint local)
            ? local.Port
            : (ushort)0;
        return OpError.Check("getsockname", error);
    }

    private static bool HasOptions(int fd, IpFamily family)
    {
        foreach (int option in OptionsOf(family, out int level))
        {
            if (SocketFd.ReadOption(fd, level, option, out int value) != Errno.None || value != 1)
            {
                return false;
            }
        }
        return true;
    }

    private static Errno SetOptions(int fd, IpFamily family)
    {
        Errno error = Errno.None;
        foreach (int option in OptionsOf(family, out int level))
        {
            error = error != Errno.None ? error : SocketFd.SetOption(fd, level, option, 1);
        }
        return error;
    }

    private static ReadOnlySpan<int> OptionsOf(IpFamily family, out int level)
    {
        bool isV4 = family == IpFamily.V4;
        level = isV4 ? Libc.IPPROTO_IP : Libc.IPPROTO_IPV6;
        return isV4
            ? [Libc.IP_RECVERR, Libc.IP_PKTINFO]
            : [Libc.IPV6_V6ONLY, Libc.IPV6_RECVERR, Libc.IPV6_RECVPKTINFO];
    }
}

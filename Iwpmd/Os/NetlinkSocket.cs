// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Iwpmd.Os.Interop;
using Iwpmd.Wire;

namespace Iwpmd.Os;

/// <summary>
/// A netlink socket to the kernel: datagrams out and in, never blocking. It must not know what they mean.
/// Its port id is explicit and positive: an automatic bind can give a negative one, and the kernel then ignores the
/// daemon (doc/protocol.md K3.14).
/// </summary>
[SkipLocalsInit]
internal sealed unsafe class NetlinkSocket : IDisposable
{
    private const int PortIdTries = 64;
    private const int PortIdStep = 1 << 22; // above every process id, so that the tries of two processes do not meet

    /// <param name="fd">A non-blocking datagram socket.</param>
    public NetlinkSocket(int fd, uint portId)
    {
        Fd = fd;
        PortId = portId;
        ReceiveBufferBytes = SocketFd.ReadOption(fd, Libc.SOL_SOCKET, Libc.SO_RCVBUF, out int bytes) == Errno.None
            ? bytes
            : 0;
    }

    public int Fd { get; }

    public uint PortId { get; }

    /// <summary>
    /// As the kernel counts it: twice of what was asked for, less where the host's limit stands in the way.
    /// </summary>
    public int ReceiveBufferBytes { get; }

    /// <summary>Group 0 is none.</summary>
    public static OpError? TryOpen(int protocol, int group, int receiveBufferBytes, out NetlinkSocket? socket)
    {
        socket = null;
        Errno error = SocketFd.Open(
            Libc.AF_NETLINK, Libc.SOCK_RAW | Libc.SOCK_CLOEXEC | Libc.SOCK_NONBLOCK, protocol, out int fd);
        if (error != Errno.None)
        {
            return new OpError("socket", error);
        }
        SocketFd.SetReceiveBuffer(fd, receiveBufferBytes);
        string operation = "bind";
        error = BindPositive(fd, group);
        uint portId = 0;
        if (error == Errno.None)
        {
            operation = "getsockname";
            error = ReadPortId(fd, out portId);
        }
        if (error != Errno.None)
        {
            SocketFd.Close(fd);
            return new OpError(operation, error);
        }
        socket = new NetlinkSocket(fd, portId);
        return null;
    }

    /// <summary>Whether this kernel has the protocol; hears and says nothing.</summary>
    public static Errno Probe(int protocol)
    {
        Errno error = SocketFd.Open(Libc.AF_NETLINK, Libc.SOCK_RAW | Libc.SOCK_CLOEXEC, protocol, out int fd);
        if (error == Errno.None)
        {
            SocketFd.Close(fd);
        }
        return error;
    }

    /// <summary>
    /// Takes over an open socket, which keeps the port id it is bound to. Refuses one that is not bound and one with a
    /// negative id (doc/protocol.md K3.15, K3.14).
    /// </summary>
    public static Errno TryAdopt(int fd, out NetlinkSocket? socket)
    {
        Errno error = ReadPortId(fd, out uint portId);
        error = error == Errno.None && portId is 0 or > int.MaxValue ? Errno.EINVAL : error;
        socket = error == Errno.None ? new NetlinkSocket(fd, portId) : null;
        return error;
    }

    /// <summary>Sends one datagram to the kernel.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Errno Send(ReadOnlySpan<byte> datagram)
    {
        fixed (byte* bytes = datagram)
        {
            // No address: an unconnected netlink socket sends to port 0, the kernel.
            return Libc.send(Fd, bytes, (nuint)datagram.Length, Libc.MSG_DONTWAIT | Libc.MSG_NOSIGNAL) < 0
                ? Errno.Last
                : Errno.None;
        }
    }

    /// <summary>
    /// Receives one datagram. A <paramref name="length"/> above the buffer's says that the rest was cut off. Source
    /// port id 0 is the kernel; everything else is some process.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Errno Receive(Span<byte> buffer, out int length, out uint sourcePortId)
    {
        Libc.sockaddr_nl from = default;
        uint fromSize = (uint)sizeof(Libc.sockaddr_nl);
        nint received;
        fixed (byte* bytes = buffer)
        {
            received = Libc.recvfrom(
                Fd, bytes, (nuint)buffer.Length, Libc.MSG_DONTWAIT | Libc.MSG_TRUNC, (byte*)&from, &fromSize);
        }
        Errno error = received < 0 ? Errno.Last : Errno.None;
        length = (int)Math.Max(received, 0);
        sourcePortId = from.nl_pid;
        return error;
    }

    /// <summary>Waits until something can be received; false when the time is over.</summary>
    public bool WaitReadable(TimeSpan timeout) => SocketFd.WaitReadable(Fd, timeout);

    public void Dispose() => SocketFd.Close(Fd);

    private static Errno BindPositive(int fd, int group)
    {
        var address = new Libc.sockaddr_nl
        {
            nl_family = Libc.AF_NETLINK,
            nl_groups = group == 0 ? 0 : 1u << (group - 1),
        };
        Errno error = Errno.EADDRINUSE;
        for (uint i = 0; i < PortIdTries && error == Errno.EADDRINUSE; i++)
        {
            address.nl_pid = ((uint)Libc.getpid() + (i * PortIdStep)) & int.MaxValue;
            error = SocketFd.Bind(fd, MemoryMarshal.AsBytes(new ReadOnlySpan<Libc.sockaddr_nl>(in address)));
        }
        return error;
    }

    private static Errno ReadPortId(int fd, out uint portId)
    {
        Libc.sockaddr_nl address = default;
        Errno error = SocketFd.ReadLocalAddress(
            fd, MemoryMarshal.AsBytes(new Span<Libc.sockaddr_nl>(ref address)), out _);
        portId = address.nl_pid;
        return error != Errno.None || address.nl_family == Libc.AF_NETLINK ? error : Errno.EINVAL;
    }
}

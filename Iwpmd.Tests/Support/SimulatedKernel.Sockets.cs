// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;
using System.Text;
using Iwpmd.Os.Interop;
using Iwpmd.Os;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Support;

/// <summary>The thread that takes the sockets which daemons open, and what comes through them.</summary>
internal sealed unsafe partial class SimulatedKernel
{
    private static int Listen(string path)
    {
        // SOCK_SEQPACKET
        NativeCalls.Succeed(
            SocketFd.Open(Libc.AF_UNIX, 5 | Libc.SOCK_CLOEXEC, 0, out int fd) == Errno.None ? 0 : -1, "socket");
        byte[] address = new byte[110];
        BitConverter.GetBytes((ushort)Libc.AF_UNIX).CopyTo(address, 0);
        Encoding.UTF8.GetBytes(path).CopyTo(address, 2);
        Assert.Equal(Errno.None, SocketFd.Bind(fd, address));
        NativeCalls.Succeed(NativeCalls.listen(fd, 16), "listen");
        return fd;
    }

    private void Serve()
    {
        while (true)
        {
            SimulatedSocket[] sockets;
            lock (_lock)
            {
                sockets = [.. _sockets.Where(s => !s.IsGone)];
            }
            Libc.pollfd[] polled = [.. new[] { _wakeRead, _listener }.Concat(sockets.Select(s => s.Fd)).Select(
                fd => new Libc.pollfd { fd = fd, events = Libc.POLLIN })];
            fixed (Libc.pollfd* first = polled)
            {
                _ = Libc.poll(first, (nuint)polled.Length, -1);
            }
            if (polled[0].revents != 0)
            {
                return;
            }
            if (polled[1].revents != 0)
            {
                AcceptSocket();
            }
            for (int i = 0; i < sockets.Length; i++)
            {
                if (polled[i + 2].revents != 0)
                {
                    Record(sockets[i]);
                }
            }
        }
    }

    private void AcceptSocket()
    {
        int player = NativeCalls.accept4(_listener, null, null, Libc.SOCK_CLOEXEC);
        byte* control = stackalloc byte[64];
        Announcement announce;
        var iov = new Libc.iovec { iov_base = (byte*)&announce, iov_len = (nuint)sizeof(Announcement) };
        var message = new Libc.msghdr { msg_iov = &iov, msg_iovlen = 1, msg_control = control, msg_controllen = 64 };
        if (Libc.recvmsg(player, &message, Libc.MSG_CMSG_CLOEXEC) != sizeof(Announcement))
        {
            SocketFd.Close(player);
            return;
        }
        if (announce.Magic == Adopt)
        {
            GiveSocket(player, announce);
            return;
        }
        var controls = new ControlMessages(new ReadOnlySpan<byte>(control, (int)message.msg_controllen));
        controls.MoveNext();
        ReadOnlySpan<int> fds = MemoryMarshal.Cast<byte, int>(controls.Data);
        var socket = new SimulatedSocket(fds[0], fds[1], player, announce.ProcessId, announce.Inode);
        lock (_lock)
        {
            _sockets.Add(socket);
            Monitor.PulseAll(_lock);
        }
        byte seen = 1;
        _ = Libc.write(player, &seen, 1);
    }

    /// <summary>To a process that was handed a socket, if it is one of ours.</summary>
    private void GiveSocket(int player, in Announcement question)
    {
        ulong inode = question.Inode;
        SimulatedSocket? socket;
        lock (_lock)
        {
            socket = _sockets.Find(s => s.Inode == inode && !s.IsGone);
            socket?.HandTo(question.ProcessId, player);
        }
        int[] fds = socket is null ? [] : [socket.Fd, socket.PageFd];
        Assert.Equal(Errno.None, PassedFds.Send(player, [(byte)(socket is null ? 0 : 1)], fds, Timeouts.Answer));
        if (socket is null)
        {
            SocketFd.Close(player);
        }
    }

    /// <summary>struct simannounce</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct Announcement
    {
        public uint Magic;
        public int ProcessId;
        public ulong Inode;
    }

    private void Record(SimulatedSocket socket)
    {
        lock (_lock)
        {
            while (socket.Receive() is DaemonMessage message)
            {
                if (message.Bytes.Length == 0)
                {
                    socket.IsGone = true;
                    break;
                }
                if (message.Verdict == 0 && message.Raw.Client == RdmaNetlink.RDMA_NL_NLDEV)
                {
                    foreach ((byte[] datagram, uint source) in _answerDevices(message.Raw))
                    {
                        socket.SendOrDrop(datagram, RequestCharge, source);
                    }
                    continue;
                }
                _messages.Add(message);
                _added +=
                    message.Verdict == 0 && message.IsRequest && message.Kind == KernelReplyKind.AddMapping ? 1 : 0;
                _judge.Answered(message, socket.PortId);
            }
            Monitor.PulseAll(_lock);
        }
    }
}

// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;
using Iwpmd.Os.Interop;
using Iwpmd.Wire;

namespace Iwpmd.Os;

/// <summary>
/// Descriptors as messages over a unix socket: a few hundred at a time, each message with at least one byte of its own.
/// They stay open at the sender.
/// </summary>
internal static unsafe class PassedFds
{
    /// <summary>SCM_MAX_FD of the kernel.</summary>
    public const int MaxFds = 253;

    private static int ControlSize => ControlMessages.Space(MaxFds * sizeof(int));

    /// <summary>
    /// Sends one message with any number of descriptors up to <see cref="MaxFds"/>; waits up to <paramref
    /// name="timeout"/> for room.
    /// </summary>
    public static Errno Send(int socket, ReadOnlySpan<byte> text, ReadOnlySpan<int> fds, TimeSpan timeout)
    {
        byte* control = stackalloc byte[ControlSize];
        fixed (byte* bytes = text)
        {
            var vector = new Libc.iovec { iov_base = bytes, iov_len = (nuint)text.Length };
            var message = new Libc.msghdr { msg_iov = &vector, msg_iovlen = 1 };
            if (fds.Length > 0)
            {
                message.msg_control = control;
                message.msg_controllen = (nuint)ControlMessages.WriteFds(new Span<byte>(control, ControlSize), fds);
            }
            TimeSpan deadline = Clock.Now + timeout;
            while (Libc.sendmsg(socket, &message, Libc.MSG_DONTWAIT | Libc.MSG_NOSIGNAL) < 0)
            {
                Errno error = Errno.Last;
                if (error == Errno.EINTR
                    || (error is Errno.EAGAIN or Errno.ENOBUFS
                        && SocketFd.WaitWritable(socket, deadline - Clock.Now)))
                {
                    continue;
                }
                return error;
            }
            return Errno.None;
        }
    }

    /// <summary>
    /// Receives one message if there is one; <paramref name="length"/> 0 is the other end's close. The descriptors are
    /// ours to close.
    /// </summary>
    public static Errno Receive(int socket, Span<byte> text, Span<int> fds, out int length, out int count)
    {
        byte* control = stackalloc byte[ControlSize];
        count = 0;
        fixed (byte* bytes = text)
        {
            var vector = new Libc.iovec { iov_base = bytes, iov_len = (nuint)text.Length };
            var message = new Libc.msghdr
            {
                msg_iov = &vector,
                msg_iovlen = 1,
                msg_control = control,
                msg_controllen = (nuint)ControlSize,
            };
            nint received = Libc.recvmsg(socket, &message, Libc.MSG_DONTWAIT | Libc.MSG_CMSG_CLOEXEC);
            length = (int)Math.Max(received, 0);
            if (received < 0)
            {
                return Errno.Last;
            }
            var messages = new ControlMessages(new ReadOnlySpan<byte>(control, (int)message.msg_controllen));
            while (messages.MoveNext())
            {
                if (messages.Level == Libc.SOL_SOCKET && messages.Type == Libc.SCM_RIGHTS)
                {
                    foreach (int fd in MemoryMarshal.Cast<byte, int>(messages.Data))
                    {
                        if (count == fds.Length)
                        {
                            SocketFd.Close(fd); // nobody asked for it
                            continue;
                        }
                        fds[count++] = fd;
                    }
                }
            }
            return Errno.None;
        }
    }
}

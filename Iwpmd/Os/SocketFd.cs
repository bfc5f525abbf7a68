// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;
using Iwpmd.Os.Interop;
using Iwpmd.Wire;

namespace Iwpmd.Os;

/// <summary>The socket calls that every kind of socket makes, with an <see cref="Errno"/> as their result.</summary>
internal static unsafe class SocketFd
{
    public static Errno Open(int domain, int typeAndFlags, int protocol, out int fd)
    {
        fd = Libc.socket(domain, typeAndFlags, protocol);
        return fd < 0 ? Errno.Last : Errno.None;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Errno Bind(int fd, ReadOnlySpan<byte> address)
    {
        fixed (byte* bytes = address)
        {
            return Libc.bind(fd, bytes, (uint)address.Length) != 0 ? Errno.Last : Errno.None;
        }
    }

    public static Errno Connect(int fd, ReadOnlySpan<byte> address)
    {
        fixed (byte* bytes = address)
        {
            return Libc.connect(fd, bytes, (uint)address.Length) != 0 ? Errno.Last : Errno.None;
        }
    }

    public static Errno ReadLocalAddress(int fd, Span<byte> address, out int length)
    {
        uint size = (uint)address.Length;
        fixed (byte* bytes = address)
        {
            int result = Libc.getsockname(fd, bytes, &size);
            length = (int)size;
            return result != 0 ? Errno.Last : Errno.None;
        }
    }

    public static Errno SetOption(int fd, int level, int name, int value) =>
        Libc.setsockopt(fd, level, name, &value, sizeof(int)) != 0 ? Errno.Last : Errno.None;

    public static void SetReceiveBuffer(int fd, int bytes)
    {
        // Beyond net.core.rmem_max only with CAP_NET_ADMIN; what came of it can be read back and is the caller's to
        // judge.
        if (ForceReceiveBuffer(fd, bytes) != Errno.None)
        {
            _ = SetOption(fd, Libc.SOL_SOCKET, Libc.SO_RCVBUF, bytes);
        }
    }

    /// <summary>With CAP_NET_ADMIN; without it the buffer stays as it is.</summary>
    public static Errno ForceReceiveBuffer(int fd, int bytes) =>
        SetOption(fd, Libc.SOL_SOCKET, Libc.SO_RCVBUFFORCE, bytes);

    public static Errno ReadOption(int fd, int level, int name, out int value)
    {
        int read = 0;
        uint size = sizeof(int);
        int result = Libc.getsockopt(fd, level, name, &read, &size);
        value = read;
        return result != 0 ? Errno.Last : Errno.None;
    }

    /// <summary>
    /// Waits until something can be read; false when the time is over. Signals do not shorten the wait.
    /// </summary>
    public static bool WaitReadable(int fd, TimeSpan timeout) => Wait(fd, Libc.POLLIN, timeout);

    /// <summary>The same for room to write.</summary>
    public static bool WaitWritable(int fd, TimeSpan timeout) => Wait(fd, Libc.POLLOUT, timeout);

    /// <summary>Another descriptor of the same; -1 when there is none to be had.</summary>
    public static int Duplicate(int fd) => Libc.fcntl(fd, Libc.F_DUPFD_CLOEXEC, 0);

    public static void Close(int fd) => _ = Libc.close(fd);

    private static bool Wait(int fd, short events, TimeSpan timeout)
    {
        TimeSpan deadline = Clock.Now + timeout;
        while (true)
        {
            var one = new Libc.pollfd { fd = fd, events = events };
            int ready = Libc.poll(&one, 1, Milliseconds.RoundUp(timeout));
            if (ready >= 0)
            {
                return ready > 0;
            }
            Errno error = Errno.Last;
            if (error != Errno.EINTR)
            {
                throw new InvalidOperationException($"poll: {error.Text()}");
            }
            timeout = deadline - Clock.Now;
        }
    }
}

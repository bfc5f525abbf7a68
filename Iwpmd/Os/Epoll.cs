// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;
using Iwpmd.Os.Interop;
using Iwpmd.Wire;

namespace Iwpmd.Os;

/// <summary>A descriptor that can be read, or has an error to tell: both are to be asked for.</summary>
internal readonly record struct EpollEvent(int Token, bool HasError);

/// <summary>
/// Waits for several descriptors to become readable (or to report an error, which epoll adds unasked) and tells which,
/// by the token each was added with.
/// </summary>
[SkipLocalsInit]
internal sealed unsafe class Epoll : IDisposable
{
    private const int MaxEvents = 16;

    private readonly int _fd;

    private Epoll(int fd) => _fd = fd;

    public static Errno TryCreate(out Epoll? epoll)
    {
        int fd = Libc.epoll_create1(Libc.EPOLL_CLOEXEC);
        epoll = fd < 0 ? null : new Epoll(fd);
        return fd < 0 ? Errno.Last : Errno.None;
    }

    public Errno Add(int fd, int token)
    {
        byte* ev = stackalloc byte[Libc.sizeof_epoll_event];
        Unsafe.WriteUnaligned(ev, Libc.EPOLLIN);
        Unsafe.WriteUnaligned(ev + Libc.offsetof_epoll_event__data, (ulong)token);
        return Libc.epoll_ctl(_fd, Libc.EPOLL_CTL_ADD, fd, ev) != 0 ? Errno.Last : Errno.None;
    }

    public Errno Remove(int fd)
    {
        byte* ignored = stackalloc byte[Libc.sizeof_epoll_event]; // kernels before 2.6.9 wanted one; harmless since
        return Libc.epoll_ctl(_fd, Libc.EPOLL_CTL_DEL, fd, ignored) != 0 ? Errno.Last : Errno.None;
    }

    /// <summary>
    /// Fills <paramref name="ready"/> and returns how many. The timeout is rounded up, so that a deadline is past when
    /// the wait for it ends; a past one only looks. A signal ends the wait with 0.
    /// </summary>
    public int Wait(Span<EpollEvent> ready, TimeSpan timeout)
    {
        byte* events = stackalloc byte[Libc.sizeof_epoll_event * MaxEvents];
        int count = Libc.epoll_wait(_fd, events, Math.Min(ready.Length, MaxEvents), Milliseconds.RoundUp(timeout));
        if (count < 0)
        {
            Errno error = Errno.Last;
            return error == Errno.EINTR ? 0 : throw new InvalidOperationException($"epoll_wait: {error.Text()}");
        }
        for (int i = 0; i < count; i++)
        {
            byte* ev = events + (i * Libc.sizeof_epoll_event);
            ready[i] = new EpollEvent(
                (int)Unsafe.ReadUnaligned<ulong>(ev + Libc.offsetof_epoll_event__data),
                (Unsafe.ReadUnaligned<uint>(ev) & Libc.EPOLLERR) != 0);
        }
        return count;
    }

    public void Dispose() => _ = Libc.close(_fd);
}

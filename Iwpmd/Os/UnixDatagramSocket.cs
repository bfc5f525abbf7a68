// SPDX-License-Identifier: MIT
using Iwpmd.Os.Interop;
using Iwpmd.Wire;

namespace Iwpmd.Os;

/// <summary>
/// Opens a non-blocking datagram socket that sends to a local path, or to a name of the abstract namespace when it
/// starts with '@'.
/// </summary>
internal static class UnixDatagramSocket
{
    public static Errno TryConnect(string path, out int fd) =>
        UnixAddress.TryConnect(Libc.SOCK_DGRAM | Libc.SOCK_CLOEXEC | Libc.SOCK_NONBLOCK, path, out fd);

    public static unsafe Errno Send(int fd, ReadOnlySpan<byte> datagram)
    {
        fixed (byte* bytes = datagram)
        {
            return Libc.send(fd, bytes, (nuint)datagram.Length, Libc.MSG_DONTWAIT | Libc.MSG_NOSIGNAL) < 0
                ? Errno.Last
                : Errno.None;
        }
    }
}

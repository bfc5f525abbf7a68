// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;
using Iwpmd.Os.Interop;
using Iwpmd.Wire;

namespace Iwpmd.Os;

/// <summary>
/// A TCP socket that holds a port by being bound to it, on the wildcard address, without SO_REUSEADDR, and never
/// listens. One socket can try several ports in turn. A v6 one is dual-stack: it holds the number for both families. It
/// is no socket to wait for (doc/protocol.md H1.2).
/// </summary>
[SkipLocalsInit]
internal static class TcpPortSocket
{
    public static Errno Open(IpFamily family, out int fd)
    {
        int domain = family == IpFamily.V4 ? Libc.AF_INET : Libc.AF_INET6;
        Errno error = SocketFd.Open(domain, Libc.SOCK_STREAM | Libc.SOCK_CLOEXEC, 0, out fd);
        if (error != Errno.None || family == IpFamily.V4)
        {
            return error;
        }
        error = SocketFd.SetOption(fd, Libc.IPPROTO_IPV6, Libc.IPV6_V6ONLY, 0); // net.ipv6.bindv6only may say otherwise
        if (error != Errno.None)
        {
            SocketFd.Close(fd);
            fd = -1;
        }
        return error;
    }

    public static Errno Bind(int fd, IpFamily family, ushort port)
    {
        Span<byte> address = stackalloc byte[Sockaddr.In6Size];
        int length = Sockaddr.Write(address, new InetEndpoint(family, 0, 0, port));
        return SocketFd.Bind(fd, address[..length]);
    }

    /// <summary>The port that a socket of this family holds; 0 when it holds none, or is of the other family.</summary>
    public static ushort ReadPort(int fd, IpFamily family)
    {
        Span<byte> address = stackalloc byte[Sockaddr.In6Size];
        return SocketFd.ReadLocalAddress(fd, address, out int length) == Errno.None
            && Sockaddr.TryRead(address[..length], out InetEndpoint local)
            && local.Family == family && local.IsWildcard ? local.Port : (ushort)0;
    }

    public static void Close(int fd) => SocketFd.Close(fd);
}

// SPDX-License-Identifier: MIT
using System.Net;
using System.Net.Sockets;
using Iwpmd.Os;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Os;

[Collection(OsCollection.Name)]
public sealed class TcpPortSocketTests : IDisposable
{
    private readonly List<int> _open = [];

    public void Dispose() => _open.ForEach(TcpPortSocket.Close);

    [Theory]
    [InlineData(IpFamily.V4, IpFamily.V4)]
    [InlineData(IpFamily.V6, IpFamily.V6)]
    [InlineData(IpFamily.V4, IpFamily.V6)]
    [InlineData(IpFamily.V6, IpFamily.V4)]
    internal void A_held_port_is_in_use_for_both_families(IpFamily holder, IpFamily late)
    {
        ushort port = Bind(Open(holder), holder);
        Assert.Equal(Errno.EADDRINUSE, TcpPortSocket.Bind(Open(late), late, port));
    }

    [Fact]
    public void A_socket_that_found_a_port_taken_can_try_the_next()
    {
        ushort taken = Bind(Open(IpFamily.V4), IpFamily.V4);
        int fd = Open(IpFamily.V4);
        Assert.Equal(Errno.EADDRINUSE, TcpPortSocket.Bind(fd, IpFamily.V4, taken));
        ushort other = Bind(fd, IpFamily.V4);
        Assert.NotEqual(taken, other);
    }

    [Theory]
    [InlineData(IpFamily.V4)]
    [InlineData(IpFamily.V6)]
    internal void A_held_port_is_free_again_once_it_is_closed(IpFamily family)
    {
        int fd = Open(family);
        ushort port = Bind(fd, family);
        TcpPortSocket.Close(fd);
        _open.Remove(fd);
        Assert.Equal(Errno.None, TcpPortSocket.Bind(Open(family), family, port));
    }

    [Fact]
    public void A_held_port_accepts_no_connection()
    {
        ushort port = Bind(Open(IpFamily.V6), IpFamily.V6);
        using var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        var refused = Assert.Throws<SocketException>(() => client.Connect(IPAddress.Loopback, port));
        Assert.Equal(SocketError.ConnectionRefused, refused.SocketErrorCode);
    }

    // Explicit numbers, from a part of the range that the kernel hands out last; the tests run one after the other.
    private static ushort Bind(int fd, IpFamily family)
    {
        for (ushort port = 24001; port < 24100; port++)
        {
            Errno error = TcpPortSocket.Bind(fd, family, port);
            if (error == Errno.None)
            {
                return port;
            }
            Assert.Equal(Errno.EADDRINUSE, error);
        }
        throw new InvalidOperationException("no free port");
    }

    private int Open(IpFamily family)
    {
        Assert.Equal(Errno.None, TcpPortSocket.Open(family, out int fd));
        _open.Add(fd);
        return fd;
    }
}

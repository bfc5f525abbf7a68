// SPDX-License-Identifier: MIT
using System.Net;
using System.Net.Sockets;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Support;

/// <summary>A UDP socket on another host that plays a port mapper there.</summary>
internal sealed class Peer : IDisposable
{
    public const int MapperPort = 3935;

    private readonly Socket _socket;

    public Peer(Host host, string address, int port = MapperPort) =>
        _socket = host.Open(SocketType.Dgram, new IPEndPoint(IPAddress.Parse(address), port));

    public IPEndPoint Address => (IPEndPoint)_socket.LocalEndPoint!;

    public static byte[] Bytes(in PeerMessage message)
    {
        var buffer = new byte[PeerMessage.RequestSize];
        return buffer[..message.Write(buffer)];
    }

    public static PeerMessage Parse(byte[] bytes)
    {
        Assert.True(PeerMessage.TryParse(bytes, out PeerMessage message, out string? reason), reason);
        return message;
    }

    /// <summary>A Request of rdma-core: 64 bytes, with the connecting side's mapped address.</summary>
    public static PeerMessage Request(ulong handle, string connecting, string accepting, string mappedConnecting) =>
        new(
            PeerMessageType.Request, handle, InetEndpoint.Parse(connecting), InetEndpoint.Parse(accepting),
            InetEndpoint.Parse(mappedConnecting));

    public void Send(IPEndPoint to, byte[] datagram) => _socket.SendTo(datagram, to);

    public void Send(IPEndPoint to, in PeerMessage message) => Send(to, Bytes(message));

    /// <summary>The next datagram, which must come.</summary>
    public (byte[] Bytes, IPEndPoint From) Receive()
    {
        Assert.True(_socket.Poll(Timeouts.Answer, SelectMode.SelectRead), $"no datagram came to {Address}");
        return Take();
    }

    /// <summary>What has come so far.</summary>
    public IEnumerable<(byte[] Bytes, IPEndPoint From)> ReceiveAll()
    {
        while (_socket.Poll(TimeSpan.Zero, SelectMode.SelectRead))
        {
            yield return Take();
        }
    }

    public void Dispose() => _socket.Dispose();

    private (byte[] Bytes, IPEndPoint From) Take()
    {
        var buffer = new byte[2048];
        EndPoint from = new IPEndPoint(
            _socket.AddressFamily == AddressFamily.InterNetwork ? IPAddress.Any : IPAddress.IPv6Any, 0);
        int length = _socket.ReceiveFrom(buffer, ref from);
        return (buffer[..length], (IPEndPoint)from);
    }
}

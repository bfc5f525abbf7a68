// SPDX-License-Identifier: MIT
using System.Diagnostics;
using System.Net.Sockets;
using System.Text;
using Xunit;

namespace Iwpmd.Tests.Support;

/// <summary>A unix datagram socket that keeps what it gets: the system log of a host, or its service manager.</summary>
internal sealed class DatagramInbox : IDisposable
{
    private readonly Socket _socket;
    private readonly List<string> _texts = [];

    private DatagramInbox(Socket socket, string path) => (_socket, Path) = (socket, path);

    public string Path { get; }

    /// <summary>All that came so far.</summary>
    public string[] Texts
    {
        get
        {
            Drain();
            return [.. _texts];
        }
    }

    public static DatagramInbox Open(Host host, string path) => host.Run(() =>
    {
        var socket =
            new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified) { ReceiveBufferSize = 1 << 20 };
        socket.Bind(new UnixDomainSocketEndPoint(path));
        return new DatagramInbox(socket, path);
    });

    /// <summary>Waits for a text with this in it; returns the text.</summary>
    public string Expect(string part)
    {
        var waited = Stopwatch.StartNew();
        while (true)
        {
            Drain();
            if (_texts.Find(text => text.Contains(part, StringComparison.Ordinal)) is string found)
            {
                return found;
            }
            TimeSpan left = Timeouts.Answer - waited.Elapsed;
            Assert.True(
                left > TimeSpan.Zero && _socket.Poll(left, SelectMode.SelectRead),
                $"\"{part}\" did not come to {Path}; came:\n  {string.Join("\n  ", _texts)}");
        }
    }

    public void Dispose() => _socket.Dispose();

    private void Drain()
    {
        byte[] buffer = new byte[8192];
        while (_socket.Poll(TimeSpan.Zero, SelectMode.SelectRead))
        {
            _texts.Add(Encoding.UTF8.GetString(buffer, 0, _socket.Receive(buffer)));
        }
    }
}

// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.Daemon;
using Iwpmd.Os;
using Iwpmd.Tests.Os;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace Iwpmd.Tests.Daemon;

/// <summary>
/// What is read of unvalidated and of validated hosts during a flood: real sockets, a clock of our own.
/// </summary>
[Collection(OsCollection.Name)]
public sealed class PeerSamplingTests : IDisposable
{
    private const int Rate = 1000, Sent = 1000;
    private static readonly InetEndpoint s_validated = InetEndpoint.Parse("127.0.0.2:0"),
        s_unvalidated = InetEndpoint.Parse("127.0.0.3:0");

    private readonly Admission _admission = new(new AdmissionSettings { RequestRate = Rate }, secret: 1);
    private readonly PeerSockets _peers = PeerSockets.Open(0, [], NullLogger.Instance);
    private readonly UdpSocket _sender;
    private readonly PeerSampling _sampling;
    private readonly byte[] _buffer = new byte[64];
    private TimeSpan _now = TimeSpan.FromSeconds(1000);

    public PeerSamplingTests()
    {
        Assert.Null(UdpSocket.TryOpen(IpFamily.V4, 0, out UdpSocket? sender));
        _sender = sender!;
        _sampling = new PeerSampling(_admission, _peers, NullLogger.Instance);
        Pass(0);
    }

    public void Dispose()
    {
        _sender.Dispose();
        _peers.Dispose();
    }

    /// <summary>A tenth of a second of so many Requests of unvalidated hosts.</summary>
    private void Pass(int requests)
    {
        for (int i = 0; i < requests; i++)
        {
            _admission.TryAdmit(
                new InetEndpoint(IpFamily.V4, 0, (11u << 24) + (uint)Random.Shared.Next(1 << 24), 1), _now);
        }
        _now += TimeSpan.FromSeconds(0.1);
        _sampling.Update(_now);
    }

    private int Read(InetEndpoint from)
    {
        UdpSocket answering = _peers.Find(IpFamily.V4, PeerSocket.Answering)!;
        int read = 0;
        for (int i = 0; i < Sent; i++)
        {
            Assert.Equal(
                Errno.None, _sender.Send("hello"u8, InetEndpoint.Parse("127.0.0.1:0").WithPort(answering.Port), from));
            read += answering.Receive(_buffer, out _) == Errno.None ? 1 : 0;
        }
        return read;
    }

    [Fact]
    public void What_the_bounds_allow_is_read()
    {
        Pass(Rate);      // as many as may come at once
        Pass(2 * Rate / 10);

        Assert.Equal(1, _sampling.SampleOneIn);
        Assert.Equal(Sent, Read(s_unvalidated));
    }

    [Fact]
    public void Of_a_flood_most_is_not_read_but_all_of_validated_hosts()
    {
        _admission.MarkValidated(s_validated, _now);
        Pass(3 * Rate); // thirty times what is served

        Assert.Equal(16, _sampling.SampleOneIn);
        Assert.InRange(Read(s_unvalidated), 1, Sent / 4);
        Assert.Equal(Sent, Read(s_validated));
    }

    [Fact]
    public void A_host_that_is_validated_during_a_flood_is_read()
    {
        Pass(3 * Rate);
        _admission.MarkValidated(s_unvalidated, _now);
        Pass(3 * Rate / 16);

        Assert.Equal(Sent, Read(s_unvalidated));
    }

    [Fact]
    public void It_follows_the_flood_and_ends_with_it()
    {
        Pass(3 * Rate);
        Pass(30 * Rate / 16); // ten times as much
        Assert.InRange(_sampling.SampleOneIn, 128, 512);

        for (int i = 0; i < 10; i++)
        {
            Pass(0);
        }
        Assert.Equal(1, _sampling.SampleOneIn);
        Assert.Equal(Sent, Read(s_unvalidated));
    }

    [Fact]
    public void It_ends_in_time_when_nobody_wakes_it()
    {
        Pass(30 * Rate);
        Assert.InRange(_sampling.NextUpdate - _now, TimeSpan.Zero, TimeSpan.FromSeconds(0.1));

        _now += TimeSpan.FromSeconds(2);
        _sampling.Update(_now);

        Assert.Equal((1, TimeSpan.MaxValue), (_sampling.SampleOneIn, _sampling.NextUpdate));
    }

    [Fact]
    public void A_socket_that_is_taken_over_reads_all()
    {
        Pass(3 * Rate);
        UdpSocket socket = _peers.Find(IpFamily.V4, PeerSocket.Answering)!;

        Assert.Equal(socket.Port, UdpSocket.Adopt(socket.Fd)!.Port);
        Assert.Equal(Sent, Read(s_unvalidated));
    }
}

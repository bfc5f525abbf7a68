// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;
using Iwpmd.Os.Interop;
using Iwpmd.Os;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Os;

[Collection(OsCollection.Name)]
public sealed unsafe class UdpSocketTests : IDisposable
{
    private static readonly InetEndpoint s_routed = default;

    private readonly List<UdpSocket> _open = [];
    private readonly byte[] _buffer = new byte[256];

    public void Dispose() => _open.ForEach(socket => socket.Dispose());

    [Theory]
    [InlineData("127.0.0.1:0")]
    [InlineData("[::1]:0")]
    public void A_datagram_tells_who_sent_it_and_to_which_address(string loopback)
    {
        InetEndpoint address = InetEndpoint.Parse(loopback);
        UdpSocket sender = Open(address.Family), receiver = Open(address.Family);
        Assert.Equal(Errno.None, sender.Send("hello"u8, address.WithPort(receiver.Port), s_routed));
        Assert.Equal(Errno.None, receiver.Receive(_buffer, out UdpArrival arrival));
        Assert.Equal(
            new UdpArrival(5, address.WithPort(sender.Port), address.WithPort(receiver.Port), Interface: 1), arrival);
        Assert.Equal("hello"u8, _buffer.AsSpan(0, arrival.Length));
        Assert.Equal(Errno.EAGAIN, receiver.Receive(_buffer, out _));
    }

    [Theory]
    [InlineData(Libc.AF_INET, "0.0.0.0:0")]
    [InlineData(Libc.AF_INET, "127.0.0.1:0")]
    [InlineData(Libc.AF_INET6, "[::]:0")]
    public void A_socket_of_another_program_is_not_taken_over(int domain, string local)
    {
        Assert.Equal(Errno.None, SocketFd.Open(domain, Libc.SOCK_DGRAM | Libc.SOCK_CLOEXEC, 0, out int fd));
        Span<byte> address = stackalloc byte[Sockaddr.In6Size];
        int length = Sockaddr.Write(address, InetEndpoint.Parse(local));
        Assert.Equal(Errno.None, SocketFd.Bind(fd, address[..length]));
        Assert.Null(UdpSocket.Adopt(fd));
        SocketFd.Close(fd);
    }

    [Theory]
    [InlineData(IpFamily.V4)]
    [InlineData(IpFamily.V6)]
    public void A_socket_is_taken_over_unless_it_was_connected(object family)
    {
        UdpSocket socket = Open((IpFamily)family);
        Assert.Equal(socket.Port, UdpSocket.Adopt(socket.Fd)!.Port);
        Span<byte> address = stackalloc byte[Sockaddr.In6Size];
        InetEndpoint loopback = InetEndpoint.Parse(socket.Family == IpFamily.V4 ? "127.0.0.1:9" : "[::1]:9");
        Assert.Equal(Errno.None, SocketFd.Connect(socket.Fd, address[..Sockaddr.Write(address, loopback)]));
        Assert.Null(UdpSocket.Adopt(socket.Fd));
    }

    [Fact]
    public void An_answer_leaves_from_the_address_that_was_asked()
    {
        UdpSocket asking = Open(IpFamily.V4), answering = Open(IpFamily.V4);
        InetEndpoint asked = InetEndpoint.Parse("127.0.0.2:0").WithPort(answering.Port);
        Assert.Equal(Errno.None, asking.Send("question"u8, asked, s_routed));
        Assert.Equal(Errno.None, answering.Receive(_buffer, out UdpArrival question));
        Assert.Equal(asked, question.To);
        Assert.Equal(Errno.None, answering.Send("answer"u8, question.From, question.To));
        Assert.Equal(Errno.None, asking.Receive(_buffer, out UdpArrival answer));
        Assert.Equal(asked, answer.From);
    }

    [Theory]
    [InlineData("127.0.0.1:0", "127.0.0.2:0", "127.0.0.3:0", 1)]
    [InlineData("127.0.0.1:0", "127.0.0.2:0", "127.0.9.9:0", 300)]
    [InlineData("127.0.0.1:0", "127.0.0.2:0", "127.77.0.1:0", 30_000)] // their networks only
    [InlineData("[::1]:0", "[fd00::7]:0", "[fd00:2::7]:0", 1)]
    [InlineData("[::1]:0", "[fd00::7]:0", "[fd00:2::7]:0", 300)]
    public void A_filter_lets_known_sources_through_and_a_share_of_others(
        string to, string known, string stranger, int knownInAll) => InLoopbackNamespace(() =>
    {
        const int Count = 2000;
        InetEndpoint from = InetEndpoint.Parse(known), other = InetEndpoint.Parse(stranger);
        UdpSocket sender = Open(from.Family), receiver = Open(from.Family);
        ulong first = from.Family == IpFamily.V4 ? from.Low : from.High;
        ulong[] sources = [.. Enumerable.Range(0, knownInAll).Select(i => first + (ulong)(7 * i * (i % 2)))];
        Random.Shared.Shuffle(sources);
        InetEndpoint target = InetEndpoint.Parse(to).WithPort(receiver.Port);
        int Arrived(InetEndpoint source)
        {
            int arrived = 0;
            for (int i = 0; i < Count; i++)
            {
                Assert.Equal(Errno.None, sender.Send("hello"u8, target, source));
                arrived += receiver.Receive(_buffer, out _) == Errno.None ? 1 : 0;
            }
            return arrived;
        }

        Assert.Equal(Errno.None, receiver.Filter(new SourceFilter().Make(from.Family, sources, share: 4)));
        Assert.Equal(Count, Arrived(from));
        Assert.InRange(Arrived(other), Count / 8, Count / 2);

        Assert.Equal(Errno.None, receiver.Filter(null));
        Assert.Equal(Errno.None, receiver.Filter(null));
        Assert.Equal(Count, Arrived(other));
    });

    [Fact]
    public void A_v6_source_address_can_be_chosen() => InLoopbackNamespace(() =>
    {
        UdpSocket sender = Open(IpFamily.V6), receiver = Open(IpFamily.V6);
        InetEndpoint from = InetEndpoint.Parse("[fd00::7]:0").WithPort(sender.Port),
            to = InetEndpoint.Parse("[::1]:0").WithPort(receiver.Port);
        Assert.Equal(Errno.None, sender.Send("x"u8, to, from));
        Assert.Equal(Errno.None, receiver.Receive(_buffer, out UdpArrival arrival));
        Assert.Equal((from, to), (arrival.From, arrival.To));
    });

    [Fact]
    public void A_link_local_peer_is_answered_by_the_interface_it_asked_on() => InLoopbackNamespace(() =>
    {
        UdpSocket asking = Open(IpFamily.V6), answering = Open(IpFamily.V6);
        InetEndpoint here = InetEndpoint.Parse("[fe80::7%1]:0");
        Assert.Equal(Errno.None, asking.Send("question"u8, here.WithPort(answering.Port), s_routed));
        Assert.Equal(Errno.None, answering.Receive(_buffer, out UdpArrival question));
        Assert.Equal(1u, question.To.Scope);
        Assert.Equal((here.WithPort(asking.Port), here.WithPort(answering.Port)), (question.From, question.To));
        Assert.Equal(Errno.None, answering.Send("answer"u8, question.From, question.To));
        Assert.Equal(Errno.None, asking.Receive(_buffer, out UdpArrival answer));
        Assert.Equal(here.WithPort(answering.Port), answer.From);
    });

    [Fact]
    public void A_link_local_source_address_brings_its_interface_along() => InLoopbackNamespace(() =>
    {
        UdpSocket sender = Open(IpFamily.V6), receiver = Open(IpFamily.V6);
        InetEndpoint from = InetEndpoint.Parse("[fe80::7%1]:0").WithPort(sender.Port);
        Assert.Equal(Errno.None, sender.Send("x"u8, InetEndpoint.Parse("[::1]:0").WithPort(receiver.Port), from));
        Assert.Equal(Errno.None, receiver.Receive(_buffer, out UdpArrival arrival));
        Assert.Equal(from, arrival.From);
    });

    [Fact]
    public void A_broadcast_arrives_at_our_own_address_of_its_network()
    {
        UdpSocket sender = Open(IpFamily.V4), receiver = Open(IpFamily.V4);
        TestLibc.Succeed(
            SocketFd.SetOption(sender.Fd, Libc.SOL_SOCKET, 6 /* SO_BROADCAST */, 1) == Errno.None ? 0 : -1);
        Assert.Equal(
            Errno.None,
            sender.Send("all"u8, InetEndpoint.Parse("127.255.255.255:0").WithPort(receiver.Port), s_routed));
        Assert.Equal(Errno.None, receiver.Receive(_buffer, out UdpArrival arrival));
        Assert.Equal("127.0.0.1", arrival.To.AddressText());
    }

    [Theory]
    [InlineData("127.0.0.1:0")]
    [InlineData("[::1]:0")]
    public void A_dead_port_comes_back_through_the_error_queue_with_what_was_sent(string loopback)
    {
        UdpSocket sender = Open(InetEndpoint.Parse(loopback).Family);
        InetEndpoint dead = DeadPort(loopback);
        Assert.Equal(Errno.None, sender.Send("anybody there?"u8, dead, s_routed));
        Assert.True(sender.TryReceiveError(_buffer, out UdpError error));
        Assert.Equal((dead, Errno.ECONNREFUSED, 14), (error.To, error.Error, error.QuotedLength));
        Assert.True(error.IsUnreachable);
        Assert.Equal("anybody there?"u8, _buffer.AsSpan(0, error.QuotedLength));
        Assert.False(sender.TryReceiveError(_buffer, out _));
    }

    [Fact]
    public void An_error_about_one_peer_neither_stops_a_datagram_to_another_nor_gets_lost()
    {
        UdpSocket sender = Open(IpFamily.V4), alive = Open(IpFamily.V4);
        InetEndpoint dead = DeadPort("127.0.0.1:0");
        Assert.Equal(Errno.None, sender.Send("one"u8, dead, s_routed));
        Assert.Equal(
            Errno.None, sender.Send("two"u8, InetEndpoint.Parse("127.0.0.1:0").WithPort(alive.Port), s_routed));
        Assert.Equal(Errno.None, alive.Receive(_buffer, out UdpArrival arrival));
        Assert.Equal(3, arrival.Length);
        Assert.True(sender.TryReceiveError(_buffer, out UdpError error));
        Assert.Equal(dead, error.To);
    }

    [Fact]
    public void An_error_is_not_taken_for_a_failed_receive()
    {
        UdpSocket sender = Open(IpFamily.V4);
        Assert.Equal(Errno.None, sender.Send("one"u8, DeadPort("127.0.0.1:0"), s_routed));
        Assert.Equal(Errno.EAGAIN, sender.Receive(_buffer, out _));
        Assert.True(sender.TryReceiveError(_buffer, out _));
    }

    [Fact]
    public void A_waiting_error_wakes_the_loop()
    {
        UdpSocket sender = Open(IpFamily.V4);
        Assert.Equal(Errno.None, Epoll.TryCreate(out Epoll? epoll));
        using Epoll _ = epoll!;
        Assert.Equal(Errno.None, epoll!.Add(sender.Fd, 5));
        Assert.Equal(Errno.None, sender.Send("one"u8, DeadPort("127.0.0.1:0"), s_routed));
        var ready = new EpollEvent[4];
        Assert.Equal(1, epoll.Wait(ready, TimeSpan.FromSeconds(5)));
        Assert.Equal(new EpollEvent(5, HasError: true), ready[0]);

        // Whatever call used the error up: it stands in the queue until it is taken from there.
        Assert.Equal(Errno.EAGAIN, sender.Receive(_buffer, out UdpArrival _));
        Assert.Equal(1, epoll.Wait(ready, TimeSpan.Zero));
        Assert.True(ready[0].HasError);
        Assert.True(sender.TryReceiveError(_buffer, out UdpError _));
        Assert.Equal(0, epoll.Wait(ready, TimeSpan.Zero));
    }

    [Fact]
    public void An_address_without_a_route_is_an_error_at_once() => InLoopbackNamespace(() =>
    {
        UdpSocket sender = Open(IpFamily.V4);
        Assert.Equal(Errno.ENETUNREACH, sender.Send("x"u8, InetEndpoint.Parse("192.0.2.1:9"), s_routed));
        Assert.False(sender.TryReceiveError(_buffer, out _));
    });

    [Theory]
    [InlineData(IpFamily.V4)]
    [InlineData(IpFamily.V6)]
    internal void A_busy_port_fails_at_bind(IpFamily family)
    {
        UdpSocket first = Open(family);
        OpError? error = UdpSocket.TryOpen(family, first.Port, out UdpSocket? second);
        Assert.Equal(new OpError("bind", Errno.EADDRINUSE), error);
        Assert.Null(second);
    }

    [Theory]
    [InlineData("127.0.0.1:0")]
    [InlineData("[::1]:0")]
    public void A_batch_takes_what_there_is_as_far_as_it_fits(string loopback)
    {
        InetEndpoint address = InetEndpoint.Parse(loopback);
        UdpSocket sender = Open(address.Family), receiver = Open(address.Family);
        var batch = new UdpBatch(capacity: 2, datagramSize: 4);
        foreach (string text in (string[])["one", "seven", "two"])
        {
            Assert.Equal(
                Errno.None,
                sender.Send(System.Text.Encoding.ASCII.GetBytes(text), address.WithPort(receiver.Port), s_routed));
        }

        Assert.Equal(Errno.None, batch.Receive(receiver, out int count));
        Assert.Equal(2, count);
        Assert.Equal("one"u8, batch.Read(receiver, 0, out UdpArrival first));
        Assert.Equal(
            new UdpArrival(3, address.WithPort(sender.Port), address.WithPort(receiver.Port), Interface: 1), first);
        Assert.Equal("seve"u8, batch.Read(receiver, 1, out UdpArrival second));
        Assert.Equal(4, second.Length);
        Assert.Equal(Errno.None, batch.Receive(receiver, out count));
        Assert.Equal(1, count);
        Assert.Equal("two"u8, batch.Read(receiver, 0, out _));
        Assert.Equal(Errno.EAGAIN, batch.Receive(receiver, out count));
        Assert.Equal(0, count);
    }

    [Fact]
    public void Both_families_can_have_the_same_port()
    {
        UdpSocket six = Open(IpFamily.V6);
        Assert.Null(UdpSocket.TryOpen(IpFamily.V4, six.Port, out UdpSocket? four));
        _open.Add(four!);
        Assert.Equal(six.Port, four!.Port);
    }

    [Theory]
    [InlineData("127.0.0.1:0")]
    [InlineData("[::1]:0")]
    public void Sending_and_receiving_allocate_nothing(string loopback)
    {
        InetEndpoint address = InetEndpoint.Parse(loopback), dead = DeadPort(loopback);
        UdpSocket socket = Open(address.Family);
        InetEndpoint self = address.WithPort(socket.Port);
        Allocations.AssertNone(() =>
        {
            Assert.True(socket.Send("message"u8, self, self) == Errno.None);
            Assert.True(socket.Receive(_buffer, out UdpArrival arrival) == Errno.None && arrival.Length == 7);
            Assert.True(socket.Send("message"u8, dead, s_routed) == Errno.None);
            Assert.True(socket.TryReceiveError(_buffer, out UdpError error) && error.QuotedLength == 7);
        });
    }

    // A loopback interface of our own, with fe80::7 and fd00::7 besides ::1.
    private static void InLoopbackNamespace(Action action) => OwnThread.Run(() =>
    {
        const ushort Up = 1;
        TestLibc.Succeed(TestLibc.unshare(TestLibc.CLONE_NEWNET));
        Assert.Equal(Errno.None, SocketFd.Open(Libc.AF_INET6, Libc.SOCK_DGRAM | Libc.SOCK_CLOEXEC, 0, out int fd));
        byte* interfaceRequest = stackalloc byte[40]; // ifreq: name 16, flags 2
        "lo"u8.CopyTo(new Span<byte>(interfaceRequest, 16));
        *(ushort*)(interfaceRequest + 16) = Up;
        TestLibc.Succeed(TestLibc.ioctl(fd, TestLibc.SIOCSIFFLAGS, interfaceRequest));
        byte* addressRequest = stackalloc byte[24]; // in6_ifreq: address 16, prefix length 4, interface 4
        foreach (string text in (string[])["[fe80::7]:0", "[fd00::7]:0", "[fd00:2::7]:0"])
        {
            InetEndpoint.Parse(text).WriteAddress(new Span<byte>(addressRequest, 16));
            (*(uint*)(addressRequest + 16), *(uint*)(addressRequest + 20)) = (64, 1);
            TestLibc.Succeed(TestLibc.ioctl(fd, TestLibc.SIOCSIFADDR, addressRequest));
        }
        SocketFd.Close(fd);
        Assert.True(SpinWait.SpinUntil(AddressesAreReady, TimeSpan.FromSeconds(5)));
        action();
    });

    // The kernel makes an address usable from a work queue; until then its flags, the fifth word, say tentative.
    private static bool AddressesAreReady()
    {
        const int Tentative = 0x40;
        string[] lines = File.ReadAllLines("/proc/thread-self/net/if_inet6");
        return lines.Length == 4 && lines.All(
            line => (Convert.ToInt32(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[4], 16) & Tentative) == 0);
    }

    private static InetEndpoint DeadPort(string loopback)
    {
        InetEndpoint address = InetEndpoint.Parse(loopback);
        Assert.Null(UdpSocket.TryOpen(address.Family, 0, out UdpSocket? socket));
        socket!.Dispose();
        return address.WithPort(socket.Port);
    }

    private UdpSocket Open(IpFamily family)
    {
        Assert.Null(UdpSocket.TryOpen(family, 0, out UdpSocket? socket));
        _open.Add(socket!);
        Assert.NotEqual(0, socket!.Port);
        return socket;
    }
}

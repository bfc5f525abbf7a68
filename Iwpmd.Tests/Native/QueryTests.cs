// SPDX-License-Identifier: MIT
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Iwpmd.Os.Interop;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Native;

/// <summary>Queries to peers, and peers' Requests, through real UDP between two hosts.</summary>
public sealed class QueryTests : IDisposable
{
    private readonly Host _near, _far;
    private readonly SimulatedKernel _kernel = new(), _farKernel = new();

    public QueryTests() => (_near, _far) = Host.Pair();

    public void Dispose()
    {
        _kernel.Dispose();
        _farKernel.Dispose();
        _near.Dispose();
        _far.Dispose();
    }

    public static TheoryData<bool, bool, string, string> Pairs()
    {
        var rows = new TheoryData<bool, bool, string, string>();
        foreach ((bool near, bool far) in ((bool, bool)[])[(true, true), (true, false), (false, true)])
        {
            rows.Add(near, far, "10.0.0.1", "10.0.0.2");
            rows.Add(near, far, "[fd00::1]", "[fd00::2]");
            rows.Add(near, far, "10.0.0.1", "10.0.0.5"); // a second address: rdma-core's daemon answers from the first
            rows.Add(near, far, "[fd00::1]", "[fd00::5]");
        }
        return rows;
    }

    private static DaemonProcess StartReady(bool isOurs, Host host, SimulatedKernel kernel)
    {
        DaemonProcess daemon = isOurs ? DaemonProcess.Foreground(host, kernel) : DaemonProcess.C(host, kernel);
        kernel.ExpectHandshake();
        kernel.Send(Scene.Register);
        kernel.ExpectMessage(message => message.Kind == KernelReplyKind.RegisterPid, "REG_PID");
        return daemon;
    }

    private DaemonProcess StartNear(string configuration = "")
    {
        _near.Write("/etc/iwpmd.conf", configuration);
        return StartReady(true, _near, _kernel);
    }

    /// <summary>Our daemon on one side at least: both kernels learn the same two mapped ports.</summary>
    [Theory]
    [MemberData(nameof(Pairs))]
    public void Both_kernels_learn_the_same_ports(bool nearIsOurs, bool farIsOurs, string near, string far)
    {
        using var kernel = new SimulatedKernel { IsForgiving = !nearIsOurs };
        using var farKernel = new SimulatedKernel { IsForgiving = !farIsOurs };
        _far.Ip("addr add fd00::5/64 dev eth0 nodad");
        using DaemonProcess first = StartReady(nearIsOurs, _near, kernel),
            second = StartReady(farIsOurs, _far, farKernel);
        KernelReply listener = farKernel.Expect(KernelReplyKind.AddMapping, farKernel.Send(Scene.Add($"{far}:7000")));

        KernelReply answer = kernel.Expect(
            KernelReplyKind.QueryMapping, kernel.Send(Scene.Query($"{near}:6000", $"{far}:7000")));
        KernelReply information = farKernel.Expect(KernelReplyKind.RemoteInfo);

        Assert.Equal(MappingError.None, answer.Error);
        Assert.Equal(listener.MappedLocal, answer.MappedRemote);
        Assert.Equal(
            (InetEndpoint.Parse($"{far}:7000"), listener.MappedLocal), (information.Local, information.MappedLocal));
        Assert.Equal(
            (InetEndpoint.Parse($"{near}:6000"), answer.MappedLocal), (information.Remote, information.MappedRemote));
        Assert.False(_near.IsTcpPortFree(
            answer.MappedLocal.Port, near[0] == '[' ? AddressFamily.InterNetworkV6 : AddressFamily.InterNetwork));

        KernelReply rejected = kernel.Expect(
            KernelReplyKind.QueryMapping, kernel.Send(Scene.Query($"{near}:6001", $"{far}:7001")));
        Assert.Equal(MappingError.RejectedByPeer, rejected.Error);
        Assert.Equal(InetEndpoint.Parse($"{far}:7001"), rejected.MappedRemote);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_host_with_either_daemon_reaches_a_kept_port(bool nearIsOurs)
    {
        using var kernel = new SimulatedKernel { IsForgiving = !nearIsOurs };
        _far.Write("/etc/iwpmd.conf", "keep_ports=7000\n");
        using DaemonProcess first = StartReady(nearIsOurs, _near, kernel), second = StartReady(true, _far, _farKernel);
        Assert.Equal(
            7000,
            _farKernel.Expect(
                KernelReplyKind.AddMapping, _farKernel.Send(Scene.Add("10.0.0.2:7000"))).MappedLocal.Port);

        KernelReply answer = kernel.Expect(
            KernelReplyKind.QueryMapping, kernel.Send(Scene.Query("10.0.0.1:6000", "10.0.0.2:7000")));

        Assert.Equal((MappingError.None, InetEndpoint.Parse("10.0.0.2:7000")), (answer.Error, answer.MappedRemote));
        Assert.Equal(answer.MappedLocal, _farKernel.Expect(KernelReplyKind.RemoteInfo).MappedRemote);
    }

    [Theory]
    [InlineData("10.0.0.1:6000", "10.0.0.5:7000")]
    [InlineData("[fd00::1]:6000", "[fd00::2]:7000")]
    public void A_host_without_a_port_mapper_is_reported_within_a_round_trip(string local, string remote)
    {
        using DaemonProcess daemon = StartNear("query_deadline=9000\n");
        var waited = Stopwatch.StartNew();

        KernelReply answer = _kernel.Expect(KernelReplyKind.QueryMapping, _kernel.Send(Scene.Query(local, remote)));

        Assert.True(waited.Elapsed < TimeSpan.FromSeconds(4), $"took {waited.Elapsed}"); // the deadline is 9 s
        Assert.Equal((MappingError.None, InetEndpoint.Parse(remote)), (answer.Error, answer.MappedRemote));
        daemon.ExpectLog("has no port mapper (ICMP)");
    }

    [Fact]
    public void A_host_that_does_not_answer_is_asked_again_until_the_deadline()
    {
        using var peer = new Peer(_far, "10.0.0.2");
        using DaemonProcess daemon = StartNear("query_deadline=600\nquery_retry=150\n");
        var waited = Stopwatch.StartNew();

        KernelReply answer = _kernel.Expect(
            KernelReplyKind.QueryMapping, _kernel.Send(Scene.Query("10.0.0.1:6000", "10.0.0.2:7000")));

        Assert.True(waited.Elapsed >= TimeSpan.FromMilliseconds(600), $"took {waited.Elapsed}");
        Assert.Equal((MappingError.None, InetEndpoint.Parse("10.0.0.2:7000")), (answer.Error, answer.MappedRemote));
        byte[][] requests = [.. peer.ReceiveAll().Select(arrival => arrival.Bytes)];
        Assert.InRange(requests.Length, 2, 4);
        Assert.All(requests, request => Assert.Equal(requests[0], request));
        Assert.False(_near.IsTcpPortFree(answer.MappedLocal.Port)); // the local port stays protected
    }

    [Fact]
    public void A_late_or_repeated_Accept_is_acknowledged_each_time_and_answers_the_kernel_once()
    {
        using var peer = new Peer(_far, "10.0.0.2");
        using DaemonProcess daemon = StartNear();
        uint query = _kernel.Send(Scene.Query("10.0.0.1:6000", "10.0.0.2:7000"));
        (byte[] bytes, IPEndPoint from) = peer.Receive();
        PeerMessage accept = Peer.Parse(bytes).AsAccept(7100);

        for (int i = 0; i < 3; i++)
        {
            peer.Send(from, accept);
        }
        Assert.Equal(7100, _kernel.Expect(KernelReplyKind.QueryMapping, query).MappedRemote.Port);
        for (int acks = 0; acks < 3;)
        {
            acks += Peer.Parse(peer.Receive().Bytes).Type == PeerMessageType.Ack ? 1 : 0;
        }
        Assert.False(_kernel.HasUnexpected(KernelReplyKind.QueryMapping));
    }

    [Fact]
    public void A_copied_Request_is_answered_again_and_sends_one_REMOTE_INFO()
    {
        using var peer = new Peer(_far, "10.0.0.2", 7001);
        using DaemonProcess daemon = StartNear();
        _kernel.Expect(KernelReplyKind.AddMapping, _kernel.Send(Scene.Add("10.0.0.1:5000")));
        byte[] request = Peer.Bytes(Peer.Request(1, "10.0.0.2:6000", "10.0.0.1:5000", "10.0.0.2:6100"));
        var mapper = new IPEndPoint(IPAddress.Parse("10.0.0.1"), Peer.MapperPort);

        peer.Send(mapper, request);
        byte[] first = peer.Receive().Bytes;
        byte[]? copy = null;
        for (var waited = Stopwatch.StartNew(); copy is null; copy = peer.ReceiveAll().Select(
            arrival => arrival.Bytes).FirstOrDefault())
        {
            Assert.True(waited.Elapsed < Timeouts.Answer, "no answer to a copy"); // none within 0.25 s of the last
            peer.Send(mapper, request);
            Thread.Sleep(50);
        }
        Assert.Equal(first, copy);
        _kernel.Expect(KernelReplyKind.RemoteInfo);
        Assert.False(_kernel.HasUnexpected(KernelReplyKind.RemoteInfo));
    }

    [Theory]
    [InlineData("10.0.0.1", "10.0.0.77")]
    [InlineData("fd00::1", "fd00::77")]
    public void The_answer_comes_from_the_address_that_was_asked(string first, string second)
    {
        bool v6 = first.Contains(':');
        _near.Ip($"addr add {second}/{(v6 ? "64" : "24")} dev eth0{(v6 ? " nodad" : "")}");
        using var peer = new Peer(_far, v6 ? "fd00::2" : "10.0.0.2", 7001);
        using DaemonProcess daemon = StartNear();
        foreach (string address in (string[])[first, second])
        {
            (string remote, string local) = v6 ? ("[fd00::2]", $"[{address}]") : ("10.0.0.2", address);
            peer.Send(
                new IPEndPoint(IPAddress.Parse(address), Peer.MapperPort),
                Peer.Request(1, $"{remote}:6000", $"{local}:5000", $"{remote}:6100"));

            Assert.Equal(new IPEndPoint(IPAddress.Parse(address), Peer.MapperPort), peer.Receive().From);
        }
    }

    [Theory]
    [InlineData("", true)]
    [InlineData("answers_from=asked\n", false)]
    public void An_answer_from_another_address_of_the_asked_host_is_taken_unless_the_configuration_forbids_it(
        string configuration, bool isTaken)
    {
        using var peer = new Peer(_far, "10.0.0.2");
        using var other = new Peer(_far, "10.0.0.3");
        using DaemonProcess daemon = StartNear(configuration + "query_deadline=1000\n");
        uint query = _kernel.Send(Scene.Query("10.0.0.1:6000", "10.0.0.2:7000"));
        (byte[] bytes, IPEndPoint from) = peer.Receive();
        other.Send(from, Peer.Parse(bytes).AsAccept(7100));

        Assert.Equal(isTaken ? 7100 : 7000, _kernel.Expect(KernelReplyKind.QueryMapping, query).MappedRemote.Port);
        if (isTaken)
        {
            (byte[] ack, IPEndPoint source) = other.Receive();
            Assert.Equal((PeerMessageType.Ack, from), (Peer.Parse(ack).Type, source));
            return;
        }
        daemon.ExpectLog("peer: answer dropped: Accept from 10.0.0.3:3935, for a query to 10.0.0.2:3935");
        Assert.Empty(other.ReceiveAll());
    }

    [Fact]
    public void The_Ack_leaves_from_the_address_to_which_the_Accept_came()
    {
        _near.Ip("addr add 10.1.0.1/24 dev eth0");
        _far.Ip("addr add 10.1.0.2/24 dev eth0");
        using var peer = new Peer(_far, "10.0.0.2");
        using var other = new Peer(_far, "10.1.0.2"); // routing would reach it from 10.1.0.1
        using DaemonProcess daemon = StartNear();
        _kernel.Send(Scene.Query("10.0.0.1:6000", "10.0.0.2:7000"));
        (byte[] bytes, IPEndPoint from) = peer.Receive();
        other.Send(from, Peer.Parse(bytes).AsAccept(7100));

        Assert.Equal(from, other.Receive().From);
    }

    [Fact]
    public void A_link_local_listener_is_found_for_a_Request_from_a_global_address()
    {
        _near.Ip("addr add fe80::1/64 dev eth0 nodad");
        uint index = _near.Run(() => Iwpmd.Os.Interop.Libc.if_nametoindex("eth0")),
            farIndex = _far.Run(() => Iwpmd.Os.Interop.Libc.if_nametoindex("eth0"));
        using var peer = new Peer(_far, "fd00::2", 7001);
        using DaemonProcess daemon = StartNear();
        ushort mapped = _kernel.Expect(
            KernelReplyKind.AddMapping, _kernel.Send(Scene.Add($"[fe80::1%{index}]:5000"))).MappedLocal.Port;
        var mapper = new IPEndPoint(IPAddress.Parse($"fe80::1%{farIndex}"), Peer.MapperPort);

        peer.Send(mapper, Peer.Request(1, "[fd00::2]:6000", "[fe80::1]:5000", "[fd00::2]:6100"));

        PeerMessage answer = Peer.Parse(peer.Receive().Bytes);
        Assert.Equal((PeerMessageType.Accept, mapped), (answer.Type, answer.Accepting.Port));
    }

    /// <summary>
    /// Both ends are ours, so that what comes in comes by the interface of the address and not by the loopback.
    /// </summary>
    [Fact]
    public void A_host_asks_itself_for_a_link_local_listener()
    {
        _near.Ip("addr add fe80::1/64 dev eth0 nodad");
        uint index = _near.Run(() => Iwpmd.Os.Interop.Libc.if_nametoindex("eth0"));
        using DaemonProcess daemon = StartNear();
        ushort mapped = _kernel.Expect(
            KernelReplyKind.AddMapping, _kernel.Send(Scene.Add($"[fe80::1%{index}]:5000"))).MappedLocal.Port;

        KernelReply answer = _kernel.Expect(
            KernelReplyKind.QueryMapping,
            _kernel.Send(Scene.Query($"[fe80::1%{index}]:6000", $"[fe80::1%{index}]:5000")));

        Assert.Equal((MappingError.None, mapped), (answer.Error, answer.MappedRemote.Port));
    }

    [Fact]
    public void REMOVE_ends_a_query_without_an_answer()
    {
        using var peer = new Peer(_far, "10.0.0.2");
        using DaemonProcess daemon = StartNear("query_deadline=300\n");
        uint query = _kernel.Send(Scene.Query("10.0.0.1:6000", "10.0.0.2:7000"));
        (byte[] bytes, IPEndPoint from) = peer.Receive();

        _kernel.Send(Scene.Remove("10.0.0.1:6000"));
        _kernel.Expect(KernelReplyKind.HandleError, _kernel.Send(Scene.Query("0.0.0.0:9", "10.0.0.2:9")));
        peer.Send(from, Peer.Parse(bytes).AsAccept(7100));
        // longer than the deadline of the first, or ICMP
        _kernel.Expect(KernelReplyKind.QueryMapping, _kernel.Send(Scene.Query("10.0.0.1:6001", "10.0.0.5:7000")));
        Thread.Sleep(400);
        Assert.False(_kernel.HasUnexpected(KernelReplyKind.QueryMapping, query));
    }
}

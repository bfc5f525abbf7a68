// SPDX-License-Identifier: MIT
using System.Diagnostics;
using Iwpmd.Core;
using Iwpmd.Daemon;
using Iwpmd.Os;
using Iwpmd.State;
using Iwpmd.Tests.Core;
using Iwpmd.Tests.Os;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace Iwpmd.Tests.Daemon;

/// <summary>The real loop with real sockets, over a socket pair to a kernel that is a thread.</summary>
[Collection(OsCollection.Name)]
public sealed class LoopTests : IDisposable
{
    private static readonly InetEndpoint s_loopback = InetEndpoint.Parse("127.0.0.1:0");

    private readonly FakeKernel _kernel = new();
    private readonly StateLayout _state = StateLayout.InMemory(StateCapacity.For(256), World.Identity);
    private readonly PeerSockets _peers;
    private readonly ushort _port;
    private readonly Thread _thread;
    private long _allocated;
    private int _status = -1;

    public LoopTests()
    {
        _port = FreeUdpPort();
        _peers = PeerSockets.Open(_port, [], NullLogger.Instance);
        _thread = new Thread(Run);
        _thread.Start();
        Assert.Equal(KernelReplyKind.Hello, _kernel.Next().Kind);
        Assert.Equal(KernelReplyKind.MapInfo, _kernel.Next().Kind);
    }

    public void Dispose()
    {
        Stop(TestLibc.SIGTERM);
        _kernel.Dispose();
        _peers.Dispose();
    }

    private static ushort FreeUdpPort()
    {
        Assert.Null(UdpSocket.TryOpen(IpFamily.V4, 0, out UdpSocket? socket));
        using (socket)
        {
            return socket!.Port;
        }
    }

    private void Run()
    {
        Assert.Equal(Errno.None, Signals.TryInstall(out Signals? signals));
        Assert.Equal(Errno.None, Epoll.TryCreate(out Epoll? epoll));
        var ports = new TcpPorts(
            new PortRange(20000, 30000), RangeOwner.Host, [], Entropy.Random64(), NullLogger.Instance);
        var mapper = new PortMapper(_state, ports, new PortMapperSettings(), Entropy.Random64, NullLogger.Instance);
        using var kernel = new KernelLink(_kernel.Daemon, new Heartbeat(_state), _state, NullLogger.Instance);
        var exchange = new Exchange(mapper, kernel, _peers, NullLogger.Instance);
        var loop = new EventLoop(mapper, kernel, _peers, exchange, signals!, epoll!, NullLogger.Instance)
        {
            OnWake = now =>
            {
                Volatile.Write(ref _allocated, GC.GetAllocatedBytesForCurrentThread());
                return now + EventLoop.Tick;
            },
        };
        Assert.Equal(Errno.None, loop.Register());
        mapper.Start(Clock.Now);
        exchange.Drain();
        _status = loop.Run();
        signals!.Dispose();
        epoll!.Dispose();
    }

    private void Stop(int signal)
    {
        if (_thread.IsAlive)
        {
            TestLibc.Succeed(TestLibc.kill(Environment.ProcessId, signal));
            Assert.True(_thread.Join(TimeSpan.FromSeconds(20)), "the loop does not end");
        }
    }

    private static KernelRequest Register(uint sequence) =>
        new()
        {
            Operation = KernelOperation.RegisterPid,
            Client = 2,
            Sequence = sequence,
            Device = new FixedName("siw0"),
            Library = new FixedName("iWarpPortMapperUser"),
        };

    private static KernelRequest Add(ushort port, uint sequence) =>
        new()
        {
            Operation = KernelOperation.AddMapping,
            Client = 2,
            Sequence = sequence,
            Local = s_loopback.WithPort(port),
        };

    private static KernelRequest Remove(ushort port) =>
        new() { Operation = KernelOperation.RemoveMapping, Client = 2, Local = s_loopback.WithPort(port) };

    private static Errno TryBind(ushort port)
    {
        Assert.Equal(Errno.None, TcpPortSocket.Open(IpFamily.V4, out int fd));
        Errno error = TcpPortSocket.Bind(fd, IpFamily.V4, port);
        TcpPortSocket.Close(fd);
        return error;
    }

    [Fact]
    public void A_replay_that_the_kernel_cuts_short_is_no_refusal()
    {
        _kernel.Acks.Enqueue(new KernelRequest { Operation = KernelOperation.Done });
        // "Insufficient skbs for map info"
        _kernel.Acks.Enqueue(new KernelRequest { Operation = KernelOperation.Done, Result = -(int)Errno.ENOMEM });
        _kernel.Say(Register(1));
        Assert.Equal(KernelReplyKind.Hello, _kernel.Next().Kind); // a kernel that counts from 1 again is a new one
        Assert.Equal(KernelReplyKind.MapInfo, _kernel.Next().Kind);
        _kernel.Say(Add(5000, 7));
        while (_kernel.Next().RequestSequence != 7)
        {
        }
        Assert.Equal(HandshakeState.Ready, _state.Health.Kernel);
    }

    [Fact]
    public void A_lost_HELLO_is_sent_again_and_is_no_refusal()
    {
        _kernel.Acks.Enqueue(new KernelRequest { Operation = KernelOperation.Error, Result = -(int)Errno.EBUSY });
        _kernel.Say(Register(1));
        Assert.Equal(KernelReplyKind.Hello, _kernel.Next().Kind); // a kernel that counts from 1 again is a new one
        Assert.Equal(KernelReplyKind.Hello, _kernel.Next().Kind);
        KernelReply replay = _kernel.Next();
        Assert.Equal((KernelReplyKind.MapInfo, KernelProtocol.Abi), (replay.Kind, replay.Abi));
    }

    [Fact]
    public void An_add_holds_a_real_port_until_its_remove()
    {
        _kernel.Say(Add(5000, 7));
        KernelReply reply = _kernel.Next();
        Assert.Equal((KernelReplyKind.AddMapping, 7u), (reply.Kind, reply.RequestSequence));
        Assert.Equal(Errno.EADDRINUSE, TryBind(reply.MappedLocal.Port));

        _kernel.Say(Remove(5000), Add(5001, 8)); // served in order: after the second answer the first is done
        Assert.Equal(8u, _kernel.Next().RequestSequence);
        Assert.Equal(Errno.None, TryBind(reply.MappedLocal.Port));
    }

    [Fact]
    public void One_bad_message_does_not_take_its_neighbours_with_it()
    {
        byte[] bad = KernelBytes.Message((2 << 10) + 1, 1, 8, 0, KernelBytes.Attribute(2, new byte[12]));
        byte[] alien = KernelBytes.Message((2 << 10) + 200, 1, 9, 0, []);
        _kernel.SayBytes([.. KernelBytes.Of(Add(5000, 7)), .. bad, .. alien, .. KernelBytes.Of(Add(5001, 10))]);
        Assert.Equal(
            [(KernelReplyKind.AddMapping, 7u), (KernelReplyKind.HandleError, 8u), (KernelReplyKind.AddMapping, 10u)],
            Enumerable.Range(0, 3).Select(_ => _kernel.Next()).Select(reply => (reply.Kind, reply.RequestSequence)));
    }

    [Fact]
    public void A_reply_that_the_kernel_lost_is_sent_again()
    {
        _kernel.Acks.Enqueue(new KernelRequest { Operation = KernelOperation.Error, Result = -(int)Errno.EBUSY });
        _kernel.Say(Add(5000, 7));
        Assert.Equal(_kernel.Next(), _kernel.Next());
        Assert.Equal(MappingState.Held, _state.Mappings[0].State);
    }

    [Fact]
    public void A_lost_ACK_is_not_waited_for_while_requests_keep_coming()
    {
        _kernel.LosesAck = true;
        _kernel.Say(Add(5000, 7));
        Assert.Equal(7u, _kernel.Next().RequestSequence);
        var clock = Stopwatch.StartNew();
        for (ushort i = 8; _kernel.WasToldNothing; i++)
        {
            Assert.True(clock.Elapsed < TimeSpan.FromSeconds(10));
            _kernel.Say(Add((ushort)(5000 + i), i));
            Thread.Sleep(100);
        }
        Assert.Equal(8u, _kernel.Next().RequestSequence);
    }

    [Fact]
    public void However_much_comes_before_an_ACK_nothing_is_lost()
    {
        byte[] datagram = [.. Enumerable.Repeat(KernelBytes.Of(Remove(9999)), 50).SelectMany(bytes => bytes)];
        byte[][] removes = [.. Enumerable.Repeat(datagram, 800)];
        for (int i = 0; i < 3; i++)
        {
            _kernel.Meanwhile.Enqueue(() => Array.ForEach(removes, _kernel.SayBytes));
        }
        _kernel.Say([.. Enumerable.Range(7, 3).Select(i => Add((ushort)(5000 + i), (uint)i))]);
        Assert.Equal(Enumerable.Range(7, 3), Enumerable.Range(7, 3).Select(_ => (int)_kernel.Next().RequestSequence));
        _kernel.Say(Add(5000, 20));
        Assert.Equal(20u, _kernel.Next().RequestSequence);
        Assert.Equal(
            (3ul * 800 * 50, 0ul),
            (_state.Counters[(int)Counter.Removes], _state.Counters[(int)Counter.KernelOverruns]));
    }

    [Fact]
    public void The_outbox_is_bounded_and_the_rest_is_handled_later()
    {
        const int Total = 20000, PerDatagram = 40;
        _kernel.Meanwhile.Enqueue(() =>
        {
            for (uint i = 0; i < Total; i += PerDatagram)
            {
                _kernel.Say([.. Enumerable.Range(0, PerDatagram).Select(j => Add(5000, (uint)(100 + i + j)))]);
            }
        });
        _kernel.Say(Add(5000, 7));
        Assert.Equal(7u, _kernel.Next().RequestSequence);
        Assert.Equal(
            Enumerable.Range(100, Total), Enumerable.Range(0, Total).Select(_ => (int)_kernel.Next().RequestSequence));
        Stop(TestLibc.SIGTERM);
        // an effect has 320 bytes, and each doubling allocates again: 26 MB without a bound
        Assert.InRange(_allocated, 1_000_000, 18_000_000);
    }

    [Fact]
    public void A_source_that_never_ends_keeps_neither_the_kernel_nor_peers_nor_a_signal_waiting()
    {
        _kernel.Say(Add(5000, 7));
        Assert.Equal(7u, _kernel.Next().RequestSequence);
        bool ended = false;
        byte[] meaningless = [1, 2, 3];
        Thread[] noise = [.. Enumerable.Range(0, 3).Select(_ => new Thread(() =>
        {
            while (!Volatile.Read(ref ended))
            {
                _kernel.TrySay(meaningless);
            }
        }))];
        Array.ForEach(noise, thread => thread.Start());
        try
        {
            Thread.Sleep(200);
            Assert.Equal(PeerMessageType.Reject, Ask(7175, 1).Type);
            _kernel.Say(Add(5001, 8));
            KernelReply reply;
            do
            {
                reply = _kernel.Next();
            }
            while (reply.RequestSequence != 8); // there may be probes before it
            var clock = Stopwatch.StartNew();
            Stop(TestLibc.SIGTERM);
            Assert.InRange(clock.Elapsed, TimeSpan.Zero, TimeSpan.FromSeconds(3));
        }
        finally
        {
            Volatile.Write(ref ended, true);
            Array.ForEach(noise, thread => thread.Join());
        }
    }

    [Fact]
    public void A_registration_that_comes_during_a_long_send_is_not_answered_before_the_kernel_expects_it()
    {
        for (uint mapped = 7; mapped < 17; mapped += 2) // the first is slow by itself, and shows nothing
        {
            uint answered = mapped + 1;
            long askedAt = 0;
            _kernel.Meanwhile.Enqueue(() =>
            {
                Thread.Sleep(10);
                askedAt = Stopwatch.GetTimestamp();
                _kernel.Say(Register(answered));
                // more than a turn, so that the loop does not sleep
                Array.ForEach([.. Enumerable.Repeat(Remove(9999), 100)], remove => _kernel.Say(remove));
            });
            _kernel.Say(Add(5000, mapped));
            Assert.Equal(mapped, _kernel.Next().RequestSequence);
            (KernelReply answer, long at) = _kernel.NextAt();
            Assert.Equal((KernelReplyKind.RegisterPid, answered), (answer.Kind, answer.RequestSequence));
            Assert.True(Stopwatch.GetElapsedTime(askedAt, at) >= Registrations.Delay);
        }
    }

    [Fact]
    public void An_end_waits_until_a_registration_is_answered()
    {
        _kernel.Say(Register(50));
        _kernel.Say(Add(5000, 51));
        Assert.Equal(51u, _kernel.Next().RequestSequence); // at once
        Stop(TestLibc.SIGTERM);
        KernelReply answer = _kernel.Next();
        Assert.Equal((KernelReplyKind.RegisterPid, 50u), (answer.Kind, answer.RequestSequence));
    }

    /// <summary>Where there is no room for an ACK the kernel takes the message later, perhaps too late.</summary>
    [Fact]
    public void An_end_leaves_room_for_the_ACKs_of_its_answers()
    {
        const int Total = 200, PerDatagram = 40;
        _kernel.Meanwhile.Enqueue(() =>
        {
            TestLibc.Succeed(TestLibc.kill(Environment.ProcessId, TestLibc.SIGTERM));
            foreach (int[] some in Enumerable.Range(100, Total).Chunk(PerDatagram))
            {
                _kernel.Say([.. some.Select(i => Add((ushort)(5000 + i), (uint)i))]);
            }
        });
        _kernel.Say(Add(5000, 7));
        Assert.Equal(7u, _kernel.Next().RequestSequence);
        Assert.Equal(
            Enumerable.Range(100, Total), Enumerable.Range(0, Total).Select(_ => (int)_kernel.Next().RequestSequence));
    }

    [Fact]
    public void A_reply_that_the_kernel_refuses_gives_the_port_back()
    {
        _kernel.Acks.Enqueue(new KernelRequest { Operation = KernelOperation.Done, Result = -(int)Errno.EINVAL });
        _kernel.Say(Add(5000, 7));
        ushort port = _kernel.Next().MappedLocal.Port;
        _kernel.Say(Add(5001, 8));
        Assert.Equal(8u, _kernel.Next().RequestSequence);
        Assert.Equal((MappingState.Fallback, Errno.None), (_state.Mappings[0].State, TryBind(port)));
    }

    [Fact]
    public void A_peer_is_answered_and_the_kernel_hears_of_it()
    {
        _kernel.Say(Add(7174, 7));
        ushort mapped = _kernel.Next().MappedLocal.Port;
        PeerMessage accept = Ask(7174, 1);
        Assert.Equal((PeerMessageType.Accept, mapped), (accept.Type, accept.Accepting.Port));
        Assert.Equal(KernelReplyKind.RemoteInfo, _kernel.Next().Kind);
        Assert.Equal(PeerMessageType.Reject, Ask(7175, 2).Type);
    }

    [Fact]
    public void A_query_to_a_host_without_a_port_mapper_is_answered_within_a_round_trip()
    {
        // 127.0.0.2 has nobody at 3935: nothing else on the test machine may use that port on this address.
        TimeSpan asked = Clock.Now;
        _kernel.Say(
            new KernelRequest
            {
                Operation = KernelOperation.QueryMapping,
                Client = 2,
                Sequence = 7,
                Local = s_loopback.WithPort(5000),
                Remote = InetEndpoint.Parse("127.0.0.2:7174"),
            });
        KernelReply reply = _kernel.Next();
        Assert.Equal(
            (KernelReplyKind.QueryMapping, MappingError.None, "127.0.0.2:7174"),
            (reply.Kind, reply.Error, reply.MappedRemote.ToString()));
        Assert.Equal(1ul, _state.Counters[(int)Counter.QueriesUnreachable]);
        Assert.True(Clock.Now - asked < new PortMapperSettings().QueryDeadline);
    }

    [Fact]
    public void A_steady_loop_allocates_nothing()
    {
        using UdpSocket peer = OpenPeer();
        void Cycle(int rounds)
        {
            for (int i = 0; i < rounds; i++)
            {
                _kernel.Say(Add(5000, 7));
                ushort mapped = _kernel.Next().MappedLocal.Port;
                PeerMessage accept = Ask(5000, (ulong)i + 1, peer);
                _kernel.Next(); // REMOTE_INFO
                Send(peer, accept.AsAck());
                _kernel.Say(Remove(5000));
            }
        }
        // What allocates in steady state does so in every window; the compiler's second thoughts about the code it
        // first made do not.
        long allocated = -1;
        int windows = 0;
        for (; windows < 6 && allocated != 0; windows++)
        {
            long before = Volatile.Read(ref _allocated);
            Cycle(300);
            allocated = Volatile.Read(ref _allocated) - before;
        }
        Assert.Equal(0, allocated);
        Assert.True(SpinWait.SpinUntil(
            () => _state.Counters[(int)Counter.PeerAcks] == (ulong)windows * 300, TimeSpan.FromSeconds(20)));
    }

    [Fact]
    public void SIGTERM_ends_with_0()
    {
        Stop(TestLibc.SIGTERM);
        Assert.Equal(ExitStatus.Ended, _status);
    }

    [Fact]
    public void SIGHUP_ends_with_1()
    {
        Stop(TestLibc.SIGHUP);
        Assert.Equal(ExitStatus.Failure, _status);
    }

    private static UdpSocket OpenPeer()
    {
        Assert.Null(UdpSocket.TryOpen(IpFamily.V4, 0, out UdpSocket? socket));
        return socket!;
    }

    private void Send(UdpSocket socket, in PeerMessage message)
    {
        Span<byte> bytes = stackalloc byte[PeerMessage.RequestSize];
        Assert.Equal(Errno.None, socket.Send(bytes[..message.Write(bytes)], s_loopback.WithPort(_port), default));
    }

    private PeerMessage Ask(ushort port, ulong handle)
    {
        using UdpSocket peer = OpenPeer();
        return Ask(port, handle, peer);
    }

    private PeerMessage Ask(ushort port, ulong handle, UdpSocket peer)
    {
        Send(peer, new PeerMessage(
            PeerMessageType.Request, handle, s_loopback.WithPort(6000), s_loopback.WithPort(port), default));
        Span<byte> bytes = stackalloc byte[PeerMessage.RequestSize];
        Assert.True(SocketFd.WaitReadable(peer.Fd, TimeSpan.FromSeconds(20)), "no answer to a Request");
        Assert.Equal(Errno.None, peer.Receive(bytes, out UdpArrival arrival));
        Assert.True(PeerMessage.TryParse(bytes[..arrival.Length], out PeerMessage message, out string? reason), reason);
        return message;
    }
}

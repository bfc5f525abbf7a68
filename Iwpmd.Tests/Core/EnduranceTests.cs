// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.State;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace Iwpmd.Tests.Core;

/// <summary>A day of work in seconds: nothing grows, nothing is left.</summary>
public class EnduranceTests
{
    private const int Rounds = 1_250_000, OperationsOfRound = 8, WarmUp = 20_000;

    private readonly FakePorts _ports = new();
    private readonly StateLayout _state = StateLayout.InMemory(StateCapacity.For(1024), World.Identity);
    private readonly PortMapper _mapper;
    private TimeSpan _now = TimeSpan.FromSeconds(1000);
    private uint _sequence = 10;
    private ulong _dice = 1;

    public EnduranceTests()
    {
        _mapper = new PortMapper(
            _state, _ports, new PortMapperSettings(), () => _dice += 0x9e3779b97f4a7c15, NullLogger.Instance);
        _mapper.Start(_now);
        Drain();
        Effect replay = Kernel(
            new KernelRequest { Operation = KernelOperation.Hello, Client = 2, Sequence = 1, Number = 4 });
        _mapper.OnSent(replay.Reply, new SendResult(Delivery.Taken), _now);
        Assert.Equal(HandshakeState.Ready, _mapper.Kernel);
    }

    [Fact]
    public void Ten_million_operations_in_24_hours_allocate_nothing_and_leave_nothing()
    {
        TimeSpan round = TimeSpan.FromHours(24) / Rounds;
        long allocated = 0;
        for (int i = 0; i < Rounds; i++)
        {
            if (i == WarmUp)
            {
                allocated = GC.GetAllocatedBytesForCurrentThread();
            }
            Round(i);
            _now += round;
            _mapper.Expire(_now);
            Drain();
        }
        allocated = GC.GetAllocatedBytesForCurrentThread() - allocated;
        _now += TimeSpan.FromSeconds(20);
        _mapper.Expire(_now);

        Assert.Equal((0, 0, 0), (_mapper.Mappings.Count, _mapper.Conversations.Count, _ports.Held.Count));
        Assert.Equal(
            (ulong)Rounds * OperationsOfRound,
            _state.Counters[(int)Counter.Adds] + _state.Counters[(int)Counter.Queries]
                + _state.Counters[(int)Counter.Removes]
            + _state.Counters[(int)Counter.PeerRequests] + _state.Counters[(int)Counter.PeerAcks]
                + _state.Counters[(int)Counter.PeerAccepts] + _state.Counters[(int)Counter.PeerRejects]);
        Assert.InRange(allocated, 0, 1 << 20); // the sets of the test's own ports
        Assert.InRange(_state.Header.MappingsHighWater, 1, 8);
    }

    /// <summary>
    /// A listener that a peer asks for and comes to, and a connection to another host, every other one rejected; all
    /// end.
    /// </summary>
    private void Round(int i)
    {
        InetEndpoint listener = new(IpFamily.V4, 0, 0x0a000001, 5000), peer = new(
            IpFamily.V4, 0, 0x0a000002 + ((ulong)i % 5000), 41111), far = new(IpFamily.V4, 0, 0x0a010002, 7174);
        Kernel(KernelOperation.AddMapping, listener);
        Effect accept = Peer(
            peer, new PeerMessage(PeerMessageType.Request, (ulong)i + 1, peer.WithPort(5001), listener, default));
        Expect(PeerMessageType.Accept, accept);
        Peer(peer, accept.Message.AsAck());
        InetEndpoint connecting = listener.WithPort(6000);
        Effect asked = Kernel(KernelOperation.QueryMapping, connecting, far);
        Expect(PeerMessageType.Request, asked);
        Peer(asked.To, i % 2 == 0 ? asked.Message.AsAccept(45000) : asked.Message.AsReject());
        Kernel(KernelOperation.RemoveMapping, connecting);
        Kernel(KernelOperation.RemoveMapping, listener);
        // rejected: it is gone
        Peer(peer, new PeerMessage(PeerMessageType.Request, (ulong)i + 1, peer.WithPort(5001), listener, default));
    }

    /// <summary>Without an assertion's own allocations.</summary>
    private static void Expect(PeerMessageType type, in Effect effect)
    {
        if (effect.IsToKernel || effect.Message.Type != type)
        {
            Assert.Fail($"{effect.Message.Type} instead of {type}");
        }
    }

    private Effect Kernel(KernelOperation operation, in InetEndpoint local, in InetEndpoint remote = default) =>
        Kernel(
            new KernelRequest
            {
                Operation = operation,
                Client = 2,
                Sequence = _sequence++,
                Local = local,
                Remote = remote,
            });

    private Effect Kernel(in KernelRequest request)
    {
        _mapper.Handle(request, _now, _now);
        return Drain();
    }

    private Effect Peer(in InetEndpoint from, in PeerMessage message)
    {
        _mapper.Handle(new PeerArrival(from, default, 2), message, _now);
        return Drain();
    }

    /// <summary>The last message to a peer, or else to the kernel, of those that were decided.</summary>
    private Effect Drain()
    {
        Effect last = default;
        for (; _mapper.Outbox.Count > 0; _mapper.Outbox.Dequeue())
        {
            Effect effect = _mapper.Outbox.Peek();
            last = effect.IsToKernel && !last.IsToKernel && last.Message.Handle != 0 ? last : effect;
        }
        return last;
    }
}

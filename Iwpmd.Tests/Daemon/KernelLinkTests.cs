// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.Daemon;
using Iwpmd.Os;
using Iwpmd.State;
using Iwpmd.Tests.Core;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace Iwpmd.Tests.Daemon;

/// <summary>What becomes of a message to the kernel, and of what is read meanwhile.</summary>
public sealed class KernelLinkTests : IDisposable
{
    private readonly FakeKernel _kernel = new();
    private readonly StateLayout _state = StateLayout.InMemory(StateCapacity.For(256), World.Identity);
    private readonly KernelLink _link;

    public KernelLinkTests() => _link = new(_kernel.Daemon, new Heartbeat(_state), _state, NullLogger.Instance);

    public void Dispose()
    {
        _link.Dispose();
        _kernel.Dispose();
    }

    /// <summary>A late one can crash the kernel.</summary>
    [Fact]
    public void An_answer_that_the_kernel_lost_is_not_sent_again_when_its_time_is_over()
    {
        _kernel.Acks.Enqueue(new KernelRequest { Operation = KernelOperation.Error, Result = -(int)Errno.EBUSY });
        TimeSpan now = Clock.Now;
        Assert.Equal(
            new SendResult(Delivery.Unsent, -(int)Errno.EBUSY),
            _link.Send(new KernelReply { Kind = KernelReplyKind.HandleError, Sequence = 7 }, answerBy: now, now));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_message_that_the_kernel_does_not_take_is_not_sent(bool leavesAcks)
    {
        _kernel.Dispose();
        _link.LeavesAcksUnread = leavesAcks;
        SendResult? sent = _link.Send(
            new KernelReply { Kind = KernelReplyKind.HandleError, Sequence = 7 }, TimeSpan.MaxValue, Clock.Now);
        Assert.Equal(new SendResult(Delivery.Unsent, -(int)Errno.ECONNREFUSED), sent);
    }

    /// <summary>A new iw_cm, 30 requests, and one more that comes before an ACK that is read.</summary>
    [Fact]
    public void What_a_process_has_read_at_its_end_it_answers()
    {
        var mapper = new PortMapper(_state, new FakePorts(), new PortMapperSettings(), () => 1, NullLogger.Instance);
        using PeerSockets peers = PeerSockets.Open(0, [], NullLogger.Instance);
        var exchange = new Exchange(mapper, _link, peers, NullLogger.Instance);
        mapper.Start(Clock.Now);
        exchange.Drain();
        while (mapper.Kernel != HandshakeState.Ready)
        {
            _ = exchange.ServeKernel(Clock.Now);
        }
        const int ReadOfEach = 8;
        for (int i = 1; i < ReadOfEach; i++)
        {
            _kernel.Meanwhile.Enqueue(() => { });
        }
        _kernel.Meanwhile.Enqueue(() => _kernel.Say(Add(99)));
        _kernel.Say([Register(1), .. Enumerable.Range(10, 30).Select(number => Add((uint)number))]);
        _link.ReceiveAll(Clock.Now);
        Assert.Equal(31, _link.Inbox.Count);

        exchange.DrainBeforeExit();

        Assert.Equal(0, _link.Inbox.Count);
    }

    private static KernelRequest Register(uint sequence) => new()
    {
        Operation = KernelOperation.RegisterPid,
        Client = 2,
        Sequence = sequence,
        Device = new FixedName("siw0"),
        Library = new FixedName("iWarpPortMapperUser"),
    };

    private static KernelRequest Add(uint sequence) => new()
    {
        Operation = KernelOperation.AddMapping,
        Client = 2,
        Sequence = sequence,
        Local = InetEndpoint.Parse($"10.0.0.1:{5000 + sequence}"),
    };
}

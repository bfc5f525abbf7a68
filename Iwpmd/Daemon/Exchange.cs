// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.Os;
using Iwpmd.State;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;

namespace Iwpmd.Daemon;

/// <summary>
/// Between the sockets and the core: hands it one message after the other, and sends what each leads to before the next.
/// What became of a message to the kernel goes back to the core.
/// </summary>
internal sealed class Exchange(PortMapper mapper, KernelLink kernel, PeerSockets sockets, ILogger log)
{
    /// <summary>How much of one source is served before the others have their turn.</summary>
    private const int BatchLimit = 64, PeerBatchLimit = 8, PeerErrorLimit = 64;

    /// <summary>2.6 MB: with so much to say nothing more is handled.</summary>
    private const int OutboxLimit = 8192;

    /// <summary>So many ACKs fit into any receive buffer.</summary>
    private const int UnreadAckLimit = 256;

    private static readonly TimeSpan ExitLimit = PortMapper.RegistrationDelay + TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan LimiterPeriod = TimeSpan.FromSeconds(10);

    private readonly UdpBatch _batch = new(PeerBatchLimit, PeerMessage.RequestSize + 1); // Differs: one more shows what is too long, and is dropped instead of cut
    private readonly byte[] _quoted = new byte[PeerMessage.RequestSize];
    private readonly byte[] _datagram = new byte[PeerMessage.RequestSize];
    private LogGate _sendLimiter = new(LimiterPeriod, burst: 5);
    private LogGate _lateLimiter = new(LimiterPeriod, burst: 1);
    private readonly Fifo<PendingAck> _acks = new(4);
    private TimeSpan _nextProbe;
    private long _handled; // arrivals from the kernel

    /// <summary>An ACK whose turn comes when so many arrivals have been handled.</summary>
    private readonly record struct PendingAck(KernelReply Reply, SendResult Sent, long After);

    /// <summary>Requests and Acks are taken from these interfaces only.</summary>
    public NamedInterfaces From { get; set; } = new([]);

    /// <summary>Messages of the kernel were read, or lost, and not yet served.</summary>
    public bool IsKernelWaiting => HasNext || kernel.HasOverrun;

    private bool HasNext => kernel.Inbox.Count > 0 || _acks.Count > 0;

    /// <summary>Returns the time then.</summary>
    public TimeSpan ServeKernel()
    {
        kernel.ReceiveAll();
        NoticeOverrun();
        TimeSpan now = Clock.Now;
        if (now - kernel.SeenEmpty > EventLoop.Tick && now >= _nextProbe && mapper.Kernel == HandshakeState.Ready)
        {
            _nextProbe = now + EventLoop.Tick; // what never ends keeps the socket from being seen empty, and all that is asked would soon be too old
            mapper.Probe();
            Drain();
        }
        return ServeInbox(BatchLimit);
    }

    public void ServePeer(UdpSocket socket, EpollEvent ready)
    {
        for (int i = 0; i < PeerErrorLimit && ready.HasError && socket.TryReceiveError(_quoted, out UdpError failure); i++)
        {
            if (failure.IsUnreachable)
            {
                ulong handle = ReadHandle(_quoted.AsSpan(0, Math.Min(failure.QuotedLength, _quoted.Length)));
                mapper.HandleUnreachable(failure.To, handle, FallbackCauses.Of(failure), failure.Source, Clock.Now);
                Drain();
            }
        }
        TimeSpan now = Clock.Now;
        for (int i = 0, count = _batch.Receive(socket); i < count; i++)
        {
            ReadOnlySpan<byte> datagram = _batch.Read(socket, i, out UdpArrival arrival);
            if (!PeerMessage.TryParse(datagram, out PeerMessage message, out string? reason))
            {
                mapper.Drop(arrival.From, reason, now);
            }
            else if (message.Type is PeerMessageType.Accept or PeerMessageType.Reject || From.Takes(arrival.Interface, now))
            {
                mapper.Handle(new PeerArrival(arrival.From, arrival.To, arrival.Interface), message, now); // Differs: answers leave from the address that was asked
                Drain();
            }
            else
            {
                mapper.Deny(now);
            }
        }
    }

    /// <summary>Sends what the core decided, in order.</summary>
    public void Drain()
    {
        while (mapper.Outbox.Count > 0)
        {
            ref readonly Effect effect = ref mapper.Outbox.Peek();
            if (effect.IsToKernel)
            {
                SendToKernel(effect);
            }
            else
            {
                SendToPeer(effect);
            }
            mapper.Outbox.Dequeue();
        }
    }

    /// <summary>
    /// Serves all that was read, so that nothing is lost with this process; what stands in the socket is the next one's. Under load each answer brings a new
    /// request, so nothing more is read from it: many answers leave by another one, few leave their ACKs unread.
    /// </summary>
    public void DrainBeforeExit()
    {
        NoticeOverrun();
        TimeSpan until = Clock.Now + ExitLimit;
        bool isAside = (mapper.HasDeferredRequests || kernel.Inbox.Count > UnreadAckLimit) && kernel.TryAnswerAside();
        while ((mapper.IsInHandshake || (!isAside && kernel.Inbox.Count > UnreadAckLimit)) && Clock.Now < until)
        {
            kernel.ReceiveAll();
            _ = ServeInbox(BatchLimit);
            mapper.Expire(Clock.Now);
            Drain();
        }
        kernel.LeavesAcksUnread = true;
        do
        {
            _ = ServeInbox(int.MaxValue);
            mapper.Expire(Clock.Now);
            Drain();
            if (mapper.HasDeferredRequests)
            {
                Thread.Sleep(1); // a registration has its time
            }
        }
        while (mapper.HasDeferredRequests && Clock.Now < until);
        NoticeOverrun(); // the handshake it begins is not ended here: so the next daemon says hello again
    }

    private void NoticeOverrun()
    {
        if (kernel.TakeOverrun())
        {
            mapper.OnOverrun(Clock.Now);
            Drain();
        }
    }

    private TimeSpan ServeInbox(int limit)
    {
        TimeSpan now = Clock.Now;
        for (int i = 0; i < limit && HasNext; i++)
        {
            HandleNext(now);
            if (mapper.Outbox.Count > 0)
            {
                Drain(); // only now: it adds to the inbox
                now = Clock.Now; // what was added is later than before
            }
        }
        return now;
    }

    private void HandleNext(TimeSpan now)
    {
        if (_acks.Count > 0 && _acks.Peek().After <= _handled)
        {
            HandleAck(now);
            return;
        }
        ref readonly KernelArrival arrival = ref kernel.Inbox.Peek();
        mapper.Handle(arrival.Request, arrival.NotBefore, now);
        kernel.Inbox.Dequeue();
        _handled++;
    }

    private void HandleAck(TimeSpan now)
    {
        PendingAck ack = _acks.Peek();
        _acks.Dequeue();
        mapper.OnSent(ack.Reply, ack.Sent, now);
    }

    private void SendToKernel(in Effect effect)
    {
        TimeSpan now = Clock.Now; // a fresh one: the process may have been stopped since the decision
        if (now > effect.AnswerBy)
        {
            if (_lateLimiter.TryPass(now, out string suppressed))
            {
                Log.AnswerTooLate(log, effect.Reply.Kind, suppressed);
            }
            mapper.OnSent(effect.Reply, new SendResult(Delivery.Unsent), now);
            return;
        }
        SendResult? result = kernel.Send(effect.Reply, now);
        while (result is null)
        {
            for (now = Clock.Now; HasNext && mapper.Outbox.Count < OutboxLimit;)
            {
                HandleNext(now); // what this leads to is sent in its turn
            }
            result = kernel.Await();
        }
        if (result.Value.Delivery == Delivery.AckLeft)
        {
            return;
        }
        if (effect.IsAckInOrder)
        {
            Defer(effect.Reply, result.Value);
        }
        else
        {
            mapper.OnSent(effect.Reply, result.Value, now);
        }
    }

    /// <summary>Until what came before the ACK has been handled.</summary>
    private void Defer(in KernelReply reply, SendResult sent) =>
        _acks.Enqueue() = new PendingAck(reply, sent, _handled + kernel.Inbox.Count);

    private void SendToPeer(in Effect effect)
    {
        UdpSocket? socket = sockets.Find(effect.To.Family, effect.Via);
        int length = effect.Message.Write(_datagram);
        Errno error = socket is null ? Errno.FamilyNotSupported : socket.Send(_datagram.AsSpan(0, length), effect.To, effect.From);
        if (error == Errno.None)
        {
            return;
        }
        TimeSpan now = Clock.Now;
        if (_sendLimiter.TryPass(now, out string suppressed))
        {
            Log.PeerSendFailed(log, effect.Message.Type, effect.To, error, suppressed);
        }
        FallbackCause cause = FallbackCauses.Of(error);
        if (effect.Message.Type == PeerMessageType.Request && cause != FallbackCause.None)
        {
            mapper.HandleUnreachable(effect.To, effect.Message.Handle, cause, default, now);
        }
    }

    /// <summary>The handle of the message that an ICMP error quotes; 0 when it quotes less.</summary>
    private static ulong ReadHandle(ReadOnlySpan<byte> quoted) => PeerMessage.TryReadHandle(quoted, out ulong handle) ? handle : 0;
}

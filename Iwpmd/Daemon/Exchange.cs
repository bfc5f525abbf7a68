// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;
using Iwpmd.Core;
using Iwpmd.Os;
using Iwpmd.State;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;

namespace Iwpmd.Daemon;

/// <summary>
/// Between the sockets and the core: passes it one message after the other, and sends the answers to each before the
/// next. The result of each message to the kernel is passed to the core.
/// </summary>
internal sealed class Exchange(PortMapper mapper, KernelLink kernel, PeerSockets sockets, ILogger log)
{
    /// <summary>How many messages of one source are served in one turn.</summary>
    private const int BatchLimit = 64, PeerBatchLimit = 8, PeerErrorLimit = 64;

    /// <summary>2.6 MB: with so many effects pending no further request is handled.</summary>
    private const int OutboxLimit = 8192;

    /// <summary>More requests than these are answered by another socket at the end.</summary>
    private const int ExitInboxLimit = 256;

    private static readonly TimeSpan ExitLimit = Registrations.Delay + TimeSpan.FromMilliseconds(20);

    // Differs: one byte more shows that a datagram is too long: it is dropped, not truncated
    private readonly UdpBatch _batch = new(PeerBatchLimit, PeerMessage.RequestSize + 1);
    private readonly byte[] _quoted = new byte[PeerMessage.RequestSize];
    private readonly byte[] _datagram = new byte[PeerMessage.RequestSize];
    private readonly Fifo<PendingAck> _acks = new(4);
    private TimeSpan _nextProbe;
    private long _handled; // arrivals from the kernel

    /// <summary>An ACK that is handled after <paramref name="After"/> arrivals.</summary>
    private readonly record struct PendingAck(KernelReply Reply, SendResult Sent, long After);

    /// <summary>Requests and Acks are accepted from these interfaces only.</summary>
    public NamedInterfaces From { get; set; } = new([]);

    /// <summary>Messages of the kernel were read or lost, and are not served yet.</summary>
    public bool IsKernelWaiting => HasNext || kernel.HasOverrun;

    private bool HasNext
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => kernel.Inbox.Count > 0 || _acks.Count > 0;
    }

    /// <summary>Returns the time at which the last request was read.</summary>
    public TimeSpan ServeKernel(TimeSpan now)
    {
        kernel.ReceiveAll(now);
        NoticeOverrun();
        now = HasNext ? Clock.Now : now; // not before what was read: registrations are answered by their age
        if (now - kernel.SeenEmpty > EventLoop.Tick && now >= _nextProbe && mapper.Kernel == HandshakeState.Ready)
        {
            // under steady load the socket is never seen empty, and all requests would soon count as too old
            _nextProbe = now + EventLoop.Tick;
            mapper.Probe();
            Drain();
        }
        return ServeInbox(BatchLimit, now);
    }

    /// <summary>Returns why nothing could be read.</summary>
    public Errno ServePeer(UdpSocket socket, in EpollEvent ready, TimeSpan now)
    {
        bool hasRead = false;
        for (int i = 0; i < PeerErrorLimit && ready.HasError; i++)
        {
            if (!socket.TryReceiveError(_quoted, out UdpError failure))
            {
                break;
            }
            hasRead = true;
            if (failure.IsUnreachable)
            {
                ulong handle = ReadHandle(_quoted.AsSpan(0, Math.Min(failure.QuotedLength, _quoted.Length)));
                mapper.HandleUnreachable(failure.To, handle, FallbackCauses.Of(failure), failure.Source, now);
                Drain();
            }
        }
        Errno error = _batch.Receive(socket, out int count);
        for (int i = 0; i < count; i++)
        {
            ReadOnlySpan<byte> datagram = _batch.Read(socket, i, out UdpArrival arrival);
            if (!PeerMessage.TryParse(datagram, out PeerMessage message, out string? reason))
            {
                mapper.Drop(arrival.From, reason);
            }
            else if (message.Type is PeerMessageType.Accept or PeerMessageType.Reject
                || From.Takes(arrival.Interface, now))
            {
                // Differs: answers are sent from the address that was asked
                mapper.Handle(new PeerArrival(arrival.From, arrival.To, arrival.Interface), message, now);
                Drain();
            }
            else
            {
                mapper.Deny(now);
            }
        }
        return hasRead ? Errno.None : error;
    }

    /// <summary>Sends the effects of the core in order.</summary>
    public void Drain()
    {
        Outbox outbox = mapper.Outbox;
        while (outbox.Count > 0)
        {
            ref readonly Effect effect = ref outbox.Peek();
            if (effect.IsToKernel)
            {
                SendToKernel(effect);
            }
            else
            {
                SendToPeer(effect);
            }
            outbox.Dequeue();
        }
    }

    /// <summary>
    /// Serves all that was read, so that nothing is lost with this process; requests in the socket are left to the next
    /// one. Under load each answer brings a new request, so the socket is not read any more: many answers are sent by
    /// another socket, few leave their ACKs unread.
    /// </summary>
    public void DrainBeforeExit()
    {
        NoticeOverrun();
        TimeSpan until = Clock.Now + ExitLimit;
        bool isAside = (mapper.HasDeferredRequests || kernel.Inbox.Count > ExitInboxLimit) && kernel.TryAnswerAside();
        while ((mapper.IsInHandshake || (!isAside && kernel.Inbox.Count > ExitInboxLimit)) && Clock.Now < until)
        {
            kernel.ReceiveAll(Clock.Now);
            _ = ServeInbox(BatchLimit, Clock.Now);
            mapper.Expire(Clock.Now);
            Drain();
            if (mapper.IsInHandshake)
            {
                Thread.Sleep(1); // HELLO may be sent later
            }
        }
        kernel.LeavesAcksUnread = true;
        until = Clock.Now + ExitLimit; // registrations that waited for a replay have their delay still before them
        TimeSpan begun;
        do
        {
            begun = Clock.Now;
            _ = ServeInbox(int.MaxValue, begun);
            mapper.Expire(Clock.Now);
            Drain();
            if (mapper.HasDeferredRequests)
            {
                Thread.Sleep(1); // registrations are answered later
            }
        }
        while ((mapper.HasDeferredRequests || HasNext) && begun < until); // if it was stopped meanwhile, once more
        _ = ServeInbox(int.MaxValue, Clock.Now); // what came with the last ACKs
        if (mapper.HasDeferredRequests)
        {
            _ = kernel.TryAnswerAside(); // their ACKs are not waited for among new requests
        }
        mapper.End(Clock.Now);
        Drain();
        NoticeOverrun(); // this process does not finish the handshake that it begins: the next daemon sends HELLO again
        for (until = Clock.Now + ExitLimit; HasNext && Clock.Now < until;) // what came with the last ACKs
        {
            _ = ServeInbox(int.MaxValue, Clock.Now);
            mapper.End(Clock.Now);
            Drain();
        }
    }

    /// <summary>
    /// This process continues after <see cref="DrainBeforeExit"/>. Of a handshake that began meanwhile the ACKs were
    /// left unread, and without them it would never end: another one begins.
    /// </summary>
    public void Continue()
    {
        kernel.EndAnswerAside();
        if (mapper.IsInHandshake)
        {
            mapper.Start(Clock.Now);
            Drain();
        }
    }

    private void NoticeOverrun()
    {
        if (kernel.TakeOverrun())
        {
            mapper.OnOverrun(Clock.Now);
            Drain();
        }
    }

    private TimeSpan ServeInbox(int limit, TimeSpan now)
    {
        for (int i = 0; i < limit && HasNext; i++)
        {
            HandleNext(now);
            if (mapper.Outbox.Count > 0)
            {
                Drain(); // not before: it adds to the inbox
                now = HasNext ? Clock.Now : now; // arrivals were added since
            }
        }
        return now;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
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
        TimeSpan now = Clock.Now; // read again: the process may have been stopped since the decision
        if (now > effect.AnswerBy)
        {
            Log.AnswerTooLate(log, effect.Reply.Kind);
            mapper.OnSent(effect.Reply, new SendResult(Delivery.Unsent), now);
            return;
        }
        SendResult? result = kernel.Send(effect.Reply, effect.AnswerBy, now);
        while (result is null)
        {
            for (now = Clock.Now; HasNext && mapper.Outbox.Count < OutboxLimit;)
            {
                HandleNext(now); // its effects are sent in order
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
        Errno error = socket is null
            ? Errno.EAFNOSUPPORT
            : socket.Send(_datagram.AsSpan(0, length), effect.To, effect.From);
        if (error == Errno.None)
        {
            return;
        }
        TimeSpan now = Clock.Now;
        FallbackCause cause = FallbackCauses.Of(error);
        PeerMessageType type = effect.Message.Type;
        Log.PeerSendFailed(log, type, effect.To, new SendFailure(error, cause));
        if (type == PeerMessageType.Request && cause != FallbackCause.None)
        {
            mapper.HandleUnreachable(effect.To, effect.Message.Handle, cause, default, now);
        }
        // Without a route there may be no such host: the source of a Request can be forged.
        if (type == PeerMessageType.Accept && cause is FallbackCause.None or FallbackCause.LocalRule)
        {
            mapper.CountUnsentAccept(now);
        }
    }

    /// <summary>The handle of the message that an ICMP error quotes; 0 when it quotes less.</summary>
    private static ulong ReadHandle(ReadOnlySpan<byte> quoted) =>
        PeerMessage.TryReadHandle(quoted, out ulong handle) ? handle : 0;
}

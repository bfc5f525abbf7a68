// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;
using Iwpmd.Core;
using Iwpmd.Os;
using Iwpmd.State;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;
using static Iwpmd.Core.Times;

namespace Iwpmd.Daemon;

/// <summary>A message of the kernel and the earliest moment at which it can have been sent.</summary>
internal struct KernelArrival
{
    public KernelRequest Request;
    public TimeSpan NotBefore;
}

/// <summary>
/// The netlink socket, used half-duplex: one message out, then everything in until the kernel's ACK for it has come;
/// what else came waits in the <see cref="Inbox"/>.
/// Differs: so no answer is lost to a receive buffer that is full of ACKs. It knows only the operations by which the
/// kernel learns the socket that it sends to.
/// </summary>
internal sealed class KernelLink(
    NetlinkSocket socket, Heartbeat heartbeat, StateLayout state, ILogger log) : IDisposable
{
    /// <summary>
    /// The kernel's largest datagram has 7.5 KB; with a larger buffer each message is charged more of the socket's
    /// receive buffer.
    /// </summary>
    private const int BufferSize = 8192;

    private const int InboxLimit = 8192; // 1 MB; the rest waits in the socket
    // what precedes an ACK must be read; beyond this unhandled requests are lost
    private const int InboxHardLimit = 4 * InboxLimit;
    private const int SendTries = 8;

    /// <summary>How many datagrams without a request are read in one turn: their source may never end.</summary>
    private const int DroppedLimit = 1024;

    /// <summary>After how many of them the clock is read while an ACK is awaited.</summary>
    private const int DroppedPerClock = 64;

    /// <summary>
    /// Of so many ACKs that could be left unread one is read: as many fit into a small receive buffer.
    /// </summary>
    private const int AckReadEvery = 8;

    private const int AsideBuffer = 256 * 1024; // for one ACK at a time

    /// <summary>
    /// The kernel queues the ACK before send() returns, unless the buffer is full. Only test doubles need a wait, which
    /// is short after one without an ACK.
    /// </summary>
    private static readonly TimeSpan AckWait = TimeSpan.FromSeconds(1), SilentWait = TimeSpan.FromMilliseconds(20);

    private readonly byte[] _buffer = new byte[BufferSize];
    private readonly byte[] _reply = new byte[KernelReply.MaxSize];
    private bool _overrun, _wasSilent;
    private NetlinkSocket? _aside;

    // The last message: its length, sequence number and socket, and the state of the wait for its ACK.
    private int _length, _tries, _dropped, _unread;
    private uint _awaited;
    private bool _isAside, _wasCrowded;
    private TimeSpan _answerBy, _sentAt, _ackBy;

    public Fifo<KernelArrival> Inbox { get; } = new(64);

    private NetlinkSocket Via => _isAside ? _aside! : socket;

    public int Fd => socket.Fd;

    /// <summary>
    /// If true nothing is read: the ACKs are left to the next process on this socket. For a few messages only, since
    /// each ACK fills the buffer.
    /// </summary>
    public bool LeavesAcksUnread { get; set; }

    /// <summary>The receive buffer overflowed, and <see cref="TakeOverrun"/> has not been called since.</summary>
    public bool HasOverrun => _overrun;

    /// <summary>True once after the receive buffer overflowed.</summary>
    public bool TakeOverrun()
    {
        (bool overrun, _overrun) = (_overrun, false);
        return overrun;
    }

    /// <summary>The bound of the age of the requests in the socket.</summary>
    public TimeSpan SeenEmpty => heartbeat.SeenEmpty;

    /// <summary>Why the last <see cref="ReceiveAll"/> could not read.</summary>
    public Errno ReadError { get; private set; }

    /// <summary>
    /// Reads until the socket is empty, the inbox is full, or too many datagrams were dropped. A
    /// <paramref name="before"/> that has passed only makes the requests look older than they are.
    /// </summary>
    public void ReceiveAll(TimeSpan before)
    {
        ReadError = Errno.None;
        for (int dropped = 0; dropped < DroppedLimit && Inbox.Count < InboxLimit;)
        {
            int had = Inbox.Count;
            Errno error = ReceiveOne(socket, awaited: null, out _);
            dropped += Inbox.Count == had ? 1 : 0;
            if (error == Errno.EAGAIN)
            {
                heartbeat.SeenEmpty = before;
                return;
            }
            if (error is not (Errno.None or Errno.ENOBUFS or Errno.EINTR))
            {
                Log.KernelReceiveFailed(log, error.Text());
                ReadError = error;
                return;
            }
        }
    }

    /// <summary>
    /// From now on answers are sent by a second socket, which gets their ACKs: so new requests stay in the socket that
    /// the next process continues with. The kernel matches an answer by the sequence number of its request, whatever
    /// its socket. False when no socket can be opened.
    /// </summary>
    public bool TryAnswerAside() =>
        _aside is not null
            || NetlinkSocket.TryOpen(KernelProtocol.NetlinkProtocol, 0, AsideBuffer, out _aside) is null;

    /// <summary>Ends <see cref="TryAnswerAside"/> and <see cref="LeavesAcksUnread"/>.</summary>
    public void EndAnswerAside()
    {
        _aside?.Dispose();
        _aside = null;
        LeavesAcksUnread = false;
    }

    /// <summary>
    /// Sends one message and reads until its ACK; null when the inbox is crowded: handle some of it, then
    /// <see cref="Await"/>. A message that was lost is sent again until <paramref name="answerBy"/>.
    /// </summary>
    public SendResult? Send(in KernelReply reply, TimeSpan answerBy, TimeSpan now)
    {
        // The kernel sends its requests to the socket that these come from.
        bool isAnswer = reply.Kind is not (KernelReplyKind.RegisterPid or KernelReplyKind.Hello
            or KernelReplyKind.MapInfo or KernelReplyKind.MapInfoNumber);
        _isAside = isAnswer && _aside is not null;
        (_length, _awaited, _tries, _answerBy) = (reply.Write(_reply, Via.PortId), reply.Sequence, 0, answerBy);
        return Complete(Transmit(now));
    }

    /// <summary>Continues <see cref="Send"/>.</summary>
    public SendResult? Await() => Complete(null);

    public void Dispose()
    {
        _aside?.Dispose();
        socket.Dispose();
    }

    /// <summary>
    /// The kernel's errors while our receive buffer is full: the message is lost, and must be sent again.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool IsLost(int code) => (Errno)(-code) is Errno.EBUSY or Errno.ENOBUFS or Errno.EAGAIN;

    /// <summary>One try after the other.</summary>
    private SendResult? Complete(SendResult? result)
    {
        while (true)
        {
            result ??= ReceiveAck();
            if (result is not SendResult known || !IsLost(known.Code) || known.Delivery == Delivery.AckLeft)
            {
                return result;
            }
            if (!_isAside)
            {
                ReceiveAll(Clock.Now);
            }
            if (++_tries == SendTries)
            {
                // a kernel without room for the ACK may still execute the message
                return new SendResult(Delivery.Unknown, known.Code);
            }
            TimeSpan now = Clock.Now;
            if (now > _answerBy)
            {
                return new SendResult(Delivery.Unsent, known.Code);
            }
            result = Transmit(now);
        }
    }

    /// <summary>Null when it was sent, and its ACK is to be read.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private SendResult? Transmit(TimeSpan now)
    {
        (_sentAt, _ackBy, _dropped, _wasCrowded) = (now, default, 0, false);
        Errno error = Via.Send(_reply.AsSpan(0, _length));
        // A message for whose ACK there is no room is executed when the next process reads, which may be too late.
        bool leaves = LeavesAcksUnread && !_isAside && ++_unread % AckReadEvery != 0;
        return leaves && (error == Errno.None || IsLost(-(int)error)) ? new SendResult(Delivery.AckLeft, -(int)error)
            : error != Errno.None ? new SendResult(Delivery.Unsent, -(int)error)
            : null;
    }

    /// <summary>Null when the inbox is crowded: while more comes than is read, there is no room for the ACK.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private SendResult? ReceiveAck()
    {
        while (true)
        {
            _wasCrowded = Inbox.Count >= InboxLimit && !_wasCrowded;
            if (_wasCrowded)
            {
                return null;
            }
            int had = Inbox.Count;
            Errno error = ReceiveOne(Via, _awaited, out int? ack);
            if (ack is int code)
            {
                _wasSilent = false;
                if (!_isAside && !IsLost(code))
                {
                    // requests behind the ACK came after it: so a socket that is never empty is served too
                    heartbeat.SeenEmpty = Later(heartbeat.SeenEmpty, _sentAt);
                }
                return new SendResult(code == 0 ? Delivery.Taken : Delivery.Refused, code);
            }
            bool isEmpty = error == Errno.EAGAIN;
            if ((isEmpty || (Inbox.Count == had && ++_dropped % DroppedPerClock == 0)) && !WaitsOn(isEmpty))
            {
                _wasSilent = !_overrun;
                return new SendResult(Delivery.Unknown, -(int)Errno.ETIMEDOUT);
            }
            if (error is not (Errno.None or Errno.EAGAIN or Errno.EINTR or Errno.ENOBUFS))
            {
                return new SendResult(Delivery.Unknown, -(int)error);
            }
        }
    }

    /// <summary>False when the ACK will not come; one deadline whatever comes meanwhile.</summary>
    private bool WaitsOn(bool isEmpty)
    {
        TimeSpan now = Clock.Now;
        _ackBy = _ackBy == default ? now + (_wasSilent ? SilentWait : AckWait) : _ackBy;
        return now < _ackBy && !(isEmpty && (_overrun || !Via.WaitReadable(_ackBy - now)));
    }

    /// <summary>
    /// Receives one datagram into the inbox; <paramref name="ack"/> is set when it holds the ACK of
    /// <paramref name="awaited"/>.
    /// </summary>
    private Errno ReceiveOne(NetlinkSocket from, uint? awaited, out int? ack)
    {
        ack = null;
        Errno error = from.Receive(_buffer, out int length, out uint source);
        if (error == Errno.ENOBUFS)
        {
            _overrun |= from != _aside; // the second socket can only lose ACKs
        }
        if (error != Errno.None)
        {
            return error;
        }
        if (source != 0) // Differs: datagrams of other processes are dropped
        {
            state.Counters[(int)Counter.ForeignNetlink]++;
            Log.KernelForeign(log, source);
            return error;
        }
        var messages = new NetlinkMessages(_buffer.AsSpan(0, Math.Min(length, BufferSize)));
        while (messages.MoveNext())
        {
            Accept(messages.Header, messages.Payload, awaited, ref ack);
        }
        if (messages.IsDamaged || length > BufferSize)
        {
            state.Counters[(int)Counter.Malformed]++;
            Log.KernelDropped(log, "a datagram is damaged or too long");
        }
        return error;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Accept(in NetlinkHeader header, ReadOnlySpan<byte> payload, uint? awaited, ref int? ack)
    {
        if (KernelRequest.TryReadAck(header, payload, out uint sequence, out int result))
        {
            ack = sequence == awaited ? result : ack;
            return;
        }
        if (Inbox.Count >= InboxHardLimit)
        {
            _overrun = true;
            return;
        }
        ref KernelArrival arrival = ref Inbox.Enqueue();
        arrival.NotBefore = heartbeat.SeenEmpty;
        if (!KernelRequest.TryParse(header, payload, out arrival.Request, out string? reason))
        {
            Inbox.TakeBack();
            Log.KernelDropped(log, reason);
        }
    }
}

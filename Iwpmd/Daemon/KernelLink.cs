// SPDX-License-Identifier: MIT
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
/// Differs: so no answer is lost to a receive buffer that is full of ACKs. It knows no operation but those by which the
/// kernel learns where to ask.
/// </summary>
internal sealed class KernelLink(NetlinkSocket socket, Heartbeat heartbeat, StateLayout state, ILogger log) : IDisposable
{
    /// <summary>The largest datagram that a kernel sends has 7.5 KB; a larger buffer would make each of its messages cost more of the socket's.</summary>
    private const int BufferSize = 8192;

    private const int InboxLimit = 8192; // 1 MB; the rest waits in the socket
    private const int InboxHardLimit = 4 * InboxLimit; // what stands before an ACK must be read; what is not handled meanwhile is lost beyond this
    private const int SendTries = 8;

    /// <summary>So many datagrams that put nothing into the inbox are read in one turn: their source may never end.</summary>
    private const int VainLimit = 1024;

    /// <summary>While an ACK is awaited the clock is looked at so often.</summary>
    private const int VainPerLook = 64;

    private const int AsideBuffer = 256 * 1024; // for one ACK at a time

    /// <summary>
    /// The kernel queues the ACK before send() returns, unless its buffer is full. Only test doubles need a wait, which
    /// is short after one that was in vain.
    /// </summary>
    private static readonly TimeSpan AckWait = TimeSpan.FromSeconds(1), SilentWait = TimeSpan.FromMilliseconds(20);

    private readonly byte[] _buffer = new byte[BufferSize];
    private readonly byte[] _reply = new byte[KernelReply.MaxSize];
    private bool _overrun, _wasSilent;
    private NetlinkSocket? _aside;

    // The message that was sent last: its length, number and socket, and what was done for its ACK so far.
    private int _length, _tries, _vain;
    private uint _awaited;
    private bool _isAside, _wasCrowded;
    private TimeSpan _sentAt, _ackBy;

    public Fifo<KernelArrival> Inbox { get; } = new(64);

    private NetlinkSocket Via => _isAside ? _aside! : socket;

    public int Fd => socket.Fd;

    /// <summary>While it is true nothing is read: the ACKs of what is sent now are left to the next process on this socket. For a few messages only, each fills the buffer.</summary>
    public bool LeavesAcksUnread { get; set; }

    /// <summary>The receive buffer overflowed, and nobody has taken notice yet.</summary>
    public bool HasOverrun => _overrun;

    /// <summary>True once after the receive buffer overflowed.</summary>
    public bool TakeOverrun()
    {
        (bool overrun, _overrun) = (_overrun, false);
        return overrun;
    }

    /// <summary>The bound of the age of what stands in the socket.</summary>
    public TimeSpan SeenEmpty => heartbeat.SeenEmpty;

    /// <summary>Reads until nothing is left, the inbox is full, or too much came that meant nothing.</summary>
    public void ReceiveAll()
    {
        for (int vain = 0; vain < VainLimit && Inbox.Count < InboxLimit;)
        {
            TimeSpan before = Clock.Now; // anew each time: the process may be stopped between two receives
            int had = Inbox.Count;
            Errno error = ReceiveOne(socket, awaited: null, out _);
            vain += Inbox.Count == had ? 1 : 0;
            if (error == Errno.Again)
            {
                heartbeat.SeenEmpty = before;
                return;
            }
            if (error != Errno.None && error != Errno.NoBufferSpace && error != Errno.Interrupted)
            {
                Log.KernelReceiveFailed(log, error);
                return;
            }
        }
    }

    /// <summary>
    /// From now on answers leave by a socket of their own, to which their ACKs come: so what the kernel asks meanwhile stays in the one that the next process goes on with.
    /// The kernel knows an answer by the number of its request, whichever socket it comes from. False when there is none to be had.
    /// </summary>
    public bool TryAnswerAside() =>
        _aside is not null || NetlinkSocket.TryOpen(KernelProtocol.NetlinkProtocol, 0, AsideBuffer, out _aside, out _) == Errno.None;

    /// <summary>As before <see cref="TryAnswerAside"/> and <see cref="LeavesAcksUnread"/>.</summary>
    public void AnswerAsEver()
    {
        _aside?.Dispose();
        _aside = null;
        LeavesAcksUnread = false;
    }

    /// <summary>Sends one message and reads until its ACK; null when the inbox is crowded: handle some of it, then <see cref="Await"/>.</summary>
    public SendResult? Send(in KernelReply reply, TimeSpan now)
    {
        // What tells the kernel where to ask is said by the socket that it shall ask.
        bool isAnswer = reply.Kind is not (KernelReplyKind.RegisterPid or KernelReplyKind.Hello or KernelReplyKind.MapInfo or KernelReplyKind.MapInfoNumber);
        _isAside = isAnswer && _aside is not null;
        (_length, _awaited, _tries) = (reply.Write(_reply, Via.PortId), reply.Sequence, 0);
        return Complete(Transmit(now));
    }

    /// <summary>Goes on with <see cref="Send"/>.</summary>
    public SendResult? Await() => Complete(null);

    public void Dispose()
    {
        _aside?.Dispose();
        socket.Dispose();
    }

    /// <summary>The kernel answers so while our receive buffer is full, and the message is lost: it must be sent again.</summary>
    private static bool IsLost(int code) => code == -Errno.Busy.Number || code == -Errno.NoBufferSpace.Number || code == -Errno.Again.Number;

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
                ReceiveAll();
            }
            if (++_tries == SendTries)
            {
                return new SendResult(Delivery.Unknown, known.Code); // a kernel that had no room for the ACK may run it later
            }
            result = Transmit(Clock.Now);
        }
    }

    /// <summary>Null when it left, and its ACK is to be read.</summary>
    private SendResult? Transmit(TimeSpan now)
    {
        (_sentAt, _ackBy, _vain, _wasCrowded) = (now, default, 0, false);
        Errno error = Via.Send(_reply.AsSpan(0, _length));
        bool leaves = LeavesAcksUnread && !_isAside;
        return leaves ? new SendResult(Delivery.AckLeft, -error.Number)
            : error != Errno.None ? new SendResult(Delivery.Unsent, -error.Number)
            : null;
    }

    /// <summary>Null when the inbox is crowded: as long as more comes than is read, an ACK for which there was no room stays away.</summary>
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
                    heartbeat.SeenEmpty = Later(heartbeat.SeenEmpty, _sentAt); // what stands behind the ACK came after it: so a socket that is never empty is served too
                }
                return new SendResult(code == 0 ? Delivery.Taken : Delivery.Refused, code);
            }
            bool isEmpty = error == Errno.Again;
            if ((isEmpty || (Inbox.Count == had && ++_vain % VainPerLook == 0)) && !WaitsOn(isEmpty))
            {
                _wasSilent = !_overrun;
                return new SendResult(Delivery.Unknown, -Errno.TimedOut.Number);
            }
            if (error != Errno.None && error != Errno.Again && error != Errno.Interrupted && error != Errno.NoBufferSpace)
            {
                return new SendResult(Delivery.Unknown, -error.Number);
            }
        }
    }

    /// <summary>False when the ACK will not come; one deadline for all that comes meanwhile together.</summary>
    private bool WaitsOn(bool isEmpty)
    {
        TimeSpan now = Clock.Now;
        _ackBy = _ackBy == default ? now + (_wasSilent ? SilentWait : AckWait) : _ackBy;
        return now < _ackBy && !(isEmpty && (_overrun || !Via.WaitReadable(_ackBy - now)));
    }

    /// <summary>Receives one datagram into the inbox; <paramref name="ack"/> is set when it holds the ACK of <paramref name="awaited"/>.</summary>
    private Errno ReceiveOne(NetlinkSocket from, uint? awaited, out int? ack)
    {
        ack = null;
        Errno error = from.Receive(_buffer, out int length, out uint source);
        if (error == Errno.NoBufferSpace)
        {
            _overrun |= from != _aside; // of that one only ACKs can be lost
        }
        if (error != Errno.None)
        {
            return error;
        }
        if (source != 0) // Differs: whatever another process sends is not the kernel's
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

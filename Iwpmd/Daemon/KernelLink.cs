// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.Os;
using Iwpmd.State;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;

namespace Iwpmd.Daemon;

/// <summary>A message of the kernel and the earliest moment at which it can have been sent.</summary>
internal struct KernelArrival
{
    public KernelRequest Request;
    public TimeSpan NotBefore;
}

/// <summary>
/// The netlink socket, used half-duplex: one message out, then everything in until the kernel's DONE or ERROR for it has come; what else came waits in the <see cref="Inbox"/>.
/// Differs: so no answer is lost to a receive buffer that is full of DONEs. It knows no operation of the port mapper.
/// </summary>
internal sealed class KernelLink(NetlinkSocket socket, StateLayout state, ILogger log) : IDisposable
{
    /// <summary>The largest datagram that a kernel sends has 7.5 KB; a larger buffer would make each of its messages cost more of the socket's.</summary>
    private const int BufferSize = 8192;

    private const int InboxLimit = 8192; // 1 MB; the rest waits in the socket
    private const int InboxHardLimit = 4 * InboxLimit; // what stands before an outcome must be read; what is not handled meanwhile is lost beyond this
    private const int SendTries = 8;

    /// <summary>So many datagrams that put nothing into the inbox are read in one turn: their source may never end.</summary>
    private const int VainLimit = 1024;

    /// <summary>While an outcome is awaited the clock is looked at so often.</summary>
    private const int VainPerLook = 64;

    private const int AsideBuffer = 256 * 1024; // for one outcome at a time

    /// <summary>The outcome is there when the send returns, unless it was lost; a wait is for kernels that are not one, and is short for one that was silent the last time.</summary>
    private static readonly TimeSpan OutcomeWait = TimeSpan.FromSeconds(1), SilentWait = TimeSpan.FromMilliseconds(20);

    private readonly byte[] _buffer = new byte[BufferSize];
    private readonly byte[] _reply = new byte[KernelReply.MaxSize];

    public Fifo<KernelArrival> Inbox { get; } = new(64);

    public int Fd => socket.Fd;

    /// <summary>While it is true nothing is read: what the kernel says to what is sent now is left to the next process on this socket. For a few messages only, each fills the buffer.</summary>
    public bool LeavesOutcomes { get; set; }

    /// <summary>The receive buffer overflowed, and nobody has taken notice yet.</summary>
    public bool HasOverrun => _overrun;

    /// <summary>True once after the receive buffer overflowed.</summary>
    public bool TakeOverrun()
    {
        (bool overrun, _overrun) = (_overrun, false);
        return overrun;
    }

    private bool _overrun;
    private bool _wasSilent;
    private NetlinkSocket? _aside;

    /// <summary>The awaited outcome is one of the handshake: where it stands among what came says when the replay ends.</summary>
    private bool _inInboxToo;

    /// <summary>The bound of the age of what stands in the socket.</summary>
    public TimeSpan SeenEmpty => new(SeenEmptyAt);

    /// <summary>What stands in the socket now cannot be older: it was seen empty then, or all that stood there has been read. In the state, since a successor must know it.</summary>
    private long SeenEmptyAt
    {
        get => state.Header.SeenEmptyAt;
        set => state.Header.SeenEmptyAt = value;
    }

    /// <summary>Reads until nothing is left, the inbox is full, or too much came that meant nothing.</summary>
    public void ReceiveAll()
    {
        for (int vain = 0; vain < VainLimit && Inbox.Count < InboxLimit;)
        {
            long before = Clock.Now.Ticks; // anew each time: the process may be stopped between two receives
            int had = Inbox.Count;
            Errno error = ReceiveOne(socket, awaited: null, out _);
            vain += Inbox.Count == had ? 1 : 0;
            if (error == Errno.Again)
            {
                SeenEmptyAt = before;
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
    /// From now on answers leave by a socket of their own, to which their outcomes come: so what the kernel asks meanwhile stays in the one that the next process goes on with.
    /// The kernel knows an answer by the number of its request, whichever socket it comes from. False when there is none to be had.
    /// </summary>
    public bool TryAnswerAside() =>
        _aside is not null || NetlinkSocket.TryOpen(KernelProtocol.NetlinkProtocol, 0, AsideBuffer, out _aside, out _) == Errno.None;

    /// <summary>As before <see cref="TryAnswerAside"/> and <see cref="LeavesOutcomes"/>.</summary>
    public void AnswerAsEver()
    {
        _aside?.Dispose();
        _aside = null;
        LeavesOutcomes = false;
    }

    /// <summary>Sends one message and reads until its outcome.</summary>
    /// <param name="result">0, or -errno: the kernel's, or why there is none.</param>
    /// <param name="handleInbox">Called when the inbox is crowded: as long as more comes than is read, an outcome for which there was no room stays away.</param>
    public Delivery Send(in KernelReply reply, Action handleInbox, out int result)
    {
        // What tells the kernel where to ask is said by the socket that it shall ask.
        bool isAnswer = reply.Kind is not (KernelReplyKind.RegisterPid or KernelReplyKind.Hello or KernelReplyKind.MapInfo or KernelReplyKind.MapInfoNumber);
        NetlinkSocket via = isAnswer && _aside is not null ? _aside : socket;
        int length = reply.Write(_reply, via.PortId);
        _inInboxToo = reply.Kind is KernelReplyKind.Hello or KernelReplyKind.MapInfo;
        result = 0;
        for (int tries = 0; tries < SendTries; tries++)
        {
            long sentAt = Clock.Now.Ticks;
            Errno error = via.Send(_reply.AsSpan(0, length));
            result = -error.Number;
            bool leaves = LeavesOutcomes && via == socket;
            Delivery delivery = error != Errno.None ? Delivery.Unsent : leaves ? Delivery.Taken : ReceiveOutcome(via, reply.Sequence, handleInbox, out result);
            if (leaves)
            {
                return delivery;
            }
            if (via == socket && delivery is (Delivery.Taken or Delivery.Refused))
            {
                SeenEmptyAt = Math.Max(SeenEmptyAt, sentAt); // what stands behind the outcome came after it: so a socket that is never empty is served too
            }
            if (!IsLost(result))
            {
                return delivery;
            }
            if (via == socket)
            {
                ReceiveAll();
            }
        }
        return Delivery.Unknown; // a kernel that had no room for the outcome may run it later
    }

    public void Dispose()
    {
        _aside?.Dispose();
        socket.Dispose();
    }

    /// <summary>The kernel answers so while our receive buffer is full, and the message is lost: it must be sent again.</summary>
    private static bool IsLost(int result) => result == -Errno.Busy.Number || result == -Errno.NoBufferSpace.Number || result == -Errno.Again.Number;

    private Delivery ReceiveOutcome(NetlinkSocket via, uint sequence, Action handleInbox, out int result)
    {
        TimeSpan deadline = default;
        for (int vain = 0; ;)
        {
            if (Inbox.Count >= InboxLimit)
            {
                handleInbox();
            }
            int had = Inbox.Count;
            Errno error = ReceiveOne(via, sequence, out int? outcome);
            if (outcome is not null)
            {
                _wasSilent = false;
                result = outcome.Value;
                return result == 0 ? Delivery.Taken : Delivery.Refused;
            }
            bool isEmpty = error == Errno.Again;
            if (isEmpty || (Inbox.Count == had && ++vain % VainPerLook == 0))
            {
                TimeSpan now = Clock.Now;
                deadline = deadline == default ? now + (_wasSilent ? SilentWait : OutcomeWait) : deadline; // for all that comes meanwhile together
                if (now >= deadline || (isEmpty && (_overrun || !via.WaitReadable(deadline - now))))
                {
                    _wasSilent = !_overrun;
                    result = -Errno.TimedOut.Number;
                    return Delivery.Unknown;
                }
            }
            if (error != Errno.None && error != Errno.Again && error != Errno.Interrupted && error != Errno.NoBufferSpace)
            {
                result = -error.Number;
                return Delivery.Unknown;
            }
        }
    }

    /// <summary>Receives one datagram into the inbox; <paramref name="outcome"/> is set when it holds the DONE or ERROR of <paramref name="awaited"/>.</summary>
    private Errno ReceiveOne(NetlinkSocket from, uint? awaited, out int? outcome)
    {
        outcome = null;
        Errno error = from.Receive(_buffer, out int length, out uint source);
        if (error == Errno.NoBufferSpace)
        {
            _overrun |= from != _aside; // of that one only outcomes can be lost
        }
        if (error != Errno.None)
        {
            return error;
        }
        if (source != 0) // Differs: whatever another process sends is not the kernel's word
        {
            state.Counters[(int)Counter.ForeignNetlink]++;
            Log.KernelForeign(log, source);
            return error;
        }
        var messages = new NetlinkMessages(_buffer.AsSpan(0, Math.Min(length, BufferSize)));
        while (messages.MoveNext())
        {
            Accept(messages.Header, messages.Payload, awaited, ref outcome);
        }
        if (messages.IsDamaged || length > BufferSize)
        {
            state.Counters[(int)Counter.Malformed]++;
            Log.KernelDropped(log, "a datagram is damaged or too long");
        }
        return error;
    }

    private void Accept(in NetlinkHeader header, ReadOnlySpan<byte> payload, uint? awaited, ref int? outcome)
    {
        if (awaited is uint sequence && KernelRequest.TryReadOutcome(header, payload, sequence, out int result))
        {
            outcome = result;
            if (!_inInboxToo || IsLost(result))
            {
                return;
            }
        }
        if (Inbox.Count >= InboxHardLimit)
        {
            _overrun = true;
            return;
        }
        ref KernelArrival arrival = ref Inbox.Enqueue();
        arrival.NotBefore = new TimeSpan(SeenEmptyAt);
        if (!KernelRequest.TryParse(header, payload, out arrival.Request, out string? reason))
        {
            Inbox.TakeBack();
            Log.KernelDropped(log, reason);
        }
    }
}

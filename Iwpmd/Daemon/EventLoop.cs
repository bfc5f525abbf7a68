// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.Os;
using Iwpmd.State;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;
using static Iwpmd.Core.Times;

namespace Iwpmd.Daemon;

/// <summary>Wait, dispatch, drain, expire. It looks at the netlink socket at least every two seconds, whatever wakes it: that bounds the age of what it finds there.</summary>
internal sealed class EventLoop(PortMapper mapper, KernelLink kernel, PeerSockets peers, Transmitter transmitter, Signals signals, Epoll epoll, ILogger log)
{
    public static readonly TimeSpan Tick = TimeSpan.FromSeconds(2);

    /// <summary>How much of one source is served before the others have their turn.</summary>
    private const int BatchLimit = 64, PeerBatchLimit = 8, PeerErrorLimit = 64;

    /// <summary>While peers talk the netlink socket is looked at when there is something, and this often.</summary>
    private static readonly TimeSpan Glance = TimeSpan.FromMilliseconds(500);

    private const int KernelToken = 0, SignalToken = 1, HandOverToken = 2, CensusToken = 3, PeerToken = 4;

    /// <summary>So many outcomes fit into any receive buffer.</summary>
    private const int UnheardLimit = 256;
    private static readonly TimeSpan s_restLimit = PortMapper.RegistrationDelay + TimeSpan.FromMilliseconds(20);

    private readonly UdpBatch _batch = new(PeerBatchLimit, PeerMessage.RequestSize + 1); // Differs: one more shows what is too long, and is dropped instead of cut
    private readonly byte[] _quoted = new byte[PeerMessage.RequestSize];
    private readonly UdpSocket[] _peers = peers.All.ToArray();
    private TimeSpan _nextProbe;
    private readonly FloodGate _gate = new(mapper.Admission, peers, log);

    /// <summary>Called at every wake-up, with the time; returns when it wants to be called next.</summary>
    public required Func<TimeSpan, TimeSpan> OnWake { get; init; }

    /// <summary>Null where nobody is handed over to.</summary>
    public HandOver? HandOver { get; init; }

    /// <summary>Null where nothing can be asked about devices.</summary>
    public EndpointCensus? Census { get; init; }

    /// <summary>The loop ended because another daemon has everything now: nothing may be touched any more.</summary>
    public bool HasHandedOver { get; private set; }

    /// <summary>Who asks us must come in by this one.</summary>
    public NamedInterfaces From { get; set; } = new([]);

    public Errno Register()
    {
        if (Census is not null)
        {
            Census.Watch = fd => epoll.Add(fd, CensusToken);
        }
        Errno error = epoll.Add(kernel.Fd, KernelToken);
        error = error != Errno.None ? error : epoll.Add(signals.Fd, SignalToken);
        error = error != Errno.None || HandOver is null ? error : HandOver.Watch(epoll, HandOverToken);
        for (int i = 0; i < _peers.Length && error == Errno.None; i++)
        {
            error = epoll.Add(_peers[i].Fd, PeerToken + i);
        }
        return error;
    }

    /// <summary>Runs until a signal or the kernel ends it; returns the exit status.</summary>
    public int Run()
    {
        Span<EpollEvent> ready = stackalloc EpollEvent[8];
        TimeSpan now = Clock.Now;
        while (true)
        {
            TimeSpan next = NextWake(now);
            int count = epoll.Wait(ready, kernel.Inbox.Count > 0 || kernel.HasOverrun ? TimeSpan.Zero : next - now);
            now = Clock.Now;
            if (!IsAboutPeersOnly(ready[..count]) || now - kernel.SeenEmpty > Glance)
            {
                now = ServeKernel();
            }
            foreach (EpollEvent one in ready[..count])
            {
                if (Dispatch(one, now) is int status)
                {
                    return status;
                }
            }
            _gate.Look(now);
            mapper.Expire(now);
            transmitter.Drain();
            if (mapper.HasFailed && !kernel.HasOverrun) // after an overrun hello is said again
            {
                return ExitStatus.Failure;
            }
        }
    }

    private TimeSpan NextWake(TimeSpan now)
    {
        TimeSpan next = Earlier(OnWake(now), Census?.Advance(now) ?? TimeSpan.MaxValue);
        next = Earlier(next, HandOver?.Advance(now) ?? TimeSpan.MaxValue);
        return Earlier(next, Earlier(mapper.NextDeadline, _gate.NextLook));
    }

    /// <summary>Serves what is ready, but for the kernel; the exit status when that ends the loop.</summary>
    private int? Dispatch(in EpollEvent one, TimeSpan now)
    {
        if (one.Token >= PeerToken)
        {
            ServePeer(_peers[one.Token - PeerToken], one);
        }
        else if (one.Token == CensusToken)
        {
            Census!.Receive(now);
        }
        else if (one.Token == SignalToken && TakeSignals() is int status)
        {
            ServeRest();
            return status;
        }
        else if (one.Token == HandOverToken && HandOver!.TryHear(now) && TryHandOver())
        {
            return ExitStatus.Ended;
        }
        return null;
    }

    private bool IsAboutPeersOnly(ReadOnlySpan<EpollEvent> ready)
    {
        foreach (EpollEvent one in ready)
        {
            if (one.Token < PeerToken)
            {
                return false;
            }
        }
        return !ready.IsEmpty && kernel.Inbox.Count == 0;
    }

    private TimeSpan ServeKernel()
    {
        kernel.ReceiveAll();
        NoticeOverrun();
        TimeSpan now = Clock.Now;
        if (now - kernel.SeenEmpty > Tick && now >= _nextProbe && mapper.Kernel == HandshakeState.Ready)
        {
            _nextProbe = now + Tick; // what never ends keeps the socket from being seen empty, and all that is asked would soon be too old
            mapper.Probe();
            transmitter.Drain();
        }
        return ServeInbox(BatchLimit);
    }

    private void NoticeOverrun()
    {
        if (kernel.TakeOverrun())
        {
            mapper.OnOverrun(Clock.Now);
            transmitter.Drain();
        }
    }

    private TimeSpan ServeInbox(int limit)
    {
        TimeSpan now = Clock.Now;
        for (int i = 0; i < limit && kernel.Inbox.Count > 0; i++)
        {
            ref readonly KernelArrival arrival = ref kernel.Inbox.Peek();
            mapper.Handle(arrival.Request, arrival.NotBefore, now);
            kernel.Inbox.Dequeue();
            if (mapper.Outbox.Count > 0)
            {
                transmitter.Drain(); // only now: it adds to the inbox
                now = Clock.Now; // what was added is later than before
            }
        }
        return now;
    }

    /// <summary>
    /// Before an end: serves all that was read, so that nothing is lost with this process; what stands in the socket is the next one's. Under load each answer brings a new
    /// request, so nothing more is read from it: many answers leave by another one, few leave their outcomes unread.
    /// </summary>
    private void ServeRest()
    {
        NoticeOverrun();
        TimeSpan until = Clock.Now + s_restLimit;
        bool isAside = (mapper.HoldsRequests || kernel.Inbox.Count > UnheardLimit) && kernel.TryAnswerAside();
        while ((mapper.IsIntroducing || (!isAside && kernel.Inbox.Count > UnheardLimit)) && Clock.Now < until)
        {
            kernel.ReceiveAll();
            _ = ServeInbox(BatchLimit);
            mapper.Expire(Clock.Now);
            transmitter.Drain();
        }
        kernel.LeavesOutcomes = true;
        do
        {
            _ = ServeInbox(int.MaxValue);
            mapper.Expire(Clock.Now);
            transmitter.Drain();
            if (mapper.HoldsRequests)
            {
                Thread.Sleep(1); // a registration has its time
            }
        }
        while (mapper.HoldsRequests && Clock.Now < until);
        NoticeOverrun(); // the handshake it begins is not ended here: so the next daemon says hello again
    }

    private bool TryHandOver()
    {
        ServeRest();
        HasHandedOver = HandOver!.TryGive();
        kernel.AnswerAsEver();
        return HasHandedOver;
    }

    private void ServePeer(UdpSocket socket, EpollEvent ready)
    {
        for (int i = 0; i < PeerErrorLimit && ready.HasError && socket.TryReceiveError(_quoted, out UdpError failure); i++)
        {
            if (failure.IsUnreachable)
            {
                ulong handle = ReadHandle(_quoted.AsSpan(0, Math.Min(failure.QuotedLength, _quoted.Length)));
                mapper.HandleUnreachable(failure.To, handle, FallbackCauses.Of(failure), failure.Source, Clock.Now);
                transmitter.Drain();
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
                transmitter.Drain();
            }
            else
            {
                mapper.Deny(now);
            }
        }
    }

    /// <summary>The handle of the message that an ICMP error quotes; 0 when it quotes less.</summary>
    private static ulong ReadHandle(ReadOnlySpan<byte> quoted) => PeerMessage.TryReadHandle(quoted, out ulong handle) ? handle : 0;

    private int? TakeSignals()
    {
        PendingSignals pending = signals.Take();
        if ((pending & PendingSignals.Dump) != 0)
        {
            mapper.DumpMappings();
        }
        if ((pending & (PendingSignals.Terminate | PendingSignals.Hangup)) == 0)
        {
            return null;
        }
        bool hangup = (pending & PendingSignals.Terminate) == 0;
        Log.Ending(log, hangup ? "SIGHUP" : "SIGTERM");
        return hangup ? ExitStatus.Failure : ExitStatus.Ended; // Kept: SIGHUP ends it with 1
    }
}

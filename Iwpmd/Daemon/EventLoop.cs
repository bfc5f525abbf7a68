using Iwpmd.Core;
using Iwpmd.Os;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;

namespace Iwpmd.Daemon;

/// <summary>Wait, dispatch, drain, expire. It looks at the netlink socket at every wake-up, at least every two seconds: that bounds the age of what it finds there.</summary>
internal sealed class EventLoop(PortMapper mapper, KernelLink kernel, PeerSockets peers, Transmitter transmitter, Signals signals, Epoll epoll, ILogger log)
{
    public static readonly TimeSpan Tick = TimeSpan.FromSeconds(2);

    /// <summary>How much of one source is served before the others have their turn.</summary>
    private const int BatchLimit = 64;
    private const int KernelToken = 0, SignalToken = 1, PeerToken = 2;

    private readonly byte[] _datagram = new byte[PeerMessage.RequestSize + 1]; // Differs: one more shows what is too long, and is dropped instead of cut
    private readonly UdpSocket[] _peers = peers.All.ToArray();

    /// <summary>Called at every wake-up, with the time; returns when it wants to be called next.</summary>
    public required Func<TimeSpan, TimeSpan> OnWake { get; init; }

    public Errno Register()
    {
        Errno error = epoll.Add(kernel.Fd, KernelToken);
        error = error != Errno.None ? error : epoll.Add(signals.Fd, SignalToken);
        for (int i = 0; i < _peers.Length && error == Errno.None; i++)
        {
            error = epoll.Add(_peers[i].Fd, PeerToken + i);
        }
        return error;
    }

    /// <summary>Runs until a signal or the kernel ends it; returns the exit status.</summary>
    public int Run()
    {
        Span<int> ready = stackalloc int[8];
        while (true)
        {
            TimeSpan now = Clock.Now;
            TimeSpan next = OnWake(now);
            next = mapper.NextDeadline < next ? mapper.NextDeadline : next;
            int count = epoll.Wait(ready, kernel.Inbox.Count > 0 ? TimeSpan.Zero : next - now);
            ServeKernel();
            foreach (int token in ready[..count])
            {
                if (token >= PeerToken)
                {
                    ServePeer(_peers[token - PeerToken]);
                }
                else if (token == SignalToken && TakeSignals() is int status)
                {
                    return status;
                }
            }
            mapper.Expire(Clock.Now);
            transmitter.Drain();
            if (mapper.Kernel == HandshakeState.Unusable && !mapper.WasReady)
            {
                return ExitStatus.Unavailable;
            }
        }
    }

    private void ServeKernel()
    {
        kernel.ReceiveAll();
        TimeSpan now = Clock.Now;
        if (kernel.TakeOverrun())
        {
            mapper.OnOverrun(now);
            transmitter.Drain();
        }
        for (int i = 0; i < BatchLimit && kernel.Inbox.Count > 0; i++)
        {
            KernelArrival arrival = kernel.Inbox.Peek();
            kernel.Inbox.Dequeue();
            mapper.Handle(arrival.Request, arrival.NotBefore, now);
            transmitter.Drain();
        }
    }

    private void ServePeer(UdpSocket socket)
    {
        while (socket.TryReceiveError(_datagram, out UdpError failure))
        {
            if (failure.IsUnreachable)
            {
                mapper.HandleUnreachable(failure.To, ReadHandle(_datagram.AsSpan(0, Math.Min(failure.QuotedLength, _datagram.Length))), Clock.Now);
                transmitter.Drain();
            }
        }
        for (int i = 0; i < BatchLimit && socket.Receive(_datagram, out UdpArrival arrival) == Errno.None; i++)
        {
            if (PeerMessage.TryParse(_datagram.AsSpan(0, Math.Min(arrival.Length, _datagram.Length)), out PeerMessage message, out string? reason))
            {
                mapper.Handle(new PeerArrival(arrival.From, arrival.To), message, Clock.Now); // Differs: answers leave from the address that was asked
                transmitter.Drain();
            }
            else
            {
                mapper.Drop(arrival.From, reason);
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

// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;
using Iwpmd.Core;
using Iwpmd.Os;
using Iwpmd.State;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;
using static Iwpmd.Core.Times;

namespace Iwpmd.Daemon;

/// <summary>
/// Wait, dispatch, drain, expire. It reads the netlink socket at least every two seconds, whatever wakes it: that
/// bounds the age of the requests in it.
/// </summary>
internal sealed class EventLoop(
    PortMapper mapper, KernelLink kernel, PeerSockets peers, Exchange exchange, Signals signals, Epoll epoll,
    ILogger log)
{
    public static readonly TimeSpan Tick = TimeSpan.FromSeconds(2);

    /// <summary>While only peers send, the netlink socket is read this often.</summary>
    private static readonly TimeSpan KernelPollInterval = TimeSpan.FromMilliseconds(500);

    private const int KernelToken = 0, SignalToken = 1, HandOverToken = 2, EndpointDumpToken = 3, PeerToken = 4;

    private readonly UdpSocket[] _peers = peers.All.ToArray();
    private readonly PeerSampling _sampling = new(mapper.Admission, peers, log);
    private readonly RefusedReads _refused = new(epoll, PeerToken + peers.All.Length);

    /// <summary>Called at every wake-up, with the time; returns the latest time of the next call.</summary>
    public required Func<TimeSpan, TimeSpan> OnWake { get; init; }

    /// <summary>Null: no takeover is served.</summary>
    public HandOver? HandOver { get; init; }

    /// <summary>Null: the devices cannot be asked.</summary>
    public EndpointDump? EndpointDump { get; init; }

    /// <summary>The loop ended because another daemon has taken over: nothing may be changed any more.</summary>
    public bool HasHandedOver { get; private set; }

    public Errno Register()
    {
        if (EndpointDump is not null)
        {
            EndpointDump.Watch = fd => epoll.Add(fd, EndpointDumpToken);
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
            int count = epoll.Wait(ready, exchange.IsKernelWaiting ? TimeSpan.Zero : next - now);
            now = Clock.Now;
            if (!IsAboutPeersOnly(ready[..count]) || now - kernel.SeenEmpty > KernelPollInterval)
            {
                now = exchange.ServeKernel(now);
            }
            foreach (EpollEvent one in ready[..count])
            {
                if (Dispatch(one, ref now) is int status)
                {
                    return status;
                }
            }
            _sampling.Update(now);
            mapper.Expire(now);
            exchange.Drain();
            if (mapper.HasFailed && !kernel.HasOverrun) // after an overrun HELLO is sent again
            {
                return ExitStatus.Failure;
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private TimeSpan NextWake(TimeSpan now)
    {
        TimeSpan next = Earlier(OnWake(now), EndpointDump?.Advance(now) ?? TimeSpan.MaxValue);
        next = Earlier(next, HandOver?.Advance(now) ?? TimeSpan.MaxValue);
        next = Earlier(next, _refused.Advance(now));
        return Earlier(next, Earlier(mapper.NextDeadline, _sampling.NextUpdate));
    }

    /// <summary>Serves a ready descriptor other than the kernel's; the exit status when that ends the loop.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private int? Dispatch(in EpollEvent one, ref TimeSpan now)
    {
        if (one.Token >= PeerToken)
        {
            UdpSocket socket = _peers[one.Token - PeerToken];
            Errno error = exchange.ServePeer(socket, one, now);
            if (_refused.Note(error, socket.Fd, one.Token, now))
            {
                Log.PeerReceiveFailed(log, socket.Port, error.Text());
            }
        }
        else if (one.Token == KernelToken)
        {
            _ = _refused.Note(kernel.ReadError, kernel.Fd, KernelToken, now);
        }
        else if (one.Token == EndpointDumpToken)
        {
            EndpointDump!.Receive(now);
        }
        else if (one.Token == SignalToken && TakeSignals() is int status)
        {
            exchange.DrainBeforeExit();
            return status;
        }
        else if (one.Token == HandOverToken && HandOver!.TryHear(now))
        {
            if (TryHandOver())
            {
                return ExitStatus.Ended;
            }
            now = Clock.Now; // the one who takes over may have kept it waiting for seconds
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
        return !ready.IsEmpty && !exchange.IsKernelWaiting;
    }

    private bool TryHandOver()
    {
        exchange.DrainBeforeExit();
        HasHandedOver = HandOver!.TryGive();
        if (!HasHandedOver)
        {
            exchange.Continue();
        }
        return HasHandedOver;
    }

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

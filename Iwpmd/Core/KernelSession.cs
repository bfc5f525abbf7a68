// SPDX-License-Identifier: MIT
using Iwpmd.State;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;

namespace Iwpmd.Core;

/// <summary>How the process ended whose netlink socket was taken over.</summary>
internal enum PredecessorExit
{
    /// <summary>It served all requests that it had read.</summary>
    Clean,

    /// <summary>The last requests that it read may be lost.</summary>
    Crash,
}

/// <summary>
/// The handshake with the kernel: HELLO and replay; when an answer is missing the state is Unanswered:
/// <code>
///  None --Start--> HelloSent --HELLO--> MapInfoSent (ABI as agreed, client iw_cm) --DONE--> Ready
///                     '--ERROR, DONE--> MapInfoSent (ABI 3, clients 2 and 3) --DONE of either--> Ready
///                                                                            '-ERROR of both--> Unusable
/// </code>
/// </summary>
internal sealed partial class KernelSession
{
    /// <summary>
    /// While two processes take the registration from each other connections fail, so HELLO is not repeated more often.
    /// </summary>
    public static readonly TimeSpan HelloPause = TimeSpan.FromSeconds(10);

    /// <summary>Mostly the kernel has recorded what was answered.</summary>
    private static readonly TimeSpan RecordingPause = TimeSpan.FromMilliseconds(100);

    private readonly StateLayout _state;
    private readonly Mappings _mappings;
    private readonly EndpointAudit _audit;
    private readonly KernelReplies _replies;
    private readonly Statistics _statistics;
    private readonly TimerTable _timers;
    private readonly ILogger _log;
    private uint _helloSequence;
    private TimeSpan _nextOverrunHello;

    public KernelSession(
        StateLayout state, Mappings mappings, EndpointAudit audit, KernelReplies replies, Statistics statistics,
        TimerTable timers, ILogger log)
    {
        (_state, _mappings, _audit, _replies, _statistics, _timers, _log) =
            (state, mappings, audit, replies, statistics, timers, log);
        _replayed = new int[mappings.Capacity];
        _isPortUsed = new bool[mappings.Capacity];
    }

    /// <summary>Requests that were deferred by the handshake may be served.</summary>
    public bool MayServeDeferred { get; private set; }

    public HandshakeState State => _state.Health.Kernel;

    /// <summary>
    /// The kernel was ready once: a later refusal means that iw_cm was unloaded, and may be loaded again.
    /// </summary>
    public bool WasReady { get; private set; }

    /// <summary>-errno of the refusal that made the kernel unusable, or why its answer is not known.</summary>
    public int Result { get; private set; }

    /// <summary>The first handshake failed.</summary>
    public bool HasFailed => !WasReady && State is HandshakeState.Unusable or HandshakeState.Unanswered;

    /// <summary>HELLO or the replay is not answered yet.</summary>
    public bool IsInHandshake => State is HandshakeState.HelloSent or HandshakeState.MapInfoSent;

    /// <summary>
    /// Continues the session of an earlier process on its netlink socket, without HELLO: that would make the
    /// registration incomplete, and a listen that is under way would fail. Only <see cref="Probe"/> is sent. False when
    /// that process had not finished its handshake, or left a row half written: <see cref="Start"/>.
    /// </summary>
    public bool TryResume(PredecessorExit exit, TimeSpan now)
    {
        if (State != HandshakeState.Ready || _state.Clients[KernelProtocol.IwCm].Abi == 0)
        {
            return false;
        }
        WasReady = true;
        if (exit == PredecessorExit.Crash || (_state.Health.IsAuditPending != 0 && _mappings.Count > 0))
        {
            _audit.ScheduleAfterCrash(now);
        }
        Probe();
        return true;
    }

    /// <summary>
    /// Sends an empty MAPINFO_NUM, which does nothing, for its ACK: requests behind the ACK in the socket are younger
    /// than the probe, so that only those before it can be too old.
    /// </summary>
    public void Probe() => _replies.Send(
        new KernelReply { Kind = KernelReplyKind.MapInfoNumber, Client = KernelProtocol.IwCm }, TimeSpan.MaxValue);

    /// <summary>
    /// As <see cref="Start"/>, a moment later: a row was lost half written, and the kernel may not have recorded yet
    /// what an earlier process answered for it.
    /// </summary>
    public void StartLater(TimeSpan now)
    {
        SetKernel(HandshakeState.HelloSent);
        _timers.Set(Timer.Hello, now + RecordingPause);
        _audit.ScheduleAfterCrash(now + RecordingPause);
    }

    /// <summary>Sends HELLO: at start, after messages were lost, and when iw_cm was reloaded.</summary>
    public void Start(TimeSpan now)
    {
        if (_mappings.Count > 0)
        {
            _audit.Schedule(now);
        }
        _timers.Stop(Timer.Hello);
        MayServeDeferred = false;
        _replayStartedAt = now;
        _replays.AsSpan().Clear(); // what is left of an earlier replay comes once more, and must not count twice
        while (_setAside.Count > 0)
        {
            _setAside.Dequeue();
        }
        _replayed.AsSpan(0, _mappings.HighWater).Clear();
        _isPortUsed.AsSpan(0, _mappings.HighWater).Clear();
        SetKernel(HandshakeState.HelloSent);
        _helloSequence = _replies.SendInOrder(
            new KernelReply { Kind = KernelReplyKind.Hello, Client = KernelProtocol.IwCm, Abi = KernelProtocol.Abi });
    }

    /// <summary>A HELLO that is planned after a replay: a process that resumes would not send it.</summary>
    public void LeaveHello()
    {
        if (State == HandshakeState.Ready && _timers.IsSet(Timer.Hello))
        {
            SetKernel(HandshakeState.Unanswered);
        }
    }

    /// <summary>
    /// The receive buffer overflowed: which messages were lost is unknown, so everything is replayed.
    /// </summary>
    public void OnOverrun(TimeSpan now)
    {
        _statistics.Count(Counter.KernelOverruns);
        _statistics.Lose(LossCause.Overrun, now);
        Log.KernelOverrun(_log);
        if (now < _nextOverrunHello)
        {
            WasReady = true; // it answers: what overflows may be the replay itself, again and again
            SetKernel(HandshakeState.Unanswered);
            _timers.Set(Timer.Hello, _nextOverrunHello);
            MayServeDeferred = true;
            return;
        }
        _nextOverrunHello = now + HelloPause;
        Start(now);
    }

    public void OnHandshake(in KernelRequest request, TimeSpan now)
    {
        switch (request.Operation)
        {
            case KernelOperation.Hello when State == HandshakeState.HelloSent && !_timers.IsSet(Timer.Hello):
                // Differs: an unknown ABI version is taken for the nearest known one, so that the replay comes.
                Log.KernelHello(_log, (int)request.Number);
                RequestReplay(
                    (ushort)Math.Clamp(request.Number, KernelProtocol.OldestAbi, KernelProtocol.Abi), request.Sequence,
                    KernelProtocol.IwCm);
                break;
            case KernelOperation.MapInfo:
                OnMapInfo(request, now);
                break;
            case KernelOperation.MapInfoNumber:
                OnMapInfoNumber(request);
                break;
        }
    }

    public void OnHelloSent(uint sequence, SendResult sent, TimeSpan now)
    {
        if (State != HandshakeState.HelloSent || sequence != _helloSequence)
        {
            return;
        }
        if (sent.Delivery == Delivery.Refused)
        {
            Log.KernelHelloRefused(_log, sent.Code); // a kernel before 5.1 does not know HELLO
            RequestReplay(KernelProtocol.OldestAbi, 0, KernelProtocol.IwCm, KernelProtocol.SecondDriver);
            return;
        }
        OnUnanswered(sent.Code, now); // taken, and the kernel's HELLO was lost
    }

    /// <summary>
    /// No answer is no refusal. The first handshake fails by it; later ones are tried again, and requests are served
    /// meanwhile.
    /// </summary>
    private void OnUnanswered(int result, TimeSpan now)
    {
        SetKernel(HandshakeState.Unanswered);
        Result = result;
        if (WasReady)
        {
            _timers.Set(Timer.Hello, now + HelloPause);
            Log.KernelUnanswered(_log, result);
            MayServeDeferred = true;
        }
    }

    /// <summary>
    /// A reloaded iw_cm counts from 1 again, and uses ABI 3 until it gets HELLO: sends HELLO if this request is from
    /// one.
    /// </summary>
    public bool IsFromNewKernel(in KernelRequest request, TimeSpan now)
    {
        if (request.Operation != KernelOperation.RegisterPid
            || (request.Sequence > _state.Clients[request.Client].HelloSequence && State != HandshakeState.Unusable))
        {
            return false;
        }
        Log.KernelReloaded(_log);
        Start(now);
        return true;
    }

    private void SetKernel(HandshakeState state)
    {
        using var change = new RowChange<HealthRow>(ref _state.Health);
        change.Row.Kernel = state;
    }
}

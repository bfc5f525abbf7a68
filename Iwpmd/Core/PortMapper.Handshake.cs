// SPDX-License-Identifier: MIT
using Iwpmd.State;
using Iwpmd.Wire;

namespace Iwpmd.Core;

/// <summary>How the process ended whose netlink socket was taken over.</summary>
internal enum Succession
{
    /// <summary>It served all that it had read.</summary>
    Orderly,

    /// <summary>What it had read last may be lost.</summary>
    AfterCrash,
}

/// <summary>A request that waits for the replay to end.</summary>
internal readonly record struct HeldRequest(KernelRequest Request, TimeSpan NotBefore);

/// <summary>
/// HELLO and replay; what is not answered is Unanswered:
/// <code>
///  None --Start--> HelloSent --HELLO--> MapInfoSent (ABI as agreed, client iw_cm) --DONE--> Ready
///                     '--ERROR, DONE--> MapInfoSent (ABI 3, clients 2 and 3) --DONE of either--> Ready, ERROR of both--> Unusable
/// </code>
/// </summary>
internal sealed partial class PortMapper
{
    /// <summary>A hello that is answered by another one makes connections fail meanwhile: so it is said again only now and then.</summary>
    private static readonly TimeSpan ReclaimPause = TimeSpan.FromSeconds(10);

    /// <summary>More than a receive buffer of the default size can hold.</summary>
    private const int HeldLimit = 16384;

    private readonly Fifo<HeldRequest> _held = new(16);
    private LogGate _overrunGate = new(TimeSpan.FromSeconds(10), burst: 1);
    private uint _nextSequence, _helloSequence;
    private TimeSpan _helloAgainAt;

    public HandshakeState Kernel => _state.Health.Kernel;

    /// <summary>The kernel was ready once: should it refuse us later, iw_cm is gone and may come back.</summary>
    public bool WasReady { get; private set; }

    /// <summary>-errno of the refusal that made the kernel unusable, or why its answer is not known.</summary>
    public int KernelResult { get; private set; }

    /// <summary>The first handshake came to nothing.</summary>
    public bool HasFailed => !WasReady && Kernel is HandshakeState.Unusable or HandshakeState.Unanswered;

    /// <summary>
    /// Goes on where an earlier process stood, on its netlink socket. Nothing is asked of the kernel: HELLO would make the registration incomplete, and a listen that
    /// is under way then fails; but for a MAPINFO_NUM of nothing, which does nothing: what stands in the socket behind its outcome is known to have come after it, so that
    /// only the requests before it can be too old. False when that process had not finished its handshake: <see cref="Start"/>.
    /// </summary>
    public bool TryResume(Succession succession, TimeSpan now)
    {
        if (Kernel != HandshakeState.Ready || _state.Clients[KernelProtocol.IwCm].Abi == 0)
        {
            return false;
        }
        WasReady = true;
        if ((succession == Succession.AfterCrash || _state.Health.IsDoubted != 0) && _mappings.Count > 0)
        {
            Doubt(now);
        }
        Probe();
        return true;
    }

    /// <summary>Says nothing, to have an outcome: what stands in the socket behind it came after it.</summary>
    public void Probe() => ToKernel(new KernelReply { Kind = KernelReplyKind.MapInfoNumber, Client = KernelProtocol.IwCm }, TimeSpan.MaxValue);

    /// <summary>Says hello: at start, after messages were lost, and when iw_cm is a new one.</summary>
    public void Start(TimeSpan now)
    {
        if (_mappings.Count > 0)
        {
            Doubt(now);
        }
        _replayStartedAt = now;
        _replayed.AsSpan(0, _mappings.Touched).Clear();
        SetKernel(HandshakeState.HelloSent);
        _helloSequence = ToKernelInOrder(new KernelReply { Kind = KernelReplyKind.Hello, Client = KernelProtocol.IwCm, Abi = KernelProtocol.Abi });
    }

    /// <summary>The receive buffer overflowed: what was lost is unknown, so ask for everything again.</summary>
    public void OnOverrun(TimeSpan now)
    {
        Count(Counter.KernelOverruns);
        Lose(LossCause.Overrun, now);
        if (_overrunGate.TryPass(now, out string suppressed))
        {
            Log.KernelOverrun(_log, suppressed);
        }
        Start(now);
    }

    /// <summary>True while requests wait in memory for the replay or for their time.</summary>
    public bool HoldsRequests => _held.Count > 0 || _registrations.Count > 0 || IsIntroducing;

    /// <summary>The kernel has not yet told all that it knows.</summary>
    public bool IsIntroducing => Kernel is HandshakeState.HelloSent or HandshakeState.MapInfoSent;

    private static bool IsHandshakeMessage(KernelOperation operation) =>
        operation is KernelOperation.Hello or KernelOperation.MapInfo or KernelOperation.MapInfoNumber;

    private void OnHandshake(in KernelRequest request, TimeSpan now)
    {
        switch (request.Operation)
        {
            case KernelOperation.Hello when Kernel == HandshakeState.HelloSent:
                // Differs: a version that is not known here is taken for the nearest one, so that the replay comes.
                Log.KernelHello(_log, (int)request.Number);
                RequestReplay((ushort)Math.Clamp(request.Number, KernelProtocol.OldestAbi, KernelProtocol.Abi), request.Sequence, KernelProtocol.IwCm);
                break;
            case KernelOperation.MapInfo:
                OnMapInfo(request, now);
                break;
            case KernelOperation.MapInfoNumber:
                OnMapInfoNumber(request);
                break;
        }
    }

    private void OnHelloSent(uint sequence, SendResult sent, TimeSpan now)
    {
        if (Kernel != HandshakeState.HelloSent || sequence != _helloSequence)
        {
            return;
        }
        if (sent.Delivery == Delivery.Refused)
        {
            Log.KernelHelloRefused(_log, sent.Code); // a kernel before 5.1 does not know HELLO
            RequestReplay(KernelProtocol.OldestAbi, 0, KernelProtocol.IwCm, KernelProtocol.SecondDriver);
            return;
        }
        OnUnanswered(sent.Code, now); // taken, and its own HELLO was lost
    }

    /// <summary>No word of the kernel is no refusal. At the first handshake there is nothing to go on with; later requests are served meanwhile.</summary>
    private void OnUnanswered(int result, TimeSpan now)
    {
        SetKernel(HandshakeState.Unanswered);
        KernelResult = result;
        _helloAgainAt = now + ReclaimPause;
        if (WasReady)
        {
            Log.KernelUnanswered(_log, result);
            ServeHeld(now);
        }
    }

    private void SayHelloAgain(TimeSpan now)
    {
        if (Kernel == HandshakeState.Unanswered && WasReady && now >= _helloAgainAt)
        {
            Start(now);
        }
    }

    private void ServeHeld(TimeSpan now)
    {
        while (_held.Count > 0)
        {
            HeldRequest held = _held.Peek();
            _held.Dequeue();
            Serve(held.Request, held.NotBefore + AnswerWithin, now);
        }
    }

    /// <summary>A new iw_cm counts from 1 again, and speaks ABI 3 until it hears HELLO: says hello if this request comes from one.</summary>
    private bool IsFromNewKernel(in KernelRequest request, TimeSpan now)
    {
        if (request.Operation != KernelOperation.RegisterPid || request.Sequence > _state.Clients[request.Client].HelloSequence)
        {
            return false;
        }
        Log.KernelReloaded(_log);
        while (_registrations.Count > 0)
        {
            _registrations.Dequeue(); // of the old one: the new one counts anew, and would take it for an answer to its own
        }
        Start(now);
        return true;
    }

    /// <summary>The ABI that was agreed with a client; the lowest with one that we did not ask.</summary>
    private ushort AbiOf(byte client) => Math.Max(_state.Clients[client].Abi, KernelProtocol.OldestAbi);

    private void SetKernel(HandshakeState state)
    {
        using var change = new RowChange<HealthRow>(ref _state.Health);
        change.Row.Kernel = state;
    }
}

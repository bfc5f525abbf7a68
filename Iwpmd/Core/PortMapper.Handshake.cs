using Iwpmd.Wire;
using static Iwpmd.Wire.RdmaNetlink;

namespace Iwpmd.Core;

/// <summary>Where we stand with the kernel.</summary>
internal enum HandshakeState : byte
{
    None,
    HelloSent,
    MapInfoSent,
    Ready,

    /// <summary>The kernel refuses everything: no iw_cm, or not the initial network namespace.</summary>
    Unusable,
}

/// <summary>A request that waits for the replay to end.</summary>
internal readonly record struct HeldRequest(KernelRequest Request, TimeSpan NotBefore);

/// <summary>A registration that is answered when the kernel is ready to take the answer.</summary>
internal readonly record struct PendingRegistration(byte Client, uint Sequence, FixedName Device, TimeSpan Due, TimeSpan AnswerBy);

/// <summary>
/// HELLO, registration and replay:
/// <code>
///  None --Start--> HelloSent --HELLO--> MapInfoSent (ABI as agreed, client iw_cm) --DONE--> Ready
///                     '--ERROR, DONE--> MapInfoSent (ABI 3, clients 2 and 3) --DONE of either--> Ready, ERROR of both--> Unusable
/// </code>
/// </summary>
internal sealed partial class PortMapper
{
    /// <summary>The kernel has the buffer for the answer to REG_PID only after its multicast returned: 1 ms, and one more for what passes between the clock and the receive.</summary>
    private static readonly TimeSpan RegistrationDelay = TimeSpan.FromMilliseconds(2);

    /// <summary>A row may be younger than the kernel's record of it, which is made after our answer.</summary>
    private static readonly TimeSpan SettledAge = TimeSpan.FromSeconds(10);

    private readonly Fifo<HeldRequest> _held = new(16);
    private readonly Fifo<PendingRegistration> _registrations = new(4);
    private readonly Replay[] _replays = new Replay[2];
    private readonly int[] _replayed; // by slot: how often it came in this replay
    private uint _nextSequence, _helloSequence;
    private int _openReplays;
    private TimeSpan _replayStartedAt;
    private Replay _noReplay;

    /// <summary>MAPINFOs of one client; Announced is what MAPINFO_NUM said, -1 before it came.</summary>
    private struct Replay
    {
        public byte Client;
        public bool IsOpen;
        public uint Sequence;
        public int Received, Accepted, Announced;
    }

    public HandshakeState Kernel => _state.Health.Kernel;

    /// <summary>The kernel was ready once: should it refuse us later, iw_cm is gone and may come back.</summary>
    public bool WasReady { get; private set; }

    /// <summary>-errno of the refusal that made the kernel unusable.</summary>
    public int KernelResult { get; private set; }

    /// <summary>Says hello: at start, after messages were lost, and when iw_cm is a new one.</summary>
    public void Start(TimeSpan now)
    {
        _replayStartedAt = now;
        _replayed.AsSpan(0, _mappings.Touched).Clear();
        SetKernel(HandshakeState.HelloSent);
        _helloSequence = ToKernel(new KernelReply { Kind = KernelReplyKind.Hello, Client = RDMA_NL_IWCM, Abi = IWPM_UABI_VERSION }, TimeSpan.MaxValue);
    }

    /// <summary>The receive buffer overflowed: what was lost is unknown, so ask for everything again.</summary>
    public void OnOverrun(TimeSpan now)
    {
        Count(Counter.KernelOverruns);
        Log.KernelOverrun(_log);
        Start(now);
    }

    private static bool IsHandshakeMessage(KernelOperation operation) =>
        operation is KernelOperation.Hello or KernelOperation.MapInfo or KernelOperation.MapInfoNumber or KernelOperation.Done or KernelOperation.Error;

    private void OnHandshake(in KernelRequest request, TimeSpan now)
    {
        switch (request.Operation)
        {
            case KernelOperation.Hello when Kernel == HandshakeState.HelloSent:
                Log.KernelHello(_log, (int)request.Number);
                RequestReplay((ushort)request.Number, request.Sequence, RDMA_NL_IWCM);
                break;
            case KernelOperation.MapInfo:
                OnMapInfo(request, now);
                break;
            case KernelOperation.MapInfoNumber:
                OnMapInfoNumber(request);
                break;
            case KernelOperation.Done or KernelOperation.Error when Kernel == HandshakeState.HelloSent && request.Sequence == _helloSequence:
                Log.KernelHelloRefused(_log, request.Result); // a kernel before 5.1 does not know HELLO
                RequestReplay(IWPM_UABI_VERSION_MIN, 0, RDMA_NL_IWCM, RDMA_NL_C4IW);
                break;
            case KernelOperation.Done or KernelOperation.Error:
                OnReplayEnded(request, now);
                break;
        }
    }

    /// <param name="helloSequence">The kernel's own number of its HELLO: what it sends later has a higher one; 0 without a HELLO.</param>
    private void RequestReplay(ushort abi, uint helloSequence, params ReadOnlySpan<byte> clients)
    {
        SetKernel(HandshakeState.MapInfoSent);
        _replays.AsSpan().Clear();
        _openReplays = clients.Length;
        for (int i = 0; i < clients.Length; i++)
        {
            uint sequence = ToKernel(new KernelReply { Kind = KernelReplyKind.MapInfo, Client = clients[i], Abi = abi }, TimeSpan.MaxValue);
            _replays[i] = new Replay { Client = clients[i], IsOpen = true, Sequence = sequence, Announced = -1 };
            using var change = new RowChange<ClientRow>(ref _state.Clients[clients[i]]);
            (change.Row.Abi, change.Row.HelloSequence, change.Row.IsRegistered) = (abi, helloSequence, 0);
        }
    }

    private void OnMapInfo(in KernelRequest request, TimeSpan now)
    {
        ref Replay replay = ref FindReplay(request.Client);
        if (replay.Client == 0)
        {
            return; // nobody asked
        }
        Count(Counter.Replayed);
        replay.Received++;
        MappingError error = TakeOver(request, now);
        if (error == MappingError.None)
        {
            replay.Accepted++;
            return;
        }
        ToKernel(new KernelReply { Kind = KernelReplyKind.HandleError, Client = request.Client, RequestSequence = request.Sequence, Error = error }, TimeSpan.MaxValue);
    }

    /// <summary>Brings the table to what the kernel says of one connection. Differs: a port that is in the kernel's use never loses its row.</summary>
    private MappingError TakeOver(in KernelRequest request, TimeSpan now)
    {
        int slot = _mappings.FindExactLocal(request.Local);
        bool isUnmapped = request.Mapped.Port == request.Local.Port;
        if (slot < 0)
        {
            int overlapping = isUnmapped ? -1 : _mappings.FindByLocal(request.Local);
            slot = AddReplayed(request, isUnmapped, now);
            return slot < 0 ? MappingError.CannotCreate
                : overlapping >= 0 ? MappingError.Duplicate
                : _mappings[slot].State == MappingState.Unprotected ? MappingError.CannotCreate
                : MappingError.None;
        }
        ref readonly MappingRow row = ref _mappings[slot];
        if (row.CreatedAt >= _replayStartedAt.Ticks)
        {
            using var change = _mappings.Change(slot);
            change.Row.References++;
        }
        _replayed[slot]++;
        if (isUnmapped || row.MappedPort == request.Mapped.Port)
        {
            return row.State == MappingState.Unprotected ? MappingError.CannotCreate : MappingError.None;
        }
        if (_replayed[slot] > 1 && row.State != MappingState.Fallback)
        {
            return MappingError.Duplicate;
        }
        // The kernel is right about which port it uses.
        ReleasePort(slot);
        return Protect(slot, request.Mapped.Port, now) ? MappingError.None : MappingError.CannotCreate;
    }

    private int AddReplayed(in KernelRequest request, bool isUnmapped, TimeSpan now)
    {
        int slot = _mappings.Add(
            new MappingRow
            {
                Local = request.Local,
                MappedPort = request.Mapped.Port,
                State = isUnmapped && request.NoPortMap ? MappingState.Advertised : MappingState.Fallback,
                Client = request.Client,
                Flags = request.Flags,
            },
            now);
        if (slot < 0)
        {
            Log.MappingTableFull(_log, request.Local, _mappings.Capacity);
            return -1;
        }
        _replayed[slot] = 1;
        if (!isUnmapped)
        {
            Protect(slot, request.Mapped.Port, now);
        }
        return slot;
    }

    private bool Protect(int slot, ushort port, TimeSpan now)
    {
        bool claimed = _ports.TryClaim(_mappings[slot].Local.Family, port) == ClaimResult.Claimed;
        using (var change = _mappings.Change(slot))
        {
            change.Row.MappedPort = port;
            change.Row.State = MappingState.Held;
        }
        if (!claimed)
        {
            SetUnprotected(slot, now);
        }
        return claimed;
    }

    private void OnMapInfoNumber(in KernelRequest request)
    {
        ref Replay replay = ref FindReplay(request.Client);
        if (replay.Client == 0)
        {
            return;
        }
        replay.Announced = (int)request.Number;
        ToKernel(
            new KernelReply
            {
                Kind = KernelReplyKind.MapInfoNumber,
                Client = request.Client,
                RequestSequence = request.Sequence,
                Sent = request.Number,
                Accepted = (uint)replay.Accepted,
            },
            TimeSpan.MaxValue);
    }

    private void OnReplayEnded(in KernelRequest request, TimeSpan now)
    {
        foreach (ref Replay replay in _replays.AsSpan())
        {
            if (!replay.IsOpen || replay.Sequence != request.Sequence)
            {
                continue;
            }
            replay.IsOpen = false;
            _openReplays--;
            if (request.Operation == KernelOperation.Done)
            {
                Reconcile(replay, request.Result, now);
            }
            else
            {
                KernelResult = request.Result;
                replay.Client = 0;
            }
        }
        if (Kernel == HandshakeState.MapInfoSent && _openReplays == 0)
        {
            bool usable = _replays[0].Client != 0 || _replays[1].Client != 0;
            SetKernel(usable ? HandshakeState.Ready : HandshakeState.Unusable);
            WasReady |= usable;
            ServeHeld(now);
        }
    }

    /// <summary>After a complete replay the kernel's count of connections is ours, but for rows so young that the kernel may not have recorded them yet.</summary>
    private void Reconcile(in Replay replay, int result, TimeSpan now)
    {
        // An empty table is not announced; of a large one the kernel sends a part and announces nothing.
        bool complete = replay.Announced == replay.Received || (replay.Announced < 0 && replay.Received == 0 && result == 0);
        int released = 0;
        for (int slot = 0; slot < _mappings.Touched; slot++)
        {
            ref readonly MappingRow row = ref _mappings[slot];
            if (!row.IsUsed || row.Client != replay.Client || row.CreatedAt >= _replayStartedAt.Ticks)
            {
                continue;
            }
            bool young = now.Ticks - row.TouchedAt < SettledAge.Ticks;
            if (_replayed[slot] == 0 && complete && !young)
            {
                RemoveMapping(slot);
                released++;
            }
            else if (_replayed[slot] > row.References || (_replayed[slot] > 0 && complete && !young))
            {
                using var change = _mappings.Change(slot);
                change.Row.References = _replayed[slot];
            }
        }
        Log.KernelReplayed(_log, replay.Received, replay.Client, replay.Accepted, released);
        if (!complete)
        {
            Log.KernelReplayIncomplete(_log, replay.Received, replay.Client);
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
        Start(now);
        return true;
    }

    private void OnRegisterPid(in KernelRequest request, TimeSpan answerBy, TimeSpan now)
    {
        if (IsTooOld(request.Operation, answerBy, now))
        {
            return;
        }
        ref ClientRow client = ref _state.Clients[request.Client];
        if (client.IsRegistered != 0 && !client.Library.Equals(request.Library))
        {
            Log.KernelLibraryChanged(_log, request.Client, request.Library, client.Library);
            Refuse(request, MappingError.UserLibrary, answerBy, "another library name is registered");
            return;
        }
        if (client.IsRegistered == 0)
        {
            Log.KernelRegistered(_log, request.Device, request.Interface, request.Client, AbiOf(request.Client));
        }
        using (var change = new RowChange<ClientRow>(ref client))
        {
            (change.Row.IsRegistered, change.Row.RegisteredAt) = (1, now.Ticks);
            (change.Row.Device, change.Row.Interface, change.Row.Library) = (request.Device, request.Interface, request.Library);
        }
        _registrations.Enqueue() = new PendingRegistration(request.Client, request.Sequence, request.Device, now + RegistrationDelay, answerBy);
    }

    private void AnswerRegistrations(TimeSpan now)
    {
        while (_registrations.Count > 0 && _registrations.Peek().Due <= now)
        {
            PendingRegistration pending = _registrations.Peek();
            _registrations.Dequeue();
            ToKernel(
                new KernelReply
                {
                    Kind = KernelReplyKind.RegisterPid,
                    Client = pending.Client,
                    RequestSequence = pending.Sequence,
                    Device = pending.Device,
                    Abi = AbiOf(pending.Client),
                },
                pending.AnswerBy);
        }
    }

    /// <summary>The ABI that was agreed with a client; the lowest with one that we did not ask.</summary>
    private ushort AbiOf(byte client) => Math.Max(_state.Clients[client].Abi, IWPM_UABI_VERSION_MIN);

    /// <summary>The replay of a client that was asked for; one without a client when there is none.</summary>
    private ref Replay FindReplay(byte client) => ref _replays[0].Client == client ? ref _replays[0] : ref _replays[1].Client == client ? ref _replays[1] : ref _noReplay;

    private void SetKernel(HandshakeState state)
    {
        using var change = new RowChange<HealthRow>(ref _state.Health);
        change.Row.Kernel = state;
    }
}

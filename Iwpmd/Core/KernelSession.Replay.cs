// SPDX-License-Identifier: MIT
using Iwpmd.State;
using Iwpmd.Wire;

namespace Iwpmd.Core;

/// <summary>
/// The replay: after MAPINFO the kernel reports the mappings that its connections use, and the rows are brought to
/// that.
/// </summary>
internal sealed partial class KernelSession
{
    private readonly Replay[] _replays = new Replay[2];
    private readonly int[] _replayed; // by slot: how often it was received in this replay
    private readonly bool[] _isPortUsed; // by slot: once or more as mapped
    private readonly Fifo<KernelRequest> _setAside = new(16);
    private int _openReplays;
    private TimeSpan _replayStartedAt;
    private Replay _noReplay;

    /// <summary>How many mappings the kernel of this host can replay.</summary>
    public int MaxReplayed { get; init; }

    /// <summary>MAPINFOs of one client; Announced is the number in MAPINFO_NUM, -1 before it.</summary>
    private struct Replay
    {
        public byte Client;
        public bool IsOpen;
        public uint Sequence;
        public int Received, Accepted, Announced;
    }

    /// <param name="helloSequence">The kernel's sequence number of its HELLO: its later messages have higher ones; 0
    /// without a HELLO.</param>
    private void RequestReplay(ushort abi, uint helloSequence, params ReadOnlySpan<byte> clients)
    {
        SetKernel(HandshakeState.MapInfoSent);
        _openReplays = clients.Length;
        for (int i = 0; i < clients.Length; i++)
        {
            uint sequence = _replies.SendInOrder(
                new KernelReply { Kind = KernelReplyKind.MapInfo, Client = clients[i], Abi = abi });
            _replays[i] = new Replay { Client = clients[i], IsOpen = true, Sequence = sequence, Announced = -1 };
            using var change = new RowChange<ClientRow>(ref _state.Clients[clients[i]]);
            (change.Row.Abi, change.Row.HelloSequence, change.Row.IsRegistered) = (abi, helloSequence, false);
        }
    }

    private void OnMapInfo(in KernelRequest request, TimeSpan now)
    {
        ref Replay replay = ref FindReplay(request.Client);
        if (replay.Client == 0)
        {
            return; // Differs: a replay of a client that was not asked claims nothing
        }
        _statistics.Count(Counter.Replayed);
        replay.Received++;
        // also one of keep_ports, which may have been refused
        bool mayWait = request.Mapped.Port == request.Local.Port || _mappings.Count == _mappings.Capacity;
        if (mayWait && _mappings.FindExactLocal(request.Local) < 0)
        {
            _setAside.Enqueue() = request;
            replay.Accepted++;
            return;
        }
        MappingError error = ApplyReplayedMapping(request, now);
        if (error == MappingError.None)
        {
            replay.Accepted++;
            return;
        }
        _replies.Send(
            new KernelReply
            {
                Kind = KernelReplyKind.HandleError,
                Client = request.Client,
                RequestSequence = request.Sequence,
                Error = error,
            },
            TimeSpan.MaxValue);
    }

    /// <summary>
    /// Applies one replayed connection to the table. Differs: a port that the kernel uses never loses its row.
    /// </summary>
    private MappingError ApplyReplayedMapping(in KernelRequest request, TimeSpan now)
    {
        int slot = _mappings.FindExactLocal(request.Local);
        bool isUnmapped = IsUnmapped(request);
        if (slot < 0)
        {
            int overlapping = _mappings.FindByLocal(request.Local);
            slot = _mappings.AddReplayed(request, isUnmapped, now);
            if (slot >= 0)
            {
                _replayed[slot] = 1;
            }
            return slot < 0 ? MappingError.CannotCreate
                : overlapping >= 0 ? MappingError.Duplicate
                : _mappings[slot].State == MappingState.Unprotected ? MappingError.CannotCreate
                : MappingError.None;
        }
        ref readonly MappingRow row = ref _mappings[slot];
        if (row.CreatedAt >= _replayStartedAt)
        {
            _mappings.SetReferences(slot, row.References + 1);
        }
        _replayed[slot]++;
        _isPortUsed[slot] |= !isUnmapped;
        if (isUnmapped || (row.MappedPort == request.Mapped.Port && row.State != MappingState.Fallback))
        {
            return row.State == MappingState.Unprotected ? MappingError.CannotCreate : MappingError.None;
        }
        if (_replayed[slot] > 1 && row.State != MappingState.Fallback)
        {
            return MappingError.Duplicate;
        }
        return _mappings.Rebind(slot, request.Mapped.Port, now) ? MappingError.None : MappingError.CannotCreate;
    }

    /// <summary>
    /// The kernel reports this connection on its local port. If keep_ports has the port it is mapped to itself.
    /// </summary>
    private bool IsUnmapped(in KernelRequest replayed) =>
        replayed.Mapped.Port == replayed.Local.Port
            && (replayed.NoPortMap || !_mappings.Kept.Contains(replayed.Local.Port));

    private void OnMapInfoNumber(in KernelRequest request)
    {
        ref Replay replay = ref FindReplay(request.Client);
        if (replay.Client == 0)
        {
            return;
        }
        replay.Announced = (int)request.Number;
        _replies.Send(
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

    public void OnMapInfoSent(uint sequence, SendResult sent, TimeSpan now)
    {
        int index = Array.FindIndex(_replays, replay => replay.IsOpen && replay.Sequence == sequence);
        if (index < 0)
        {
            return;
        }
        if (sent.Delivery is Delivery.Unknown or Delivery.Unsent)
        {
            if (State == HandshakeState.MapInfoSent)
            {
                OnUnanswered(sent.Code, now);
            }
            return;
        }
        ref Replay replay = ref _replays[index];
        replay.IsOpen = false;
        _openReplays--;
        if (sent.Delivery == Delivery.Taken || sent.Code == KernelProtocol.ReplayCut)
        {
            Reconcile(replay, sent.Code, now);
        }
        else
        {
            Result = sent.Code;
            replay.Client = 0;
        }
        if (State == HandshakeState.MapInfoSent && _openReplays == 0)
        {
            ApplySetAside(now);
            bool usable = _replays[0].Client != 0 || _replays[1].Client != 0;
            SetKernel(usable ? HandshakeState.Ready : HandshakeState.Unusable);
            WasReady |= usable;
            MayServeDeferred = true;
        }
    }

    /// <summary>
    /// Connections that run unmapped need a row only so that their REMOVE finds it; others came when the table was full
    /// of rows that have been released since.
    /// </summary>
    private void ApplySetAside(TimeSpan now)
    {
        for (; _setAside.Count > 0; _setAside.Dequeue())
        {
            _ = ApplyReplayedMapping(_setAside.Peek(), now);
        }
    }

    /// <summary>
    /// Differs: each replayed connection is a reference. After a complete replay the kernel's count of connections
    /// becomes ours, except for rows so young that the kernel may not have recorded them yet.
    /// </summary>
    private void Reconcile(in Replay replay, int result, TimeSpan now)
    {
        // The kernel does not announce an empty table; of a large one it sends a part and announces nothing.
        bool complete = replay.Announced == replay.Received
            || (replay.Announced < 0 && replay.Received == 0 && result == 0);
        int released = 0;
        for (int slot = 0; slot < _mappings.HighWater; slot++)
        {
            ref readonly MappingRow row = ref _mappings[slot];
            if (!row.IsUsed || row.Client != replay.Client || row.CreatedAt >= _replayStartedAt)
            {
                continue;
            }
            bool isYoung = now - Mappings.RecordingTime < row.LastChangedAt;
            bool isSettled = complete && !isYoung;
            if (_replayed[slot] > 0)
            {
                if (isSettled || _replayed[slot] > row.References)
                {
                    _mappings.SetReferences(slot, _replayed[slot]);
                }
                if (isSettled && !_isPortUsed[slot] && MayFallBack(row))
                {
                    // Differs: its port was of a listener that is gone, and whose REMOVE was lost: the next was refused
                    _mappings.Unmap(slot);
                }
            }
            else if (isSettled)
            {
                _mappings.Remove(slot);
                released++;
            }
            else if (complete && row.Purpose == MappingPurpose.Listening)
            {
                // Another listener may have its address, unmapped: peers would be told a port where nobody listens.
                _timers.Set(Timer.Hello, now + Mappings.RecordingTime);
            }
        }
        Log.KernelReplayed(_log, replay.Received, replay.Client, replay.Accepted, released);
        if (!complete)
        {
            Log.KernelReplayIncomplete(_log, replay.Received, replay.Client, MaxReplayed);
        }
    }

    private static bool MayFallBack(in MappingRow row) =>
        row.State is MappingState.Held or MappingState.Unprotected && !row.IsKept;

    /// <summary>The kernel does not name in its replay what it removed before; nothing of it has come yet.</summary>
    public bool IsBeforeReplay(byte client)
    {
        ref Replay replay = ref FindReplay(client);
        return State == HandshakeState.HelloSent || (replay.IsOpen && replay.Received == 0 && replay.Announced < 0);
    }

    /// <summary>The replay of a client that was asked for; one without a client when there is none.</summary>
    private ref Replay FindReplay(byte client) =>
        ref _replays[0].Client == client ? ref _replays[0]
        : ref _replays[1].Client == client ? ref _replays[1]
        : ref _noReplay;
}

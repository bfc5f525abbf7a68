// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;
using Iwpmd.State;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;

namespace Iwpmd.Core;

/// <summary>
/// The mappings of this host: the only place where a row changes its state, and where a port is claimed, released,
/// tried again and restored. A listener can be mapped to its own port (<c>keep_ports</c>), so that hosts without a port
/// mapper reach it: its row is Held like any other, though its mapped port is the local one, and rows of one port share
/// it.
/// </summary>
internal sealed class Mappings(
    StateLayout state, ITcpPorts ports, KernelReplies replies, Statistics statistics, TimerTable timers, ILogger log)
{
    /// <summary>
    /// Within this time of our answer the kernel has recorded the mapping: a younger row may be missing there.
    /// </summary>
    public static readonly TimeSpan RecordingTime = TimeSpan.FromSeconds(10);

    private static readonly TimeSpan ClaimRetry = TimeSpan.FromSeconds(2);

    private readonly MappingTable _table = new(state);
    private int _unprotected;

    /// <summary>A listener on one of these is mapped to the same number, if that is free.</summary>
    public PortSet Kept { get; set; } = PortSet.None;

    /// <summary>
    /// Differs: an ADD for the wildcard address of an older row may have been lost: the audit judges the last REMOVE.
    /// </summary>
    public TimeSpan MayLackAddsBefore { get; set; }

    public int Count => _table.Count;

    public int Capacity => _table.Capacity;

    /// <summary>Slots from this one on were never used.</summary>
    public int HighWater => _table.HighWater;

    public ref readonly MappingRow this[int slot] => ref _table[slot];

    /// <summary>
    /// The row is a listener's that is gone, and whose REMOVE was lost: a connection has its address now.
    /// </summary>
    public void PassToConnection(int slot)
    {
        using var change = _table.Change(slot);
        change.Row.Purpose = MappingPurpose.Connecting;
    }

    /// <summary>The row of exactly this address and port, or -1.</summary>
    public int FindExactLocal(in InetEndpoint local) => _table.FindExactLocal(local);

    /// <summary>The mapping that answers for this address, or -1.</summary>
    public int FindByLocal(in InetEndpoint local) => _table.FindByLocal(local);

    /// <summary>Claims the ports of the rows that an earlier process left in the state.</summary>
    public void Restore(TimeSpan now)
    {
        int held = 0, unbound = 0;
        if (_table.Dropped > 0)
        {
            Log.StateRowsDropped(log, _table.Dropped);
        }
        for (int slot = 0; slot < HighWater; slot++)
        {
            ref readonly MappingRow row = ref this[slot];
            switch (row.State)
            {
                case MappingState.Held or MappingState.Unprotected when TryClaim(slot, row.MappedPort, now):
                    SetState(slot, MappingState.Held);
                    held++;
                    break;
                case MappingState.Held or MappingState.Unprotected:
                    SetUnprotected(slot, now);
                    break;
                case MappingState.Advertised or MappingState.Fallback:
                    unbound++;
                    break;
            }
        }
        using (var change = new RowChange<HealthRow>(ref state.Health))
        {
            (change.Row.RestoredOf, change.Row.Restored, change.Row.Unprotected) =
                ((uint)Count, (uint)(held + unbound), (uint)_unprotected);
        }
        if (Count > 0)
        {
            Log.MappingsRestored(log, held, _unprotected, unbound);
        }
    }

    /// <summary>
    /// Differs: counts first. Every ADD and QUERY is followed by one REMOVE, also the refused and the unanswered, so it
    /// is one reference more of the row of exactly this address, if there is one; else its REMOVE would release that of
    /// a live owner.
    /// </summary>
    public int Reference(in InetEndpoint local, TimeSpan now)
    {
        int slot = FindExactLocal(local);
        if (slot >= 0)
        {
            using var change = _table.Change(slot);
            change.Row.References++;
            change.Row.LastChangedAt = now;
        }
        return slot;
    }

    public void OnAdd(in KernelRequest request, TimeSpan answerBy, TimeSpan now)
    {
        statistics.Count(Counter.Adds);
        int slot = Reference(request.Local, now);
        if (replies.IsTooOld(request.Operation, answerBy, now))
        {
            return;
        }
        int hit = FindByLocal(request.Local);
        if (hit >= 0 && !(hit == slot && request.Local.IsWildcard))
        {
            replies.Refuse(request, MappingError.Duplicate, answerBy, "another mapping has this address and port");
            return;
        }
        if (hit >= 0)
        {
            WarnOfClasses(slot, request);
        }
        else
        {
            slot = Map(slot, request, now);
        }
        if (slot < 0)
        {
            replies.Refuse(request, MappingError.CannotCreate, answerBy, "no port could be claimed");
            return;
        }
        ref KernelReply reply = ref replies.Send(KernelReplyKind.AddMapping, request.Client, answerBy);
        reply.RequestSequence = request.Sequence;
        reply.Local = request.Local;
        reply.MappedLocal = this[slot].Mapped;
    }

    public void OnRemove(in KernelRequest request, TimeSpan now)
    {
        statistics.Count(Counter.Removes);
        int slot = FindExactLocal(request.Local);
        if (slot < 0 || this[slot].Client != request.Client)
        {
            return;
        }
        bool mayLackAdds = this[slot].Local.IsWildcard && this[slot].CreatedAt < MayLackAddsBefore;
        if (this[slot].References <= 1 && !mayLackAdds)
        {
            Remove(slot);
        }
        else
        {
            using var change = _table.Change(slot);
            change.Row.References = Math.Max(change.Row.References - 1, 0);
            change.Row.LastChangedAt = now;
        }
    }

    /// <summary>Those whose last REMOVE no audit could judge.</summary>
    public void RemoveUnreferenced()
    {
        for (int slot = 0; slot < HighWater; slot++)
        {
            if (this[slot].IsUsed && this[slot].References == 0)
            {
                Remove(slot);
            }
        }
    }

    /// <summary>
    /// Claims a port for a new row, or for <paramref name="slot"/>, which is in fallback; -1 when that is not possible.
    /// </summary>
    public int Map(int slot, in KernelRequest request, TimeSpan now)
    {
        InetEndpoint local = request.Local;
        if (slot < 0 && Count == Capacity)
        {
            ReportTableFull(local, now);
            return -1;
        }
        ClaimResult result = ClaimNew(request, now, out ushort port);
        if (result != ClaimResult.Claimed)
        {
            statistics.Count(Counter.ClaimsFailed);
            statistics.Lose(
                result switch
                {
                    ClaimResult.NoneFree => LossCause.NoFreePort,
                    ClaimResult.NoDescriptor => LossCause.NoDescriptor,
                    _ => LossCause.NoSocket,
                },
                now);
            return -1;
        }
        MappingState state = request.NoPortMap ? MappingState.Advertised : MappingState.Held;
        MappingPurpose purpose =
            request.Operation == KernelOperation.AddMapping ? MappingPurpose.Listening : MappingPurpose.Connecting;
        if (slot < 0)
        {
            slot = _table.Add(
                new MappingRow
                {
                    Local = local,
                    MappedPort = port,
                    State = state,
                    Client = request.Client,
                    Flags = (ushort)request.Flags,
                    Purpose = purpose,
                },
                now);
        }
        else
        {
            using var change = _table.Change(slot);
            (change.Row.State, change.Row.MappedPort, change.Row.Flags, change.Row.Purpose) =
                (state, port, (ushort)request.Flags, purpose);
        }
        if (log.IsEnabled(LogLevel.Debug))
        {
            Log.MappingAdded(log, local, this[slot].Mapped, request.Client, state);
        }
        return slot;
    }

    /// <summary>
    /// The kernel sends one ADD per device for a listener on the wildcard. Neither its REMOVE nor a peer's Request
    /// names the device, so there is one mapping: that of the first device, also for one whose port is to be mapped
    /// otherwise.
    /// </summary>
    private void WarnOfClasses(int slot, in KernelRequest request)
    {
        ref readonly MappingRow row = ref this[slot];
        if (row.State == MappingState.Advertised != request.NoPortMap)
        {
            using var change = _table.Change(slot);
            change.Row.IsOfTwoClasses = true;
            Log.MappingOfTwoClasses(log, row.Local, row.Mapped);
        }
    }

    private void ReportTableFull(in InetEndpoint local, TimeSpan now)
    {
        statistics.Count(Counter.TableFull);
        statistics.Lose(LossCause.TableFull, now);
        Log.MappingTableFull(log, local, Capacity);
    }

    /// <summary>Claims a port for a new mapping: its own if keep_ports has it and it is free, else any other.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private ClaimResult ClaimNew(in KernelRequest request, TimeSpan now, out ushort port)
    {
        InetEndpoint local = request.Local;
        port = local.Port;
        if (request.NoPortMap)
        {
            return ClaimResult.Claimed;
        }
        bool isToKeep = request.Operation == KernelOperation.AddMapping && Kept.Contains(port);
        ClaimResult kept = isToKeep ? ports.TryClaimShared(port) : ClaimResult.Taken;
        if (kept == ClaimResult.Claimed)
        {
            return kept;
        }
        ClaimResult result = ports.TryClaimAny(local.Family, local.Port, out port);
        for (int tries = _unprotected; result == ClaimResult.Claimed; tries--)
        {
            int other = FindUnprotected(port);
            if (other < 0)
            {
                break;
            }
            // Another program has released it, and the kernel uses it for that row: two would share it.
            ports.Release(port);
            RetryUnprotected(other, now);
            result = tries > 0 ? ports.TryClaimAny(local.Family, local.Port, out port) : ClaimResult.NoneFree;
        }
        if (isToKeep && result == ClaimResult.Claimed)
        {
            string reason = kept == ClaimResult.Taken ? "is in use by another program" : "could not be claimed";
            statistics.Lose(LossCause.NotKept, now);
            Log.MappingNotKept(log, local, local.WithPort(port), local.Port, reason);
        }
        return result;
    }

    /// <summary>
    /// Claims the port that the kernel uses for a row: one that is mapped to itself is shared by all such rows.
    /// </summary>
    private ClaimResult ClaimAgain(int slot, ushort port)
    {
        ref readonly MappingRow row = ref this[slot];
        return port == row.Local.Port ? ports.TryClaimShared(port) : ports.TryClaim(row.Local.Family, port);
    }

    /// <summary>Claims the port that the kernel uses for a row.</summary>
    private bool TryClaim(int slot, ushort port, TimeSpan now)
    {
        ClaimResult result = ClaimAgain(slot, port);
        if (result is not (ClaimResult.Claimed or ClaimResult.Taken)) // one that is taken shows as an unprotected row
        {
            statistics.Lose(LossCause.NotProtected, now);
        }
        return result == ClaimResult.Claimed;
    }

    private void SetState(int slot, MappingState state)
    {
        using var change = _table.Change(slot);
        change.Row.State = state;
    }

    /// <summary>The kernel uses the row's port and another program has it: it is claimed again later.</summary>
    private void SetUnprotected(int slot, TimeSpan now)
    {
        SetState(slot, MappingState.Unprotected);
        if (_unprotected == 0)
        {
            timers.Set(Timer.Claim, now + ClaimRetry);
        }
        CountUnprotected(+1);
        ref readonly MappingRow row = ref this[slot];
        Log.MappingUnprotected(log, row.Local, row.Mapped, row.MappedPort);
    }

    private void CountUnprotected(int change)
    {
        _unprotected += change;
        if (_unprotected == 0)
        {
            timers.Stop(Timer.Claim);
        }
        using var health = new RowChange<HealthRow>(ref state.Health);
        health.Row.Unprotected = (uint)_unprotected;
    }

    /// <summary>Claims the unprotected ports again.</summary>
    public void RetryUnprotected(TimeSpan now)
    {
        timers.Set(Timer.Claim, now + ClaimRetry);
        for (int slot = 0; slot < HighWater; slot++)
        {
            if (this[slot].State == MappingState.Unprotected)
            {
                RetryUnprotected(slot, now);
            }
        }
    }

    private void RetryUnprotected(int slot, TimeSpan now)
    {
        ref readonly MappingRow row = ref this[slot];
        if (!TryClaim(slot, row.MappedPort, now))
        {
            return;
        }
        SetState(slot, MappingState.Held);
        CountUnprotected(-1);
        Log.MappingProtected(log, row.Local, row.Mapped);
    }

    /// <summary>The row that waits for this port, or -1.</summary>
    private int FindUnprotected(ushort port)
    {
        for (int slot = 0; slot < HighWater && _unprotected > 0; slot++)
        {
            if (this[slot].State == MappingState.Unprotected && this[slot].MappedPort == port)
            {
                return slot;
            }
        }
        return -1;
    }

    /// <summary>Releases the port of a row; the row stays.</summary>
    private void ReleasePort(int slot)
    {
        ref readonly MappingRow row = ref this[slot];
        if (row.State == MappingState.Held)
        {
            ports.Release(row.MappedPort);
        }
        else if (row.State == MappingState.Unprotected)
        {
            CountUnprotected(-1);
        }
    }

    public void Remove(int slot)
    {
        if (log.IsEnabled(LogLevel.Debug))
        {
            Log.MappingRemoved(log, this[slot].Local, this[slot].Mapped);
        }
        ReleasePort(slot);
        _table.Remove(slot);
    }

    /// <summary>
    /// Differs: when the kernel continues unmapped the port is released at once, unless another reference uses it; the
    /// row waits for its REMOVEs.
    /// </summary>
    public void FallBack(int slot)
    {
        if (this[slot].References > 1 || this[slot].State == MappingState.Fallback || this[slot].IsKept)
        {
            return;
        }
        Unmap(slot);
    }

    /// <summary>The kernel does not use the row's port, whatever it is: the row waits for its REMOVEs.</summary>
    public void Unmap(int slot)
    {
        ReleasePort(slot);
        using var change = _table.Change(slot);
        change.Row.State = MappingState.Fallback;
        change.Row.MappedPort = change.Row.Local.Port;
    }

    public void SetReferences(int slot, int references)
    {
        if (references == 0)
        {
            Remove(slot);
        }
        else
        {
            using var change = _table.Change(slot);
            change.Row.References = references;
        }
    }

    /// <summary>A conversation ends with its mapping.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool IsAlive(in ConversationRow row)
    {
        ref readonly MappingRow mapping = ref this[row.Slot];
        return mapping.IsUsed && mapping.Generation == row.Generation;
    }

    /// <summary>
    /// Differs: without NO_PORT_MAP, mapped equal to local is a connection that runs unmapped, and nothing is bound for
    /// it, but where <c>keep_ports</c> has the port.
    /// </summary>
    public int AddReplayed(in KernelRequest request, bool isUnmapped, TimeSpan now)
    {
        int slot = _table.Add(
            new MappingRow
            {
                Local = request.Local,
                MappedPort = request.Mapped.Port,
                State = isUnmapped && request.NoPortMap ? MappingState.Advertised : MappingState.Fallback,
                Client = request.Client,
                Flags = (ushort)request.Flags,
            },
            now);
        if (slot < 0)
        {
            ReportTableFull(request.Local, now);
        }
        else if (!isUnmapped)
        {
            Protect(slot, request.Mapped.Port, now);
        }
        return slot;
    }

    /// <summary>The kernel uses this port: the row releases its other one.</summary>
    public bool Rebind(int slot, ushort port, TimeSpan now)
    {
        ReleasePort(slot);
        return Protect(slot, port, now);
    }

    private bool Protect(int slot, ushort port, TimeSpan now)
    {
        bool claimed = TryClaim(slot, port, now);
        using (var change = _table.Change(slot))
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
}

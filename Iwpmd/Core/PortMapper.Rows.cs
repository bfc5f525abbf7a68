// SPDX-License-Identifier: MIT
using Iwpmd.State;
using Iwpmd.Wire;

namespace Iwpmd.Core;

/// <summary>A row and a port for what the kernel asks about.</summary>
internal sealed partial class PortMapper
{
    private LogGate _tableFullGate = new(TimeSpan.FromSeconds(10), burst: 1), _classesGate = new(TimeSpan.FromSeconds(10), burst: 1);

    /// <summary>Claims a port for a new row, or for <paramref name="slot"/>, which is in fallback; -1 when that is not possible.</summary>
    private int Map(int slot, in KernelRequest request, TimeSpan now)
    {
        InetEndpoint local = request.Local;
        if (slot < 0 && _mappings.Count == _mappings.Capacity)
        {
            ReportTableFull(local, now);
            return -1;
        }
        ClaimResult result = ClaimNew(request, now, out ushort port);
        if (result != ClaimResult.Claimed)
        {
            Count(Counter.ClaimsFailed);
            Lose(result switch { ClaimResult.NoneFree => LossCause.NoFreePort, ClaimResult.NoDescriptor => LossCause.NoDescriptor, _ => LossCause.NoSocket }, now);
            return -1;
        }
        MappingState state = request.NoPortMap ? MappingState.Advertised : MappingState.Held;
        MappingPurpose purpose = request.Operation == KernelOperation.AddMapping ? MappingPurpose.Listening : MappingPurpose.Connecting;
        if (slot < 0)
        {
            slot = _mappings.Add(new MappingRow { Local = local, MappedPort = port, State = state, Client = request.Client, Flags = (ushort)request.Flags, Purpose = purpose }, now);
        }
        else
        {
            using var change = _mappings.Change(slot);
            (change.Row.State, change.Row.MappedPort, change.Row.Flags, change.Row.Purpose) = (state, port, (ushort)request.Flags, purpose);
        }
        Log.MappingAdded(_log, local, _mappings[slot].Mapped, request.Client, state);
        return slot;
    }

    /// <summary>
    /// A listener on the wildcard is asked for once a device. Neither its REMOVE nor a peer's Request says for which, so there is one mapping: that of the device that was first,
    /// also for one that wants its port mapped otherwise.
    /// </summary>
    private void WarnOfClasses(int slot, in KernelRequest request, TimeSpan now)
    {
        ref readonly MappingRow row = ref _mappings[slot];
        if (row.State == MappingState.Advertised != request.NoPortMap && _classesGate.TryPass(now, out string suppressed))
        {
            Log.MappingOfTwoClasses(_log, row.Local, row.Mapped, suppressed);
        }
    }

    private void ReportTableFull(in InetEndpoint local, TimeSpan now)
    {
        Count(Counter.TableFull);
        Lose(LossCause.TableFull, now);
        if (_tableFullGate.TryPass(now, out string suppressed))
        {
            Log.MappingTableFull(_log, local, _mappings.Capacity, suppressed);
        }
    }
}

// SPDX-License-Identifier: MIT
using Iwpmd.State;
using Iwpmd.Wire;

namespace Iwpmd.Core;

/// <summary>
/// Listeners that are mapped to their own port (<c>keep_ports</c>), so that hosts without a port mapper reach them. Such
/// a row is held like any other, though its mapped port is the local one, and rows of one port share it.
/// </summary>
internal sealed partial class PortMapper
{
    private LogGate _notKeptGate = new(TimeSpan.FromSeconds(10), burst: 20);

    /// <summary>Claims a port for a new mapping: its own if that shall be kept and is free, else any other.</summary>
    private ClaimResult ClaimNew(in KernelRequest request, TimeSpan now, out ushort port)
    {
        InetEndpoint local = request.Local;
        port = local.Port;
        if (request.NoPortMap)
        {
            return ClaimResult.Claimed;
        }
        bool isToKeep = request.Operation == KernelOperation.AddMapping && _settings.KeptPorts.Contains(port);
        ClaimResult kept = isToKeep ? _ports.TryClaimShared(port) : ClaimResult.Taken;
        if (kept == ClaimResult.Claimed)
        {
            return kept;
        }
        ClaimResult result = _ports.TryClaimAny(local.Family, local.Port, out port);
        if (isToKeep && result == ClaimResult.Claimed && _notKeptGate.TryPass(now, out string suppressed))
        {
            string reason = kept == ClaimResult.Taken ? "is in use by another program" : "could not be had";
            Log.MappingNotKept(_log, local, local.WithPort(port), local.Port, reason, suppressed);
        }
        return result;
    }

    /// <summary>Claims the port that the kernel uses for a row: one that is mapped to itself is shared by all such rows.</summary>
    private ClaimResult ClaimAgain(int slot, ushort port)
    {
        ref readonly MappingRow row = ref _mappings[slot];
        return port == row.Local.Port ? _ports.TryClaimShared(port) : _ports.TryClaim(row.Local.Family, port);
    }

    /// <summary>The kernel says that this runs on its own port. Where that is to be kept it was mapped so, or should be.</summary>
    private bool IsUnmapped(in KernelRequest replayed) =>
        replayed.Mapped.Port == replayed.Local.Port && (replayed.NoPortMap || !_settings.KeptPorts.Contains(replayed.Local.Port));
}

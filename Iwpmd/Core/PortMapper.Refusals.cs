// SPDX-License-Identifier: MIT
using Iwpmd.State;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;

namespace Iwpmd.Core;

/// <summary>What is not served, and what a flood of it leaves in the log: one line a period.</summary>
internal sealed partial class PortMapper
{
    private static readonly TimeSpan ReportPeriod = TimeSpan.FromSeconds(10);

    private LogGate _droppedGate = new(TimeSpan.FromSeconds(10), burst: 100);
    private TimeSpan _reportRefusalsAt = TimeSpan.MaxValue;

    /// <summary>Counts a datagram that means nothing here.</summary>
    public void Drop(in InetEndpoint from, string? reason, TimeSpan now)
    {
        Count(Counter.PeerDropped);
        Admission.CountInVain(from);
        if (_log.IsEnabled(LogLevel.Debug) && _droppedGate.TryPass(now, out string suppressed))
        {
            Log.PeerDropped(_log, from, reason, suppressed);
        }
    }

    /// <summary>Counts a message that came by an interface from which none is taken.</summary>
    public void Deny(TimeSpan now)
    {
        Admission.Deny();
        ReportRefusalsSoon(now);
    }

    private bool TryAdmit(in InetEndpoint source, TimeSpan now)
    {
        Count(Counter.PeerRequests);
        if (Admission.TryAdmit(source, now))
        {
            return true;
        }
        ReportRefusalsSoon(now);
        return false;
    }

    private void ReportRefusalsSoon(TimeSpan now)
    {
        if (_reportRefusalsAt == TimeSpan.MaxValue)
        {
            _reportRefusalsAt = now + ReportPeriod;
        }
    }

    private void ReportRefusals(TimeSpan now)
    {
        if (now < _reportRefusalsAt)
        {
            return;
        }
        _reportRefusalsAt = TimeSpan.MaxValue;
        Refusals refused = Admission.TakeRefusals();
        _state.Counters[(int)Counter.RequestsOverRate] += (ulong)refused.OverAll;
        _state.Counters[(int)Counter.RequestsOverSourceRate] += (ulong)refused.OverSource;
        _state.Counters[(int)Counter.RequestsDenied] += (ulong)refused.Denied;
        if (refused.OverAll + refused.OverSource > 0)
        {
            Lose(LossCause.PeersNotServed, now, (ulong)(refused.OverAll + refused.OverSource));
        }
        Log.RequestsRefused(_log, refused.Sum, ReportPeriod.Seconds, refused.OverAll, refused.OverSource, refused.Denied);
    }
}

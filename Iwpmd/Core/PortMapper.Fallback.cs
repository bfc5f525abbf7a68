// SPDX-License-Identifier: MIT
using Iwpmd.State;
using Iwpmd.Wire;

namespace Iwpmd.Core;

/// <summary>Queries that nobody will answer, and why.</summary>
internal sealed partial class PortMapper
{
    /// <summary>What ICMP says of silence comes a little later than the default deadline, when the host does not answer ARP.</summary>
    private static readonly TimeSpan LateReason = TimeSpan.FromSeconds(2);

    private LogGate _fallbackGate = new(TimeSpan.FromSeconds(10), burst: 20);

    /// <summary>
    /// The host, or <paramref name="source"/> by ICMP, says that nobody takes what we sent to <paramref name="peer"/>, and
    /// quotes the handle. One that quotes too little to have it (0) is not believed: without the handle anyone can make it
    /// up who guesses a port number, and the deadline ends the query too.
    /// </summary>
    public void HandleUnreachable(in InetEndpoint peer, ulong handle, FallbackCause cause, in InetEndpoint source, TimeSpan now)
    {
        int slot = handle == 0 ? -1 : _conversations.FindQuery(handle);
        if (slot < 0 || !IsSameIp(peer, _conversations[slot].Peer))
        {
            return;
        }
        if (_conversations[slot].IsSettled == 0)
        {
            EndUnmapped(slot, cause, now, source);
            return;
        }
        ref readonly ConversationRow row = ref _conversations[slot];
        if (!HasFallenBack(row))
        {
            return;
        }
        _peers.Correct(row.Peer, cause);
        using var health = new RowChange<HealthRow>(ref _state.Health);
        if (health.Row.LastFallbackCause == FallbackCause.NoAnswer && ((InetEndpoint)row.Peer).SameAddress(health.Row.LastFallbackPeer))
        {
            health.Row.LastFallbackCause = cause;
        }
    }

    /// <summary>Differs: a query that nobody will answer is answered by us, unmapped: the connection goes on at once instead of after 10 s, our own port stays protected.</summary>
    private void EndUnmapped(int slot, FallbackCause cause, TimeSpan now, in InetEndpoint source = default)
    {
        ref readonly ConversationRow row = ref _conversations[slot];
        bool isRemembered = cause == FallbackCause.Remembered;
        FallbackCause reason = isRemembered ? _peers.LastCause(row.Peer) : cause;
        Count(cause switch
        {
            FallbackCause.NoAnswer or FallbackCause.AnswerDropped => Counter.QueriesUnanswered,
            FallbackCause.Remembered => Counter.QueriesRemembered,
            _ => Counter.QueriesUnreachable,
        });
        int kind = Array.IndexOf(FallbackWords.Reasons, reason);
        if (kind >= 0) // a host remembered by an earlier version has none
        {
            Count(Counter.FallbacksUnreachable + kind);
        }
        if (!isRemembered)
        {
            _peers.Missed(row.Peer, cause, now + _settings.UnreachableMemory, now);
        }
        using (var change = new RowChange<HealthRow>(ref _state.Health))
        {
            (change.Row.LastFallbackPeer, change.Row.LastFallbackAt) = (row.Peer, now.Ticks);
            (change.Row.LastFallbackCause, change.Row.RememberedCause) = (cause, isRemembered ? reason : FallbackCause.None);
        }
        if (IsMappingAlive(row))
        {
            LogFallback(row, cause, reason, source, now);
            AnswerQuery(slot, MappingError.None, row.Remote);
        }
        if (cause == FallbackCause.NoAnswer && IsMappingAlive(row))
        {
            using (var change = _conversations.Change(slot))
            {
                change.Row.FellBack = 1;
            }
            _conversations.Settle(slot, now + LateReason);
            return;
        }
        _conversations.Close(slot);
    }

    private void LogFallback(in ConversationRow row, FallbackCause cause, FallbackCause reason, in InetEndpoint source, TimeSpan now)
    {
        if (!_fallbackGate.TryPass(now, out string suppressed))
        {
            return;
        }
        string says = source.Family == IpFamily.None || IsSameIp(source, row.Peer) ? "" : $", says {source.AddressText()}";
        string waited = cause == FallbackCause.NoAnswer ? $" within {_settings.QueryDeadline.TotalMilliseconds} ms" : "";
        string memory = cause == FallbackCause.Remembered ? " (a moment before; it is not asked again yet)" : "";
        string remedy = FallbackWords.Remedy(reason);
        string text = $"{((InetEndpoint)row.Peer).AddressText()} {FallbackWords.Describe(reason)}{says}{waited}{memory}{(remedy.Length == 0 ? "" : ": ")}{remedy}";
        Log.QueryFellBack(_log, _mappings[row.Slot].Local, row.Remote, text, suppressed);
    }
}

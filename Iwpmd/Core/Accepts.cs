// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;
using Iwpmd.State;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;

namespace Iwpmd.Core;

/// <summary>
/// The accepting side: which Requests of peers are served, how each is answered, and what a flood of them writes to the
/// log: one line a period.
/// </summary>
internal sealed class Accepts(
    Mappings mappings, Conversations conversations, PeerTable peers, Admission admission, KernelReplies replies,
    Outbox outbox, Statistics statistics, TimerTable timers, ILogger log)
{
    /// <summary>A copy of a Request within this time of its last answer gets none.</summary>
    private static readonly TimeSpan CopyIgnored = TimeSpan.FromMilliseconds(250);

    /// <summary>Refusals are counted for the readers of the state so often, and logged so often.</summary>
    private static readonly TimeSpan CountPeriod = TimeSpan.FromSeconds(1), LogPeriod = TimeSpan.FromSeconds(10);

    private Refusals _unlogged;
    private TimeSpan _logAt;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryAdmit(in InetEndpoint source, TimeSpan now)
    {
        statistics.Count(Counter.PeerRequests);
        if (admission.TryAdmit(source, now))
        {
            return true;
        }
        ReportRefusalsSoon(now);
        return false;
    }

    public void OnRequest(in PeerArrival arrival, in PeerMessage message, TimeSpan now)
    {
        peers.Heard(arrival.From, now);
        // Differs: a Request for the wildcard discloses nothing
        int mapping = message.Accepting.IsWildcard ? -1 : mappings.FindByLocal(message.Accepting);
        if (mapping < 0)
        {
            Reject(arrival, message, now);
            return;
        }
        InetEndpoint mappedConnecting = message.IsLong ? message.MappedConnecting : message.Connecting;
        int slot = conversations.FindAccept(arrival.From, message.Handle, message.Connecting);
        if (slot >= 0 && IsCopy(conversations[slot], message.Accepting, mappedConnecting))
        {
            if (conversations[slot].LastSentAt <= now - CopyIgnored)
            {
                using (var change = conversations.Change(slot))
                {
                    change.Row.LastSentAt = now;
                }
                SendAccept(conversations[slot].Slot, arrival, message);
                return;
            }
            statistics.Count(Counter.RequestCopies);
            return;
        }
        if (slot >= 0)
        {
            conversations.Close(slot); // the peer reused its handle
        }
        slot = OpenAccept(mapping, arrival, message, mappedConnecting, now);
        if (conversations[slot].RemoteInfo != RemoteInfoCredit.None)
        {
            SendRemoteInfo(slot, now);
        }
        else
        {
            statistics.Count(Counter.RemoteInfosDeferred);
        }
        SendAccept(mapping, arrival, message);
    }

    /// <summary>Null, or why it is dropped.</summary>
    public string? OnAck(in PeerArrival arrival, in PeerMessage message, TimeSpan now)
    {
        statistics.Count(Counter.PeerAcks);
        int slot = conversations.FindAccept(arrival.From, message.Handle, message.Connecting);
        if (slot >= 0 && !mappings.IsAlive(conversations[slot]))
        {
            // The mapping was removed while the Ack was under way. No peer can cause that, so this is no spoofed
            // Request: the credit is returned.
            admission.GiveBack(conversations[slot].RemoteInfo, conversations[slot].Slot, arrival.From);
            conversations.Close(slot);
            return null;
        }
        if (slot < 0)
        {
            return "no Accept waits for this Ack";
        }
        ref readonly ConversationRow row = ref conversations[slot];
        if (message.Accepting.Port != mappings[row.Slot].MappedPort)
        {
            conversations.Close(slot); // a guess at the mapped port: there is no second one
            return "the Ack does not name the mapped port";
        }
        // a port that the Request named validates nothing
        if (!row.IsComplete && row.Asked.Port != message.Accepting.Port)
        {
            Confirm(slot, arrival.From, now);
        }
        conversations.Complete(slot, row.Deadline);
        return null;
    }

    /// <summary>Counts a message from an interface from which none is accepted.</summary>
    public void Deny(TimeSpan now)
    {
        admission.Deny();
        ReportRefusalsSoon(now);
    }

    /// <summary>Counts the refusals since the last call, and logs those of ten seconds.</summary>
    public void ReportRefusals(TimeSpan now)
    {
        timers.Stop(Timer.RefusalReport);
        Refusals refused = admission.TakeRefusals();
        statistics.Count(Counter.RequestsOverRate, refused.OverAll);
        statistics.Count(Counter.RequestsOverSourceRate, refused.OverSource);
        statistics.Count(Counter.RequestsDenied, refused.Denied);
        if (refused.OverAll + refused.OverSource > 0)
        {
            statistics.Lose(LossCause.PeersNotServed, now, refused.OverAll + refused.OverSource);
        }
        _unlogged += refused;
        if (now < _logAt)
        {
            timers.Set(Timer.RefusalReport, now + CountPeriod);
            return;
        }
        Log.RequestsRefused(
            log, _unlogged.Sum, LogPeriod.Seconds, _unlogged.OverAll, _unlogged.OverSource, _unlogged.Denied);
        _unlogged = default;
    }

    private void ReportRefusalsSoon(TimeSpan now)
    {
        if (!timers.IsSet(Timer.RefusalReport))
        {
            _logAt = now + LogPeriod;
            timers.Set(Timer.RefusalReport, now + CountPeriod);
        }
    }

    private void Reject(in PeerArrival arrival, in PeerMessage message, TimeSpan now)
    {
        if (admission.IsRejectedAlready(arrival.From, message, CopyIgnored, now))
        {
            statistics.Count(Counter.RequestCopies);
            return;
        }
        statistics.Count(Counter.RejectsSent);
        outbox.ToPeer(PeerSocket.Answering, arrival.From, arrival.To).SetAnswer(PeerMessageType.Reject, message);
    }

    private void Confirm(int slot, in InetEndpoint peer, TimeSpan now)
    {
        admission.MarkValidated(peer, now);
        switch (conversations[slot].RemoteInfo)
        {
            case RemoteInfoCredit.OfMapping:
                admission.GiveBack(RemoteInfoCredit.OfMapping, conversations[slot].Slot, peer);
                break;
            case RemoteInfoCredit.None:
                SendRemoteInfo(slot, now);
                break;
        }
    }

    private int OpenAccept(
        int mapping, in PeerArrival arrival, in PeerMessage message, in InetEndpoint mappedConnecting, TimeSpan now)
    {
        TimeSpan deadline = now + Conversations.Lifetime;
        ref readonly MappingRow mapped = ref mappings[mapping];
        int slot = conversations.Take(ConversationRole.Accepting);
        using (var change = conversations.Change(slot))
        {
            ref ConversationRow row = ref change.Row;
            row.Role = ConversationRole.Accepting;
            row.Handle = message.Handle;
            row.Peer = arrival.From;
            row.Remote = message.Connecting;
            row.Asked = message.Accepting;
            row.Mapped = mappedConnecting;
            row.Slot = mapping;
            (row.Generation, row.Client) = (mapped.Generation, mapped.Client);
            row.RemoteInfo = admission.CreditRemoteInfo(mapping, arrival.From, now);
            row.LastSentAt = now;
            row.Deadline = deadline;
        }
        conversations.Open(slot, deadline);
        return slot;
    }

    private bool IsCopy(in ConversationRow row, in InetEndpoint asked, in InetEndpoint mappedConnecting) =>
        mappings.IsAlive(row) && row.Asked == asked && row.Mapped == mappedConnecting;

    /// <summary>
    /// Differs: sent only in answer to a Request or a copy of one, never again on a timer: that would be aimed at
    /// whoever a spoofed Request names.
    /// </summary>
    private void SendAccept(int mapping, in PeerArrival arrival, in PeerMessage message)
    {
        statistics.Count(Counter.AcceptsSent);
        ref PeerMessage accept = ref outbox.ToPeer(PeerSocket.Answering, arrival.From, arrival.To);
        accept.SetAnswer(PeerMessageType.Accept, message);
        accept.Accepting = message.Accepting.WithPort(mappings[mapping].MappedPort);
    }

    /// <summary>
    /// Differs: sent before the Accept, so that the kernel knows the peer before its connection request can arrive;
    /// after the Ack while many peers have not sent theirs.
    /// </summary>
    private void SendRemoteInfo(int slot, TimeSpan now)
    {
        ref readonly ConversationRow row = ref conversations[slot];
        ref readonly MappingRow mapping = ref mappings[row.Slot];
        if (!admission.TryTakeRemoteInfo(row.Slot, now))
        {
            statistics.Count(Counter.RemoteInfosDropped);
            statistics.Lose(LossCause.PeersNotTold, now);
            return;
        }
        ref KernelReply reply = ref replies.Send(KernelReplyKind.RemoteInfo, mapping.Client, TimeSpan.MaxValue);
        reply.Local = mapping.Local;
        reply.Remote = row.Remote;
        reply.MappedLocal = mapping.Mapped;
        reply.MappedRemote = row.Mapped;
    }
}

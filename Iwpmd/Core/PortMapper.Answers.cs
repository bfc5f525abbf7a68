// SPDX-License-Identifier: MIT
using Iwpmd.State;
using Iwpmd.Wire;

namespace Iwpmd.Core;

/// <summary>What peers answer to our queries.</summary>
internal sealed partial class PortMapper
{
    private LogGate _answerDroppedGate = new(TimeSpan.FromSeconds(10), burst: 5);

    private void OnAccept(in PeerArrival arrival, in PeerMessage message, TimeSpan now)
    {
        Count(Counter.PeerAccepts);
        int slot = message.Accepting.Port == 0 ? -1 : FindAnswered(arrival, message, now);
        if (slot < 0)
        {
            Drop(arrival.From, "no query waits for this Accept", now);
            return;
        }
        ref readonly ConversationRow row = ref _conversations[slot];
        Admission.Prove(row.Peer, now);
        if (row.IsSettled == 0)
        {
            Count(Counter.QueriesAccepted);
            InetEndpoint mapped = ((InetEndpoint)row.Remote).WithPort(message.Accepting.Port);
            _peers.Answered(row.Peer, PeerMessageType.Accept, now - new TimeSpan(row.LastSentAt), now);
            AnswerQuery(slot, MappingError.None, mapped);
            _conversations.Settle(slot, now + Conversations.Lifetime);
        }
        // Kept: also for every later copy, and by the socket that the Accept came to. Differs: and from the address that it
        // came to, since by that the other side knows it.
        PeerSocket via = arrival.To.Port == Port ? PeerSocket.Answering : PeerSocket.Asking;
        Outbox.ToPeer(via, arrival.From, arrival.To, message.AsAck());
    }

    private void OnReject(in PeerArrival arrival, in PeerMessage message, TimeSpan now)
    {
        Count(Counter.PeerRejects);
        int slot = FindAnswered(arrival, message, now);
        if (slot < 0 || _conversations[slot].IsSettled != 0)
        {
            Drop(arrival.From, "no query waits for this Reject", now);
            return;
        }
        Count(Counter.QueriesRejected);
        ref readonly ConversationRow row = ref _conversations[slot];
        Admission.Prove(row.Peer, now);
        _peers.Answered(row.Peer, PeerMessageType.Reject, now - new TimeSpan(row.LastSentAt), now);
        AnswerQuery(slot, MappingError.RejectedByPeer, row.Remote);
        FallBack(row.Slot);
        _conversations.Close(slot);
    }

    /// <summary>
    /// Our query that this Accept or Reject answers, or -1. Differs: it must name both addresses of the query. A host
    /// with several addresses may answer from another one than was asked, as rdma-core's daemon does where routing
    /// says so: what proves the answer is the handle, 64 random bits that only the asked host was told. For the same
    /// reason the asked address is the one that is proven by it, not the source, which can be a lie.
    /// </summary>
    private int FindAnswered(in PeerArrival arrival, in PeerMessage message, TimeSpan now)
    {
        int slot = _conversations.FindQuery(message.Handle);
        if (slot < 0 || !IsMappingAlive(_conversations[slot]) || HasFallenBack(_conversations[slot]))
        {
            return -1;
        }
        ref readonly ConversationRow row = ref _conversations[slot];
        InetEndpoint local = _mappings[row.Slot].Local;
        string? fault = message.Connecting.Port != local.Port || !IsSameIp(message.Connecting, local)
            ? "it names another connecting address"
            : !IsSameIp(message.Accepting, row.Remote) ? "it names another accepting address"
            : _settings.AnswersFrom == AnswerSource.Asked && !IsSameIp(arrival.From, row.Peer)
                ? "answers_from=asked takes none from elsewhere: set it to any"
            : null;
        if (fault is not null && row.IsSettled == 0)
        {
            DropAnswer(slot, arrival.From, message.Type, fault, now);
        }
        return fault is null ? slot : -1;
    }

    /// <summary>Says it once a query, which remembers from where the answer came.</summary>
    private void DropAnswer(int slot, in InetEndpoint source, PeerMessageType type, string fault, TimeSpan now)
    {
        ref readonly ConversationRow row = ref _conversations[slot];
        if (row.Asked.Family != IpFamily.None)
        {
            return;
        }
        using (var change = _conversations.Change(slot))
        {
            change.Row.Asked = source;
        }
        if (_answerDroppedGate.TryPass(now, out string suppressed))
        {
            Log.AnswerDropped(_log, type, source, row.Peer, fault, suppressed);
        }
    }

    /// <summary>Its deadline passed without an answer; it is kept for the reason only.</summary>
    private static bool HasFallenBack(in ConversationRow row) => row.IsSettled != 0 && row.FellBack != 0;

    /// <summary>Whatever the scopes: those of a message are only guessed, and its handle is proof enough.</summary>
    private static bool IsSameIp(in InetEndpoint one, in InetEndpoint other) => one.WithScope(other.Scope).SameAddress(other);
}

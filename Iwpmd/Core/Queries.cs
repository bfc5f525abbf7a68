// SPDX-License-Identifier: MIT
using Iwpmd.State;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;
using static Iwpmd.Core.Times;

namespace Iwpmd.Core;

/// <summary>
/// The connecting side: the kernel's queries, our Requests to the peers' port mappers, their answers, and the fallback
/// of a query without an answer.
/// </summary>
internal sealed class Queries
{
    /// <summary>The answer to a query is decided this much before it must have been sent.</summary>
    private static readonly TimeSpan AnswerMargin = TimeSpan.FromMilliseconds(100);

    /// <summary>
    /// When the host does not answer ARP the ICMP error comes a little later than the default deadline.
    /// </summary>
    private static readonly TimeSpan LateReason = TimeSpan.FromSeconds(2);

    private readonly StateLayout _state;
    private readonly Mappings _mappings;
    private readonly Conversations _conversations;
    private readonly PeerTable _peers;
    private readonly Admission _admission;
    private readonly KernelReplies _replies;
    private readonly Outbox _outbox;
    private readonly Statistics _statistics;
    private readonly Func<ulong> _random;
    private readonly ILogger _log;

    public Queries(
        StateLayout state, Mappings mappings, Conversations conversations, PeerTable peers, Admission admission,
        KernelReplies replies, Outbox outbox, Statistics statistics, Func<ulong> random, ILogger log)
    {
        (_state, _mappings, _conversations, _peers, _admission) = (state, mappings, conversations, peers, admission);
        (_replies, _outbox, _statistics, _random, _log) = (replies, outbox, statistics, random, log);
    }

    public required PortMapperSettings Settings { get; set; }

    public void OnQuery(in KernelRequest request, TimeSpan answerBy, TimeSpan now)
    {
        _statistics.Count(Counter.Queries);
        int slot = _mappings.Reference(request.Local, now);
        if (_replies.IsTooOld(request.Operation, answerBy, now))
        {
            return;
        }
        string? impossible = request.Local.IsWildcard ? "local address is the wildcard"
            // Differs: nothing could answer such a query
            : request.Local.Family != request.Remote.Family ? "address families differ"
            : slot < 0 && _mappings.FindByLocal(request.Local) >= 0 ? "a wildcard mapping has this port"
            : null;
        if (impossible is not null)
        {
            _replies.Refuse(request, MappingError.CannotCreate, answerBy, impossible);
            return;
        }
        if (slot < 0 || _mappings[slot].State == MappingState.Fallback)
        {
            slot = _mappings.Map(slot, request, now);
        }
        else if (_mappings[slot].Purpose == MappingPurpose.Listening)
        {
            _mappings.PassToConnection(slot);
        }
        if (slot < 0)
        {
            _replies.Refuse(request, MappingError.CannotCreate, answerBy, "no port could be claimed");
            return;
        }
        Ask(slot, request, answerBy, now);
    }

    /// <summary>Asks the remote host's port mapper which port the remote endpoint is mapped to.</summary>
    private void Ask(int mapping, in KernelRequest request, TimeSpan answerBy, TimeSpan now)
    {
        InetEndpoint peer = request.Remote.WithPort(PortMapper.Port);
        if (peer.IsLinkLocal && peer.Scope == 0)
        {
            peer = peer.WithScope(request.Local.Scope);
        }
        TimeSpan deadline = Earlier(now + Settings.QueryDeadline, answerBy - AnswerMargin);
        int slot = _conversations.Take(ConversationRole.Querying);
        if (slot < 0)
        {
            _statistics.Count(Counter.ConversationsRefused);
            _statistics.Lose(LossCause.TooManyQueries, now);
            _mappings.FallBack(mapping);
            _replies.Refuse(request, MappingError.CannotCreate, answerBy, "too many queries are waiting for peers");
            return;
        }
        using (var change = _conversations.Change(slot))
        {
            ref ConversationRow row = ref change.Row;
            row.Role = ConversationRole.Querying;
            row.Handle = NewHandle();
            row.Peer = peer;
            row.Remote = request.Remote;
            row.Slot = mapping;
            row.Generation = _mappings[mapping].Generation;
            row.Client = request.Client;
            row.KernelSequence = request.Sequence;
            row.AnswerBy = answerBy;
            row.Deadline = deadline;
            row.LastSentAt = now;
        }
        _conversations.Open(slot, NextSend(deadline, now));
        if (_peers.IsUnreachable(peer, now))
        {
            EndUnmapped(slot, FallbackCause.Remembered, now);
        }
        else
        {
            _statistics.Count(Counter.RequestsSent);
            SendRequest(slot);
        }
    }

    /// <summary>Null, or why it is dropped.</summary>
    public string? OnAccept(in PeerArrival arrival, in PeerMessage message, TimeSpan now)
    {
        _statistics.Count(Counter.PeerAccepts);
        int slot = message.Accepting.Port == 0 ? -1 : FindAnswered(arrival, message);
        if (slot < 0)
        {
            return "no query waits for this Accept";
        }
        ref readonly ConversationRow row = ref _conversations[slot];
        _admission.MarkValidated(row.Peer, now);
        if (!row.IsComplete)
        {
            _statistics.Count(Counter.QueriesAccepted);
            InetEndpoint mapped = row.Remote.WithPort(message.Accepting.Port);
            _peers.Answered(row.Peer, PeerMessageType.Accept, StateTime.Since(row.LastSentAt, now), now);
            AnswerQuery(slot, MappingError.None, mapped);
            _conversations.Complete(slot, now + Conversations.Lifetime);
        }
        // Kept: also for every later copy, and by the socket that the Accept came to. Differs: and from the address
        // that it came to, since by that the other side knows it.
        PeerSocket via = arrival.To.Port == PortMapper.Port ? PeerSocket.Answering : PeerSocket.Asking;
        _outbox.ToPeer(via, arrival.From, arrival.To).SetAnswer(PeerMessageType.Ack, message);
        return null;
    }

    /// <summary>Null, or why it is dropped.</summary>
    public string? OnReject(in PeerArrival arrival, in PeerMessage message, TimeSpan now)
    {
        _statistics.Count(Counter.PeerRejects);
        int slot = FindAnswered(arrival, message);
        if (slot < 0 || _conversations[slot].IsComplete)
        {
            return "no query waits for this Reject";
        }
        _statistics.Count(Counter.QueriesRejected);
        ref readonly ConversationRow row = ref _conversations[slot];
        _admission.MarkValidated(row.Peer, now);
        _peers.Answered(row.Peer, PeerMessageType.Reject, StateTime.Since(row.LastSentAt, now), now);
        AnswerQuery(slot, MappingError.RejectedByPeer, row.Remote);
        _mappings.FallBack(row.Slot);
        _conversations.Close(slot);
        return null;
    }

    /// <summary>
    /// Our query that this Accept or Reject answers, or -1. Differs: it must name both addresses of the query. A host
    /// with several addresses may answer from another one than was asked, as rdma-core's daemon does where routing
    /// says so: what authenticates the answer is the handle, 64 random bits that only the asked host received. For the
    /// same reason the asked address is validated by it, not the source, which can be spoofed.
    /// </summary>
    private int FindAnswered(in PeerArrival arrival, in PeerMessage message)
    {
        int slot = _conversations.FindQuery(message.Handle);
        if (slot < 0 || !_mappings.IsAlive(_conversations[slot]) || HasFallenBack(_conversations[slot]))
        {
            return -1;
        }
        ref readonly ConversationRow row = ref _conversations[slot];
        InetEndpoint local = _mappings[row.Slot].Local;
        string? fault = message.Connecting.Port != local.Port || !message.Connecting.SameIp(local)
            ? "it names another connecting address"
            : !message.Accepting.SameIp(row.Remote)
                ? "it names another accepting address: update the port mapper there"
            : Settings.AnswersFrom == AnswerSource.Asked && !arrival.From.SameIp(row.Peer)
                ? "answers_from=asked takes none from elsewhere: set it to any"
            : null;
        if (fault is not null && !row.IsComplete)
        {
            DropAnswer(slot, arrival.From, message.Type, fault);
        }
        return fault is null ? slot : -1;
    }

    /// <summary>Logged once per query, whose row keeps the source of the answer.</summary>
    private void DropAnswer(int slot, in InetEndpoint source, PeerMessageType type, string fault)
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
        Log.AnswerDropped(_log, type, source, row.Peer, fault);
    }

    public void OnDue(int slot, TimeSpan now)
    {
        ref readonly ConversationRow row = ref _conversations[slot];
        if (row.IsComplete || !_mappings.IsAlive(row))
        {
            if (!row.IsComplete)
            {
                _statistics.Lose(LossCause.Undelivered, now); // its REMOVE came first: the kernel has given it up
            }
            _conversations.Close(slot);
        }
        else if (now >= row.Deadline)
        {
            EndUnmapped(
                slot, row.Asked.Family == IpFamily.None ? FallbackCause.NoAnswer : FallbackCause.AnswerDropped, now);
        }
        else if (_peers.IsUnreachable(row.Peer, now))
        {
            EndUnmapped(slot, FallbackCause.Remembered, now);
        }
        else
        {
            _statistics.Count(Counter.RequestsResent);
            using (var change = _conversations.Change(slot))
            {
                change.Row.LastSentAt = now;
            }
            SendRequest(slot);
            _conversations.Reschedule(slot, NextSend(row.Deadline, now));
        }
    }

    /// <summary>
    /// An ICMP error of the host, or of <paramref name="source"/>, for a Request to <paramref name="peer"/>, with the
    /// handle that it quotes. One that quotes too little to have it (0) is ignored: without the handle anyone who
    /// guesses a port number can forge it, and the deadline ends the query too.
    /// </summary>
    public void HandleUnreachable(
        in InetEndpoint peer, ulong handle, FallbackCause cause, in InetEndpoint source, TimeSpan now)
    {
        int slot = _conversations.FindQuery(handle); // none has 0
        if (slot < 0 || !peer.SameIp(_conversations[slot].Peer))
        {
            return;
        }
        ref readonly ConversationRow row = ref _conversations[slot];
        if (!row.IsComplete)
        {
            EndUnmapped(slot, cause, now, source);
        }
        else if (HasFallenBack(row))
        {
            CorrectCause(row.Peer, cause);
        }
    }

    private void CorrectCause(in InetEndpoint peer, FallbackCause cause)
    {
        _peers.Correct(peer, cause);
        using var health = new RowChange<HealthRow>(ref _state.Health);
        if (health.Row.LastFallbackCause == FallbackCause.NoAnswer && peer.SameAddress(health.Row.LastFallbackPeer))
        {
            health.Row.LastFallbackCause = cause;
        }
    }

    /// <summary>
    /// Differs: a query that the peer does not answer is answered by us, unmapped: the connection continues at once
    /// instead of after 10 s, and its local port stays protected.
    /// </summary>
    private void EndUnmapped(int slot, FallbackCause cause, TimeSpan now, in InetEndpoint source = default)
    {
        ref readonly ConversationRow row = ref _conversations[slot];
        bool isRemembered = cause == FallbackCause.Remembered;
        FallbackCause reason = isRemembered ? _peers.LastCause(row.Peer) : cause;
        _statistics.Count(cause switch
        {
            FallbackCause.NoAnswer or FallbackCause.AnswerDropped => Counter.QueriesUnanswered,
            FallbackCause.Remembered => Counter.QueriesRemembered,
            _ => Counter.QueriesUnreachable,
        });
        int kind = Array.IndexOf(FallbackWords.Reasons, reason);
        if (kind >= 0) // a host remembered by an earlier version has none
        {
            _statistics.Count(Counter.FallbacksUnreachable + kind);
        }
        if (!isRemembered)
        {
            _peers.Missed(row.Peer, cause, now + Settings.UnreachableMemory, now);
        }
        using (var change = new RowChange<HealthRow>(ref _state.Health))
        {
            (change.Row.LastFallbackPeer, change.Row.LastFallbackAt) = (row.Peer, now);
            (change.Row.LastFallbackCause, change.Row.RememberedCause) =
                (cause, isRemembered ? reason : FallbackCause.None);
        }
        if (_mappings.IsAlive(row))
        {
            Log.QueryFellBack(
                _log, _mappings[row.Slot].Local, row.Remote,
                new FallbackReport(row.Peer, cause, reason, source, Settings.QueryDeadline));
            AnswerQuery(slot, MappingError.None, row.Remote);
        }
        if (cause == FallbackCause.NoAnswer && _mappings.IsAlive(row))
        {
            using (var change = _conversations.Change(slot))
            {
                change.Row.FellBack = 1;
            }
            _conversations.Complete(slot, now + LateReason);
            return;
        }
        _conversations.Close(slot);
    }

    private TimeSpan NextSend(TimeSpan deadline, TimeSpan now) => Earlier(now + Settings.QueryRetry, deadline);

    private void SendRequest(int slot)
    {
        ref readonly ConversationRow row = ref _conversations[slot];
        ref readonly MappingRow mapping = ref _mappings[row.Slot];
        ref PeerMessage request = ref _outbox.ToPeer(PeerSocket.Asking, row.Peer, default);
        request.Type = PeerMessageType.Request;
        request.Handle = row.Handle;
        request.Connecting = mapping.Local;
        request.Accepting = row.Remote;
        request.MappedConnecting = mapping.Mapped;
    }

    private void AnswerQuery(int slot, MappingError error, InetEndpoint mappedRemote)
    {
        ref readonly ConversationRow row = ref _conversations[slot];
        ref readonly MappingRow mapping = ref _mappings[row.Slot];
        ref KernelReply reply = ref _replies.Send(KernelReplyKind.QueryMapping, row.Client, row.AnswerBy);
        reply.RequestSequence = row.KernelSequence;
        reply.Local = mapping.Local;
        reply.Remote = row.Remote;
        reply.MappedLocal = mapping.Mapped;
        reply.MappedRemote = mappedRemote;
        reply.Error = error;
    }

    /// <summary>Differs: 64 random bits, not an address in memory that can be guessed and is reused.</summary>
    private ulong NewHandle()
    {
        ulong handle;
        do
        {
            handle = _random();
        }
        while (handle == 0 || _conversations.FindQuery(handle) >= 0);
        return handle;
    }

    /// <summary>Its deadline passed without an answer; it is kept for a late ICMP error only.</summary>
    private static bool HasFallenBack(in ConversationRow row) => row.IsComplete && row.FellBack != 0;
}

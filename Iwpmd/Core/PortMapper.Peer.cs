// SPDX-License-Identifier: MIT
using Iwpmd.State;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;
using static Iwpmd.Core.Times;

namespace Iwpmd.Core;

/// <summary>The messages of peers, and our queries to them.</summary>
internal sealed partial class PortMapper
{
    /// <summary>A copy of a Request within this time of its last answer gets none.</summary>
    private static readonly TimeSpan CopyIgnored = TimeSpan.FromMilliseconds(250);

    /// <summary>The answer to a query is decided this much before it must have been sent.</summary>
    private static readonly TimeSpan AnswerMargin = TimeSpan.FromMilliseconds(100);

    private LogGate _saidGate = new(TimeSpan.FromSeconds(10), burst: 5000);

    public void Handle(in PeerArrival arrival, in PeerMessage received, TimeSpan now)
    {
        if (received.Type == PeerMessageType.Request && !TryAdmit(arrival.From, now))
        {
            return;
        }
        PeerMessage message = WithScopes(arrival, received);
        if (_log.IsEnabled(LogLevel.Debug) && _saidGate.TryPass(now, out string suppressed))
        {
            Log.PeerSaid(_log, message.Type, arrival.From, message.Connecting, message.Accepting, message.Handle, suppressed);
        }
        if (message.Connecting.Family != arrival.From.Family) // Differs: nobody sends such a message but to mislead
        {
            Drop(arrival.From, "ip version is not that of its packet", now);
            return;
        }
        switch (message.Type)
        {
            case PeerMessageType.Request: OnRequest(arrival, message, now); break;
            case PeerMessageType.Accept: OnAccept(arrival, message, now); break;
            case PeerMessageType.Ack: OnAck(arrival, message, now); break;
            case PeerMessageType.Reject: OnReject(arrival, message, now); break;
        }
    }

    /// <summary>Asks the remote host's port mapper which port the remote endpoint is mapped to.</summary>
    private void Ask(int mapping, in KernelRequest request, TimeSpan answerBy, TimeSpan now)
    {
        InetEndpoint peer = request.Remote.WithPort(Port);
        if (peer.IsLinkLocal && peer.Scope == 0)
        {
            peer = peer.WithScope(request.Local.Scope);
        }
        TimeSpan deadline = Earlier(now + _settings.QueryDeadline, answerBy - AnswerMargin);
        int slot = _conversations.Open(
            new ConversationRow
            {
                Handle = NewHandle(),
                Role = ConversationRole.Querying,
                Peer = peer,
                Remote = request.Remote,
                Slot = mapping,
                Generation = _mappings[mapping].Generation,
                Client = request.Client,
                KernelSequence = request.Sequence,
                StartedAt = now.Ticks,
                AnswerBy = answerBy.Ticks,
                Deadline = deadline.Ticks,
            },
            deadline);
        if (slot < 0)
        {
            Count(Counter.ConversationsRefused);
            Lose(LossCause.TooManyQueries, now);
            FallBack(mapping);
            Refuse(request, MappingError.CannotCreate, answerBy, "too many queries are waiting for peers");
        }
        else if (_peers.IsUnreachable(peer, now))
        {
            EndUnmapped(slot, FallbackCause.Remembered, now);
        }
        else
        {
            Count(Counter.RequestsSent);
            SendRequest(slot, now);
        }
    }

    private void OnConversationDue(int slot, TimeSpan now)
    {
        ref readonly ConversationRow row = ref _conversations[slot];
        if (row.Role != ConversationRole.Querying || row.IsSettled != 0 || !IsMappingAlive(row))
        {
            _conversations.Close(slot);
        }
        else if (now.Ticks >= row.Deadline)
        {
            EndUnmapped(slot, row.Asked.Family == IpFamily.None ? FallbackCause.NoAnswer : FallbackCause.AnswerDropped, now);
        }
        else if (_peers.IsUnreachable(row.Peer, now))
        {
            EndUnmapped(slot, FallbackCause.Remembered, now);
        }
        else
        {
            Count(Counter.RequestsResent);
            SendRequest(slot, now);
        }
    }

    private void SendRequest(int slot, TimeSpan now)
    {
        using (var change = _conversations.Change(slot))
        {
            change.Row.LastSentAt = now.Ticks;
        }
        ref readonly ConversationRow row = ref _conversations[slot];
        ref readonly MappingRow mapping = ref _mappings[row.Slot];
        Outbox.ToPeer(PeerSocket.Asking, row.Peer, default, new PeerMessage(PeerMessageType.Request, row.Handle, mapping.Local, row.Remote, mapping.Mapped));
        _conversations.Reschedule(slot, Earlier(now + _settings.QueryRetry, new TimeSpan(row.Deadline)));
    }

    private void AnswerQuery(int slot, MappingError error, InetEndpoint mappedRemote)
    {
        ref readonly ConversationRow row = ref _conversations[slot];
        ref readonly MappingRow mapping = ref _mappings[row.Slot];
        ToKernel(
            new KernelReply
            {
                Kind = KernelReplyKind.QueryMapping,
                Client = row.Client,
                RequestSequence = row.KernelSequence,
                Local = mapping.Local,
                Remote = row.Remote,
                MappedLocal = mapping.Mapped,
                MappedRemote = mappedRemote,
                Error = error,
            },
            new TimeSpan(row.AnswerBy));
    }

    /// <summary>A mapping that is gone took its conversations with it, without a word.</summary>
    private bool IsMappingAlive(in ConversationRow row) => _mappings[row.Slot].IsUsed && _mappings[row.Slot].Generation == row.Generation;

    /// <summary>Differs: 64 random bits, not an address of ours that can be guessed and comes again.</summary>
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

    /// <summary>Link-local addresses in a message mean those of the interface it came in by, whatever its source.</summary>
    private static PeerMessage WithScopes(in PeerArrival arrival, in PeerMessage message) => message with
    {
        Connecting = WithScope(message.Connecting, arrival.Interface),
        Accepting = WithScope(message.Accepting, arrival.Interface),
        MappedConnecting = WithScope(message.MappedConnecting, arrival.Interface),
    };

    private static InetEndpoint WithScope(in InetEndpoint endpoint, uint scope) => endpoint.IsLinkLocal ? endpoint.WithScope(scope) : endpoint;
}

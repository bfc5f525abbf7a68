using Iwpmd.Wire;

namespace Iwpmd.Core;

/// <summary>The accepting side: what peers ask of us.</summary>
internal sealed partial class PortMapper
{
    private void OnRequest(in PeerArrival arrival, in PeerMessage message, TimeSpan now)
    {
        Count(Counter.PeerRequests);
        _peers.Heard(arrival.From, now);
        int mapping = message.Accepting.IsWildcard ? -1 : _mappings.FindByLocal(message.Accepting); // Differs: an asked wildcard discloses nothing
        if (mapping < 0)
        {
            Count(Counter.RejectsSent);
            Outbox.ToPeer(PeerSocket.Answering, arrival.From, arrival.To, message.AsReject());
            return;
        }
        InetEndpoint mappedConnecting = message.IsLong ? message.MappedConnecting : message.Connecting;
        int slot = _conversations.FindAccept(arrival.From, message.Handle, message.Connecting);
        if (slot >= 0 && IsCopy(_conversations[slot], message.Accepting, mappedConnecting))
        {
            if (now.Ticks - _conversations[slot].LastSentAt >= CopyIgnored.Ticks)
            {
                SendAccept(slot, arrival, message, now);
            }
            return;
        }
        if (slot >= 0)
        {
            _conversations.Close(slot); // the peer used its handle again
        }
        slot = OpenAccept(mapping, arrival, message, mappedConnecting, now);
        TellRemoteInfo(mapping, message.Connecting, mappedConnecting);
        SendAccept(slot, arrival, message, now);
    }

    private void OnAck(in PeerArrival arrival, in PeerMessage message, TimeSpan now)
    {
        Count(Counter.PeerAcks);
        int slot = _conversations.FindAccept(arrival.From, message.Handle, message.Connecting);
        if (slot >= 0 && !IsMappingAlive(_conversations[slot]))
        {
            _conversations.Close(slot); // the mapping went while the Ack was on its way
            return;
        }
        if (slot < 0 || message.Accepting.Port != _mappings[_conversations[slot].Slot].MappedPort)
        {
            Drop(arrival.From, "no Accept waits for this Ack");
            return;
        }
        _conversations.Settle(slot, Earlier(new TimeSpan(_conversations[slot].Deadline), now + Conversations.Lifetime));
    }

    private int OpenAccept(int mapping, in PeerArrival arrival, in PeerMessage message, in InetEndpoint mappedConnecting, TimeSpan now)
    {
        TimeSpan deadline = now + Conversations.Lifetime;
        return _conversations.Open(
            new ConversationRow
            {
                Handle = message.Handle,
                Role = ConversationRole.Accepting,
                Peer = arrival.From,
                Remote = message.Connecting,
                Asked = message.Accepting,
                Mapped = mappedConnecting,
                Slot = mapping,
                Generation = _mappings[mapping].Generation,
                Client = _mappings[mapping].Client,
                StartedAt = now.Ticks,
                Deadline = deadline.Ticks,
            },
            deadline);
    }

    private bool IsCopy(in ConversationRow row, in InetEndpoint asked, in InetEndpoint mappedConnecting) =>
        IsMappingAlive(row) && (InetEndpoint)row.Asked == asked && (InetEndpoint)row.Mapped == mappedConnecting;

    /// <summary>Differs: only ever in answer to a Request, also to a copy of one; never again unasked, which would be aimed at whoever a spoofed Request names.</summary>
    private void SendAccept(int slot, in PeerArrival arrival, in PeerMessage message, TimeSpan now)
    {
        Count(Counter.AcceptsSent);
        using (var change = _conversations.Change(slot))
        {
            change.Row.LastSentAt = now.Ticks;
        }
        ushort mappedPort = _mappings[_conversations[slot].Slot].MappedPort;
        Outbox.ToPeer(PeerSocket.Answering, arrival.From, arrival.To, message.AsAccept(mappedPort));
    }

    /// <summary>Differs: goes before the Accept, so that the kernel knows the peer before its connection request can come.</summary>
    private void TellRemoteInfo(int mapping, in InetEndpoint remote, in InetEndpoint mappedRemote)
    {
        ref readonly MappingRow row = ref _mappings[mapping];
        ToKernel(
            new KernelReply
            {
                Kind = KernelReplyKind.RemoteInfo,
                Client = row.Client,
                Local = row.Local,
                Remote = remote,
                MappedLocal = row.Mapped,
                MappedRemote = mappedRemote,
            },
            TimeSpan.MaxValue);
    }
}

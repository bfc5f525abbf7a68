// SPDX-License-Identifier: MIT
using Iwpmd.State;
using Iwpmd.Wire;
using static Iwpmd.Core.Times;

namespace Iwpmd.Core;

/// <summary>The accepting side: what peers ask of us.</summary>
internal sealed partial class PortMapper
{
    private void OnRequest(in PeerArrival arrival, in PeerMessage message, TimeSpan now)
    {
        _peers.Heard(arrival.From, now);
        int mapping = message.Accepting.IsWildcard ? -1 : _mappings.FindByLocal(message.Accepting); // Differs: an asked wildcard discloses nothing
        if (mapping < 0)
        {
            Reject(arrival, message, now);
            return;
        }
        InetEndpoint mappedConnecting = message.IsLong ? message.MappedConnecting : message.Connecting;
        int slot = _conversations.FindAccept(arrival.From, message.Handle, message.Connecting);
        if (slot >= 0 && IsCopy(_conversations[slot], message.Accepting, mappedConnecting))
        {
            if (now.Ticks - _conversations[slot].LastSentAt >= CopyIgnored.Ticks)
            {
                SendAccept(slot, arrival, message, now);
                return;
            }
            Count(Counter.RequestCopies);
            return;
        }
        if (slot >= 0)
        {
            _conversations.Close(slot); // the peer used its handle again
        }
        slot = OpenAccept(mapping, arrival, message, mappedConnecting, now);
        if (_conversations[slot].RemoteInfo != RemoteInfoCredit.None)
        {
            TellRemoteInfo(slot, now);
        }
        else
        {
            Count(Counter.RemoteInfosDeferred);
        }
        SendAccept(slot, arrival, message, now);
    }

    private void Reject(in PeerArrival arrival, in PeerMessage message, TimeSpan now)
    {
        if (Admission.IsRejectedAlready(arrival.From, message, CopyIgnored, now))
        {
            Count(Counter.RequestCopies);
            return;
        }
        Count(Counter.RejectsSent);
        Outbox.ToPeer(PeerSocket.Answering, arrival.From, arrival.To, message.AsReject());
    }

    private void OnAck(in PeerArrival arrival, in PeerMessage message, TimeSpan now)
    {
        Count(Counter.PeerAcks);
        int slot = _conversations.FindAccept(arrival.From, message.Handle, message.Connecting);
        if (slot >= 0 && !IsMappingAlive(_conversations[slot]))
        {
            // The mapping went while the Ack was on its way. What the kernel was told of is not a lie of a stranger: nobody but us can make it go.
            Admission.GiveBack(_conversations[slot].RemoteInfo, _conversations[slot].Slot, arrival.From);
            _conversations.Close(slot);
            return;
        }
        if (slot < 0)
        {
            Drop(arrival.From, "no Accept waits for this Ack", now);
            return;
        }
        ref readonly ConversationRow row = ref _conversations[slot];
        if (message.Accepting.Port != _mappings[row.Slot].MappedPort)
        {
            _conversations.Close(slot); // a guess at the mapped port: there is no second one
            Drop(arrival.From, "the Ack does not name the mapped port", now);
            return;
        }
        if (row.IsSettled == 0 && row.Asked.Port != message.Accepting.Port) // what was in the Request itself proves nothing
        {
            Confirm(slot, arrival.From, now);
        }
        _conversations.Settle(slot, Earlier(new TimeSpan(row.Deadline), now + Conversations.Lifetime));
    }

    private void Confirm(int slot, in InetEndpoint peer, TimeSpan now)
    {
        Admission.Prove(peer, now);
        switch (_conversations[slot].RemoteInfo)
        {
            case RemoteInfoCredit.OfMapping:
                Admission.GiveBack(RemoteInfoCredit.OfMapping, _conversations[slot].Slot, peer);
                break;
            case RemoteInfoCredit.None:
                TellRemoteInfo(slot, now);
                break;
        }
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
                RemoteInfo = Admission.CreditRemoteInfo(mapping, arrival.From, now),
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

    /// <summary>Differs: goes before the Accept, so that the kernel knows the peer before its connection request can come; with the Ack while many peers have not sent theirs.</summary>
    private void TellRemoteInfo(int slot, TimeSpan now)
    {
        ref readonly ConversationRow row = ref _conversations[slot];
        ref readonly MappingRow mapping = ref _mappings[row.Slot];
        if (!Admission.TryTellKernel(row.Slot, now))
        {
            Count(Counter.RemoteInfosDropped);
            Lose(LossCause.PeersNotTold, now);
            return;
        }
        ToKernel(
            new KernelReply
            {
                Kind = KernelReplyKind.RemoteInfo,
                Client = mapping.Client,
                Local = mapping.Local,
                Remote = row.Remote,
                MappedLocal = mapping.Mapped,
                MappedRemote = row.Mapped,
            },
            TimeSpan.MaxValue);
    }
}

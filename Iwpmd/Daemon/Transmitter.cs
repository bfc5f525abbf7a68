// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.Os;
using Iwpmd.State;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;

namespace Iwpmd.Daemon;

/// <summary>Drains the outbox in order: value to bytes to socket. What could not be delivered goes back to the core.</summary>
internal sealed class Transmitter(PortMapper mapper, KernelLink kernel, PeerSockets peers, ILogger log)
{
    private static readonly TimeSpan GatePeriod = TimeSpan.FromSeconds(10);

    /// <summary>2.6 MB: with so much to say nothing more is handled.</summary>
    private const int OutboxLimit = 8192;

    private Action? _handleInbox;
    private readonly byte[] _datagram = new byte[PeerMessage.RequestSize];
    private LogGate _sendGate = new(GatePeriod, burst: 5);
    private LogGate _lateGate = new(GatePeriod, burst: 1);

    public void Drain()
    {
        while (mapper.Outbox.Count > 0)
        {
            ref readonly Effect effect = ref mapper.Outbox.Peek();
            if (effect.IsToKernel)
            {
                SendToKernel(effect);
            }
            else
            {
                SendToPeer(effect);
            }
            mapper.Outbox.Dequeue();
        }
    }

    /// <summary>While a message to the kernel is under way: what this leads to is said in its turn.</summary>
    private void HandleInbox()
    {
        TimeSpan now = Clock.Now;
        while (kernel.Inbox.Count > 0 && mapper.Outbox.Count < OutboxLimit)
        {
            ref readonly KernelArrival arrival = ref kernel.Inbox.Peek();
            mapper.Handle(arrival.Request, arrival.NotBefore, now);
            kernel.Inbox.Dequeue();
        }
    }

    private void SendToKernel(in Effect effect)
    {
        TimeSpan now = Clock.Now; // a fresh one: the process may have been stopped since the decision
        if (now > effect.AnswerBy)
        {
            if (_lateGate.TryPass(now, out string suppressed))
            {
                Log.AnswerTooLate(log, effect.Reply.Kind, suppressed);
            }
            mapper.OnUndelivered(effect.Reply, Delivery.Unsent, 0, now);
            return;
        }
        Delivery delivery = kernel.Send(effect.Reply, _handleInbox ??= HandleInbox, out int result);
        if (delivery == Delivery.Taken || effect.Reply.Kind == KernelReplyKind.RemoteInfo || IsCutReplay(effect.Reply.Kind, result))
        {
            return; // REMOTE_INFO answers -EINVAL also when it worked
        }
        mapper.OnUndelivered(effect.Reply, delivery, result, now);
    }

    /// <summary>The kernel has more mappings than it can replay: the DONE that says so stands in the inbox, behind those that it did.</summary>
    private static bool IsCutReplay(KernelReplyKind kind, int result) => kind == KernelReplyKind.MapInfo && result == -Errno.NoMemory.Number;

    private void SendToPeer(in Effect effect)
    {
        UdpSocket? socket = peers.Find(effect.To.Family, effect.Via);
        int length = effect.Message.Write(_datagram);
        Errno error = socket is null ? Errno.FamilyNotSupported : socket.Send(_datagram.AsSpan(0, length), effect.To, effect.From);
        if (error == Errno.None)
        {
            return;
        }
        TimeSpan now = Clock.Now;
        if (_sendGate.TryPass(now, out string suppressed))
        {
            Log.PeerSendFailed(log, effect.Message.Type, effect.To, error, suppressed);
        }
        FallbackCause cause = FallbackCauses.Of(error);
        if (effect.Message.Type == PeerMessageType.Request && cause != FallbackCause.None)
        {
            mapper.HandleUnreachable(effect.To, effect.Message.Handle, cause, default, now);
        }
    }
}

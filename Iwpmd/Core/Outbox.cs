// SPDX-License-Identifier: MIT
using Iwpmd.Wire;

namespace Iwpmd.Core;

/// <summary>Which of our sockets a peer message leaves by: requests and acks from our own ephemeral port, answers from the well-known one.</summary>
internal enum PeerSocket : byte
{
    Asking,
    Answering,
}

/// <summary>One decided effect: a reply to the kernel (<see cref="IsToKernel"/>) or a message to a peer.</summary>
internal struct Effect
{
    public bool IsToKernel;

    public KernelReply Reply;

    /// <summary>The last moment (CLOCK_BOOTTIME) at which the reply may be sent: a later answer crashes the kernel. MaxValue where nobody waits.</summary>
    public TimeSpan AnswerBy;

    /// <summary>What the kernel sent before its ACK is handled before <see cref="PortMapper.OnSent"/>.</summary>
    public bool IsAckInOrder;

    public PeerMessage Message;

    public PeerSocket Via;

    public InetEndpoint To;

    /// <summary>The source address to send from; family None lets routing choose.</summary>
    public InetEndpoint From;
}

/// <summary>Ordered FIFO of decided effects. It knows neither sockets nor bytes, and grows only when more is pending than ever before.</summary>
internal sealed class Outbox
{
    private readonly Fifo<Effect> _effects = new(64);

    public int Count => _effects.Count;

    public ref readonly Effect Peek() => ref _effects.Peek();

    public void Dequeue() => _effects.Dequeue();

    /// <summary>The same of a message whose ACK says that all has come that it asks for.</summary>
    public void ToKernelInOrder(in KernelReply reply)
    {
        ref Effect effect = ref _effects.Enqueue();
        (effect.IsToKernel, effect.IsAckInOrder) = (true, true);
        (effect.Reply, effect.AnswerBy) = (reply, TimeSpan.MaxValue);
    }

    // Written in place: of what stood in the element before only the other kind's fields stay, and nobody asks for those.
    public void ToKernel(in KernelReply reply, TimeSpan answerBy)
    {
        ref Effect effect = ref _effects.Enqueue();
        effect.IsToKernel = true;
        effect.Reply = reply;
        effect.AnswerBy = answerBy;
        effect.IsAckInOrder = false;
    }

    public void ToPeer(PeerSocket via, in InetEndpoint to, in InetEndpoint from, in PeerMessage message)
    {
        ref Effect effect = ref _effects.Enqueue();
        effect.IsToKernel = false;
        effect.Message = message;
        effect.Via = via;
        effect.To = to;
        effect.From = from;
    }
}

// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;
using Iwpmd.Wire;

namespace Iwpmd.Core;

/// <summary>
/// The socket by which a peer message is sent: Requests and Acks from an ephemeral port, answers from the well-known
/// one.
/// </summary>
internal enum PeerSocket : byte
{
    Asking,
    Answering,
}

/// <summary>One effect: a reply to the kernel (<see cref="IsToKernel"/>) or a message to a peer.</summary>
internal struct Effect
{
    public bool IsToKernel;

    public KernelReply Reply;

    /// <summary>
    /// The last moment (CLOCK_BOOTTIME) at which the reply may be sent: a later answer crashes the kernel. MaxValue for
    /// messages that the kernel does not wait for.
    /// </summary>
    public TimeSpan AnswerBy;

    /// <summary>What the kernel sent before its ACK is handled before <see cref="PortMapper.OnSent"/>.</summary>
    public bool IsAckInOrder;

    public PeerMessage Message;

    public PeerSocket Via;

    public InetEndpoint To;

    /// <summary>The source address to send from; family None lets routing choose.</summary>
    public InetEndpoint From;
}

/// <summary>
/// The effects in order. It knows neither sockets nor bytes, and grows only when more are pending than ever before.
/// </summary>
internal sealed class Outbox
{
    private readonly Fifo<Effect> _effects = new(64);

    public int Count => _effects.Count;

    public ref readonly Effect Peek() => ref _effects.Peek();

    public void Dequeue() => _effects.Dequeue();

    /// <summary>The same for a message whose ACK comes after all that it asks for.</summary>
    public void ToKernelInOrder(in KernelReply reply, uint sequence)
    {
        ToKernel(reply, sequence, TimeSpan.MaxValue);
        _effects.Last.IsAckInOrder = true;
    }

    public void ToKernel(in KernelReply reply, uint sequence, TimeSpan answerBy)
    {
        ref KernelReply last = ref ToKernel(answerBy);
        last = reply;
        last.Sequence = sequence;
    }

    /// <summary>
    /// An empty reply, to be filled in at once where it stands; the reference ends with the next effect.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ref KernelReply ToKernel(TimeSpan answerBy)
    {
        ref Effect effect = ref _effects.Enqueue(); // the other kind's fields keep their old values, which are not read
        effect.IsToKernel = true;
        effect.Reply = default;
        effect.AnswerBy = answerBy;
        effect.IsAckInOrder = false;
        return ref effect.Reply;
    }

    /// <summary>
    /// A message with old values, all to be set at once where it stands; the reference ends with the next effect.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ref PeerMessage ToPeer(PeerSocket via, in InetEndpoint to, in InetEndpoint from)
    {
        ref Effect effect = ref _effects.Enqueue();
        effect.IsToKernel = false;
        effect.Via = via;
        effect.To = to;
        effect.From = from;
        return ref effect.Message;
    }
}

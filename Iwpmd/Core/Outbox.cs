using Iwpmd.Wire;

namespace Iwpmd.Core;

/// <summary>Which of our sockets a peer message leaves by: requests and acks from our own ephemeral port, answers from the well-known one.</summary>
internal enum PeerSocket : byte
{
    Asking,
    Answering,
}

/// <summary>One decided effect: a reply to the kernel (<see cref="IsToKernel"/>) or a message to a peer.</summary>
internal readonly struct Effect
{
    public bool IsToKernel { get; init; }

    public KernelReply Reply { get; init; }

    /// <summary>The last moment (CLOCK_BOOTTIME) at which the reply may be sent: a later answer crashes the kernel. MaxValue where nobody waits.</summary>
    public TimeSpan AnswerBy { get; init; }

    public PeerMessage Message { get; init; }

    public PeerSocket Via { get; init; }

    public InetEndpoint To { get; init; }

    /// <summary>The source address to send from; family None lets routing choose.</summary>
    public InetEndpoint From { get; init; }
}

/// <summary>Ordered FIFO of decided effects. It knows neither sockets nor bytes, and grows only when more is pending than ever before.</summary>
internal sealed class Outbox
{
    private readonly Fifo<Effect> _effects = new(64);

    public int Count => _effects.Count;

    public ref readonly Effect Peek() => ref _effects.Peek();

    public void Dequeue() => _effects.Dequeue();

    public void ToKernel(in KernelReply reply, TimeSpan answerBy) => _effects.Enqueue() = new Effect { IsToKernel = true, Reply = reply, AnswerBy = answerBy };

    public void ToPeer(PeerSocket via, in InetEndpoint to, in InetEndpoint from, in PeerMessage message) =>
        _effects.Enqueue() = new Effect { Via = via, To = to, From = from, Message = message };
}

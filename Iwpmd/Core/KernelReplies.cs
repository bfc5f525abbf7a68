// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;
using Iwpmd.State;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;

namespace Iwpmd.Core;

/// <summary>
/// The messages to the kernel: their sequence numbers, refusals, and requests that are too old to be answered.
/// </summary>
internal sealed class KernelReplies(Outbox outbox, Statistics statistics, ILogger log)
{
    /// <summary>The sequence number of the next message.</summary>
    public uint NextSequence { get; set; }

    /// <summary>
    /// Differs: each message has its own sequence number, by which its ACK is known; those of rdma-core have none.
    /// </summary>
    public uint Send(in KernelReply reply, TimeSpan answerBy)
    {
        uint sequence = NextSequence++;
        outbox.ToKernel(reply, sequence, answerBy);
        return sequence;
    }

    /// <summary>The same for a reply that is filled in where it stands, at once: requests are answered so.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ref KernelReply Send(KernelReplyKind kind, byte client, TimeSpan answerBy)
    {
        ref KernelReply reply = ref outbox.ToKernel(answerBy);
        (reply.Kind, reply.Client, reply.Sequence) = (kind, client, NextSequence++);
        return ref reply;
    }

    /// <summary>The same; what the kernel sent before its ACK is handled before the ACK.</summary>
    public uint SendInOrder(in KernelReply reply)
    {
        uint sequence = NextSequence++;
        outbox.ToKernelInOrder(reply, sequence);
        return sequence;
    }

    public void Refuse(in KernelRequest request, MappingError error, TimeSpan answerBy, string reason)
    {
        statistics.Count(Counter.Refused);
        Log.KernelRefused(log, request.Operation, request.Sequence, error, reason);
        Send(
            new KernelReply
            {
                Kind = KernelReplyKind.HandleError,
                Client = request.Client,
                RequestSequence = request.Sequence,
                Error = error,
            },
            answerBy);
    }

    public bool IsTooOld(KernelOperation operation, TimeSpan answerBy, TimeSpan now)
    {
        if (now <= answerBy)
        {
            return false;
        }
        statistics.Count(Counter.TooOld);
        statistics.Lose(LossCause.TooOld, now);
        Log.KernelTooOld(log, operation);
        return true;
    }
}

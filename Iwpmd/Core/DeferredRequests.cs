// SPDX-License-Identifier: MIT
using Iwpmd.State;
using Iwpmd.Wire;

namespace Iwpmd.Core;

/// <summary>A request that waits for the replay to end.</summary>
internal readonly record struct DeferredRequest(KernelRequest Request, TimeSpan NotBefore);

/// <summary>Requests that wait for the replay to end, in order; what becomes of those that cannot wait.</summary>
internal sealed class DeferredRequests(
    KernelSession session, Mappings mappings, KernelReplies replies, Statistics statistics)
{
    /// <summary>More than a receive buffer of the default size can hold.</summary>
    private const int Limit = 16384;

    private readonly Fifo<DeferredRequest> _waiting = new(16);
    private readonly HashSet<InetEndpoint> _locals = [];

    public int Count => _waiting.Count;

    public void Add(in KernelRequest request, TimeSpan notBefore, TimeSpan now)
    {
        bool isRemove = request.Operation == KernelOperation.RemoveMapping;
        if (isRemove && session.IsBeforeReplay(request.Client) && !_locals.Contains(request.Local))
        {
            // Behind the replay it would take another's reference; but it belongs to a request of its address that
            // waits.
            mappings.OnRemove(request, now);
            return;
        }
        if (_waiting.Count < Limit)
        {
            _waiting.Enqueue() = new DeferredRequest(request, notBefore);
            _locals.Add(request.Local);
            return;
        }
        Refuse(request, notBefore, "too many requests wait for the replay", now);
    }

    /// <summary>This process ends before the replay.</summary>
    public void RefuseAll(TimeSpan now)
    {
        while (_waiting.Count > 0)
        {
            (KernelRequest request, TimeSpan notBefore) = Take();
            Refuse(request, notBefore, "the daemon ends", now);
        }
    }

    /// <summary>The first one, of at least one.</summary>
    public DeferredRequest Take()
    {
        DeferredRequest first = _waiting.Peek();
        _waiting.Dequeue();
        if (_waiting.Count == 0)
        {
            _locals.Clear();
        }
        return first;
    }

    private void Refuse(in KernelRequest request, TimeSpan notBefore, string reason, TimeSpan now)
    {
        statistics.Count(Counter.DeferredDropped);
        statistics.Lose(LossCause.Deferred, now);
        if (request.Operation == KernelOperation.RemoveMapping)
        {
            mappings.OnRemove(request, now);
            return;
        }
        mappings.Reference(request.Local, now);
        replies.Refuse(request, MappingError.CannotCreate, notBefore + PortMapper.AnswerWithin, reason);
    }
}

// SPDX-License-Identifier: MIT
using Iwpmd.State;
using Iwpmd.Wire;

namespace Iwpmd.Core;

/// <summary>The requests of the kernel: one method an operation.</summary>
internal sealed partial class PortMapper
{
    private LogGate _tooOldGate = new(TimeSpan.FromSeconds(10), burst: 1);
    private LogGate _undeliveredGate = new(TimeSpan.FromSeconds(10), burst: 20);

    /// <param name="notBefore">When the netlink socket was last seen empty before this request came: it cannot be older.</param>
    public void Handle(in KernelRequest request, TimeSpan notBefore, TimeSpan now)
    {
        Log.KernelAsked(_log, request.Operation, request.Sequence, request.Local, request.Remote, request.Flags);
        if (IsHandshakeMessage(request.Operation))
        {
            OnHandshake(request, now);
        }
        else if (Kernel is HandshakeState.HelloSent or HandshakeState.MapInfoSent || IsFromNewKernel(request, now))
        {
            // What the kernel replays claims certain ports: they come first.
            Hold(request, notBefore, now);
        }
        else
        {
            Serve(request, notBefore + AnswerWithin, now);
        }
    }

    private void Hold(in KernelRequest request, TimeSpan notBefore, TimeSpan now)
    {
        if (_held.Count < HeldLimit)
        {
            _held.Enqueue() = new HeldRequest(request, notBefore);
            return;
        }
        Count(Counter.HeldDropped);
        Lose(LossCause.TooManyHeld, now);
        if (request.Operation == KernelOperation.RemoveMapping)
        {
            OnRemoveMapping(request, now);
            return;
        }
        ReferenceExact(request.Local, now);
        Refuse(request, MappingError.CannotCreate, notBefore + AnswerWithin, "too many requests wait for the replay");
    }

    /// <summary>What became of <paramref name="reply"/>, one of the <see cref="Outbox"/>. Whoever waits for one that was not taken goes on unmapped.</summary>
    public void OnSent(in KernelReply reply, SendResult sent, TimeSpan now)
    {
        switch (reply.Kind)
        {
            case KernelReplyKind.Hello:
                OnHelloSent(reply.Sequence, sent, now);
                break;
            case KernelReplyKind.MapInfo:
                OnMapInfoSent(reply.Sequence, sent, now);
                break;
            case KernelReplyKind.AddMapping or KernelReplyKind.QueryMapping when sent.Delivery != Delivery.Taken:
                OnMappingUndelivered(reply, sent, now);
                break;
            case KernelReplyKind.RegisterPid when sent.Delivery == Delivery.Refused:
                OnRegistrationLost(now);
                break;
            case KernelReplyKind.RemoteInfo:
                break; // the kernel answers -EINVAL also when it worked
        }
    }

    private void OnMappingUndelivered(in KernelReply reply, SendResult sent, TimeSpan now)
    {
        bool isTold = _undeliveredGate.TryPass(now, out string suppressed);
        if (sent.Delivery == Delivery.Unknown)
        {
            if (isTold)
            {
                Log.KernelOutcomeUnknown(_log, reply.Kind, reply.RequestSequence, sent.Code, reply.Local, suppressed);
            }
            Doubt(now); // the kernel may use the port: only its end frees it
            return;
        }
        Count(Counter.Undelivered);
        Lose(LossCause.Undelivered, now);
        if (isTold)
        {
            Log.KernelUndelivered(_log, reply.Kind, reply.RequestSequence, sent.Code, reply.Local, suppressed);
        }
        int slot = _mappings.FindExactLocal(reply.Local);
        if (slot >= 0)
        {
            FallBack(slot);
        }
    }

    /// <summary>Differs: a client that did not register is served, since after a hand-over nobody registers again.</summary>
    private void Serve(in KernelRequest request, TimeSpan answerBy, TimeSpan now)
    {
        switch (request.Operation)
        {
            case KernelOperation.RegisterPid: OnRegisterPid(request, answerBy, now); break;
            case KernelOperation.AddMapping: OnAddMapping(request, answerBy, now); break;
            case KernelOperation.QueryMapping: OnQueryMapping(request, answerBy, now); break;
            case KernelOperation.RemoveMapping: OnRemoveMapping(request, now); break;
            case KernelOperation.Malformed: OnMalformed(request, answerBy, now); break;
        }
    }

    private void OnAddMapping(in KernelRequest request, TimeSpan answerBy, TimeSpan now)
    {
        Count(Counter.Adds);
        int slot = ReferenceExact(request.Local, now);
        if (IsTooOld(request.Operation, answerBy, now))
        {
            return;
        }
        int hit = _mappings.FindByLocal(request.Local);
        if (hit >= 0 && !(hit == slot && request.Local.IsWildcard))
        {
            Refuse(request, MappingError.Duplicate, answerBy, "another mapping has this address and port");
            return;
        }
        if (hit >= 0)
        {
            WarnOfClasses(slot, request, now);
        }
        else
        {
            slot = Map(slot, request, now);
        }
        if (slot < 0)
        {
            Refuse(request, MappingError.CannotCreate, answerBy, "no port could be claimed");
            return;
        }
        ToKernel(
            new KernelReply
            {
                Kind = KernelReplyKind.AddMapping,
                Client = request.Client,
                RequestSequence = request.Sequence,
                Local = request.Local,
                MappedLocal = _mappings[slot].Mapped,
            },
            answerBy);
    }

    private void OnQueryMapping(in KernelRequest request, TimeSpan answerBy, TimeSpan now)
    {
        Count(Counter.Queries);
        int slot = ReferenceExact(request.Local, now);
        if (IsTooOld(request.Operation, answerBy, now))
        {
            return;
        }
        string? impossible = request.Local.IsWildcard ? "local address is the wildcard"
            : request.Local.Family != request.Remote.Family ? "address families differ" // Differs: nothing could answer such a query
            : slot < 0 && _mappings.FindByLocal(request.Local) >= 0 ? "a wildcard mapping has this port"
            : null;
        if (impossible is not null)
        {
            Refuse(request, MappingError.CannotCreate, answerBy, impossible);
            return;
        }
        if (slot < 0 || _mappings[slot].State == MappingState.Fallback)
        {
            slot = Map(slot, request, now);
        }
        if (slot < 0)
        {
            Refuse(request, MappingError.CannotCreate, answerBy, "no port could be claimed");
            return;
        }
        Ask(slot, request, answerBy, now);
    }

    private void OnRemoveMapping(in KernelRequest request, TimeSpan now)
    {
        Count(Counter.Removes);
        int slot = _mappings.FindExactLocal(request.Local);
        if (slot < 0 || _mappings[slot].Client != request.Client)
        {
            return;
        }
        if (_mappings[slot].References <= 1)
        {
            RemoveMapping(slot);
            return;
        }
        using var change = _mappings.Change(slot);
        change.Row.References--;
        change.Row.TouchedAt = now.Ticks;
    }

    private void OnMalformed(in KernelRequest request, TimeSpan answerBy, TimeSpan now)
    {
        Count(Counter.Malformed);
        Lose(LossCause.Malformed, now);
        if (!IsTooOld(request.Operation, answerBy, now))
        {
            Refuse(request, MappingError.InvalidMessage, answerBy, "malformed");
        }
    }

    /// <summary>
    /// Differs: counts first. Every ADD and QUERY is followed by one REMOVE, also the refused and the unanswered, so it is one reference more
    /// of the row of exactly this address, if there is one; else its REMOVE would take a live owner's.
    /// </summary>
    private int ReferenceExact(in InetEndpoint local, TimeSpan now)
    {
        int slot = _mappings.FindExactLocal(local);
        if (slot >= 0)
        {
            using var change = _mappings.Change(slot);
            change.Row.References++;
            change.Row.TouchedAt = now.Ticks;
        }
        return slot;
    }

    private bool IsTooOld(KernelOperation operation, TimeSpan answerBy, TimeSpan now)
    {
        if (now <= answerBy)
        {
            return false;
        }
        Count(Counter.TooOld);
        Lose(LossCause.TooOld, now);
        if (_tooOldGate.TryPass(now, out string suppressed))
        {
            Log.KernelTooOld(_log, operation, suppressed);
        }
        return true;
    }

    private void Refuse(in KernelRequest request, MappingError error, TimeSpan answerBy, string reason)
    {
        Count(Counter.Refused);
        Log.KernelRefused(_log, request.Operation, request.Sequence, error, reason);
        ToKernel(new KernelReply { Kind = KernelReplyKind.HandleError, Client = request.Client, RequestSequence = request.Sequence, Error = error }, answerBy);
    }

    /// <summary>Differs: each message has a number of its own, by which its outcome is known; rdma-core's have none.</summary>
    private uint ToKernel(in KernelReply reply, TimeSpan answerBy)
    {
        uint sequence = _nextSequence++;
        Outbox.ToKernel(reply with { Sequence = sequence }, answerBy);
        return sequence;
    }

    private uint ToKernelInOrder(in KernelReply reply)
    {
        uint sequence = _nextSequence++;
        Outbox.ToKernelInOrder(reply with { Sequence = sequence });
        return sequence;
    }
}

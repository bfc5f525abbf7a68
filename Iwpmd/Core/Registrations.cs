// SPDX-License-Identifier: MIT
using Iwpmd.State;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;

namespace Iwpmd.Core;

/// <summary>A registration that is answered when the kernel is ready to take the answer.</summary>
internal readonly record struct PendingRegistration(
    byte Client, uint Sequence, FixedName Device, TimeSpan Due, TimeSpan AnswerBy);

/// <summary>REG_PID: the kernel asks who its port mapper is; another process may have answered first.</summary>
internal sealed class Registrations(
    StateLayout state, Mappings mappings, EndpointAudit audit, KernelReplies replies, Statistics statistics,
    TimerTable timers, ILogger log)
{
    /// <summary>
    /// Differs: iwpm_register_pid() gives its request a buffer only after the multicast has returned, and an answer
    /// before that crashes the kernel: if the asking thread is preempted in between, after 2 ms (seen on Linux 7.2 and
    /// 7.3 under load). A process cannot see when it is done: binding a netlink socket waits for the delivery, but not
    /// for what follows it. So the delay is ample, within the 10 s that the kernel waits. ADD and QUERY have their
    /// buffers before they are sent, and HANDLE_ERR uses none.
    /// </summary>
    public static readonly TimeSpan Delay = TimeSpan.FromMilliseconds(250);

    /// <summary>More than a receive buffer of the default size can hold.</summary>
    private const int Limit = 16384;

    /// <summary>Each connection that begins before the first answer sends its own REG_PID.</summary>
    private static readonly TimeSpan RegistrationsOfOneStart = Delay + TimeSpan.FromMilliseconds(100);

    private readonly Fifo<PendingRegistration> _pending = new(4);
    private TimeSpan _nextReclaim;

    /// <summary>Registrations that are not answered yet.</summary>
    public int Count => _pending.Count;

    /// <summary>
    /// Drops those of an iw_cm that was unloaded: the new one counts from 1 again, and would take their answers for its
    /// own.
    /// </summary>
    public void Clear()
    {
        while (_pending.Count > 0)
        {
            _pending.Dequeue();
        }
        SetTimer();
    }

    /// <summary>This process ends before they are due; HANDLE_ERR may come at any time.</summary>
    public void RefuseAll(TimeSpan now)
    {
        for (; _pending.Count > 0; _pending.Dequeue())
        {
            ref readonly PendingRegistration pending = ref _pending.Peek();
            statistics.Count(Counter.DeferredDropped);
            statistics.Lose(LossCause.Deferred, now);
            using (var change = new RowChange<ClientRow>(ref state.Clients[pending.Client]))
            {
                change.Row.IsRegistered = false; // it will ask again
            }
            var request = new KernelRequest
            {
                Operation = KernelOperation.RegisterPid, Client = pending.Client, Sequence = pending.Sequence,
            };
            replies.Refuse(request, MappingError.CannotCreate, pending.AnswerBy, "the daemon ends");
        }
        SetTimer();
    }

    public void OnRegister(in KernelRequest request, TimeSpan answerBy, TimeSpan now)
    {
        if (replies.IsTooOld(request.Operation, answerBy, now))
        {
            return;
        }
        ref ClientRow client = ref state.Clients[request.Client];
        if (client.IsRegistered && !client.Library.Equals(request.Library))
        {
            Log.KernelLibraryChanged(log, request.Client, request.Library, client.Library);
            replies.Refuse(request, MappingError.UserLibrary, answerBy, "another library name is registered");
            return;
        }
        if (client.IsRegistered
            && answerBy - PortMapper.AnswerWithin - RegistrationsOfOneStart > client.RegisteredAt)
        {
            OnHijacked(now);
        }
        else if (mappings.Count > 0)
        {
            audit.Schedule(now); // whether another process sent HELLO in the meantime is unknown
        }
        if (!client.IsRegistered)
        {
            Log.KernelRegistered(log, request.Device, request.Interface, request.Client, AbiOf(request.Client));
        }
        using (var change = new RowChange<ClientRow>(ref client))
        {
            (change.Row.IsRegistered, change.Row.RegisteredAt) = (true, now);
            (change.Row.Device, change.Row.Interface, change.Row.Library) =
                (request.Device, request.Interface, request.Library);
        }
        if (_pending.Count >= Limit)
        {
            statistics.Count(Counter.DeferredDropped);
            statistics.Lose(LossCause.Deferred, now);
            return;
        }
        _pending.Enqueue() = new PendingRegistration(
            request.Client, request.Sequence, request.Device, now + Delay, answerBy);
        SetTimer();
    }

    /// <summary>
    /// Any process can send HELLO to the kernel, which then takes it for the port mapper, and sends REG_PID to the
    /// multicast group at the next connection. Our answer reclaims the registration. Messages that went to the other
    /// process meanwhile are lost: mostly REMOVEs.
    /// </summary>
    private void OnHijacked(TimeSpan now)
    {
        statistics.Count(Counter.RegistrationHijacks);
        statistics.Lose(LossCause.RegistrationHijack, now);
        Log.RegistrationHijacked(log);
        if (mappings.Count > 0)
        {
            audit.Schedule(now);
        }
    }

    /// <summary>
    /// The kernel rejected our answer to REG_PID: another process answered first. True when HELLO is to be sent.
    /// </summary>
    public bool OnLost(TimeSpan now)
    {
        OnHijacked(now);
        if (now < _nextReclaim)
        {
            return false;
        }
        _nextReclaim = now + KernelSession.HelloPause;
        return true;
    }

    public void Answer(TimeSpan now)
    {
        while (_pending.Count > 0 && _pending.Peek().Due <= now)
        {
            PendingRegistration pending = _pending.Peek();
            _pending.Dequeue();
            replies.Send(
                new KernelReply
                {
                    Kind = KernelReplyKind.RegisterPid,
                    Client = pending.Client,
                    RequestSequence = pending.Sequence,
                    Device = pending.Device,
                    Abi = AbiOf(pending.Client),
                },
                pending.AnswerBy);
        }
        SetTimer();
    }

    /// <summary>The ABI version that was agreed with a client; the lowest one if the client was not asked.</summary>
    private ushort AbiOf(byte client) => Math.Max(state.Clients[client].Abi, KernelProtocol.OldestAbi);

    private void SetTimer()
    {
        if (_pending.Count > 0)
        {
            timers.Set(Timer.Registration, _pending.Peek().Due);
        }
        else
        {
            timers.Stop(Timer.Registration);
        }
    }
}

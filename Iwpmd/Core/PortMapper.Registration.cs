// SPDX-License-Identifier: MIT
using Iwpmd.State;
using Iwpmd.Wire;

namespace Iwpmd.Core;

/// <summary>A registration that is answered when the kernel is ready to take the answer.</summary>
internal readonly record struct PendingRegistration(byte Client, uint Sequence, FixedName Device, TimeSpan Due, TimeSpan AnswerBy);

/// <summary>REG_PID: the kernel asks who its port mapper is, and others may answer in our place.</summary>
internal sealed partial class PortMapper
{
    /// <summary>
    /// Differs: iwpm_register_pid() gives its request a buffer only after the multicast has returned, and an answer before that crashes the kernel: where the asking thread can be
    /// preempted in between, after 2 ms (seen on Linux 7.2 and 7.3 under load). Nothing that a process can see tells when it is done: binding a netlink socket waits for the delivery,
    /// but not for what follows it. So it gets ample time of the 10 s that the kernel waits. ADD and QUERY have their buffers before they are sent, and HANDLE_ERR uses none.
    /// </summary>
    public static readonly TimeSpan RegistrationDelay = TimeSpan.FromMilliseconds(250);

    /// <summary>Connections that begin before the first answer came register each for itself.</summary>
    private static readonly TimeSpan RegistrationsOfOneStart = RegistrationDelay + TimeSpan.FromMilliseconds(100);

    private readonly Fifo<PendingRegistration> _registrations = new(4);
    private LogGate _usurpedGate = new(TimeSpan.FromSeconds(10), burst: 1);
    private TimeSpan _nextReclaim;

    private void OnRegisterPid(in KernelRequest request, TimeSpan answerBy, TimeSpan now)
    {
        if (IsTooOld(request.Operation, answerBy, now))
        {
            return;
        }
        ref ClientRow client = ref _state.Clients[request.Client];
        if (client.IsRegistered != 0 && !client.Library.Equals(request.Library))
        {
            Log.KernelLibraryChanged(_log, request.Client, request.Library, client.Library);
            Refuse(request, MappingError.UserLibrary, answerBy, "another library name is registered");
            return;
        }
        if (client.IsRegistered != 0 && (answerBy - AnswerWithin).Ticks > client.RegisteredAt + RegistrationsOfOneStart.Ticks)
        {
            OnUsurped(now);
        }
        if (client.IsRegistered == 0)
        {
            Log.KernelRegistered(_log, request.Device, request.Interface, request.Client, AbiOf(request.Client));
        }
        using (var change = new RowChange<ClientRow>(ref client))
        {
            (change.Row.IsRegistered, change.Row.RegisteredAt) = (1, now.Ticks);
            (change.Row.Device, change.Row.Interface, change.Row.Library) = (request.Device, request.Interface, request.Library);
        }
        if (_registrations.Count >= HeldLimit)
        {
            Count(Counter.HeldDropped);
            Lose(LossCause.TooManyHeld, now);
            return;
        }
        _registrations.Enqueue() = new PendingRegistration(request.Client, request.Sequence, request.Device, now + RegistrationDelay, answerBy);
    }

    /// <summary>
    /// Any process can say hello to the kernel, which then believes that one to be the port mapper, and asks all of its group to register anew at the next connection.
    /// Our answer to that takes the place back. What was sent to the other meanwhile is lost: mostly REMOVEs.
    /// </summary>
    private void OnUsurped(TimeSpan now)
    {
        Count(Counter.Usurpations);
        Lose(LossCause.Usurped, now);
        if (_usurpedGate.TryPass(now, out string suppressed))
        {
            Log.KernelUsurped(_log, suppressed);
        }
        if (_mappings.Count > 0)
        {
            Doubt(now);
        }
    }

    /// <summary>The kernel has no use for our answer to its registration: somebody else answered in our name.</summary>
    private void OnRegistrationLost(TimeSpan now)
    {
        OnUsurped(now);
        if (now >= _nextReclaim)
        {
            _nextReclaim = now + ReclaimPause;
            Start(now);
        }
    }

    private void AnswerRegistrations(TimeSpan now)
    {
        while (_registrations.Count > 0 && _registrations.Peek().Due <= now)
        {
            PendingRegistration pending = _registrations.Peek();
            _registrations.Dequeue();
            ToKernel(
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
    }
}

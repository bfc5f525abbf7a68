// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.State;
using Iwpmd.Os;
using Iwpmd.Wire;

namespace Iwpmd.Simulation;

/// <summary>What must hold: after each step, of each connection, and when all has been quiet for a while.</summary>
internal static class Checks
{
    private static readonly TimeSpan s_noticed = TimeSpan.FromSeconds(5), s_reconciled = TimeSpan.FromSeconds(60),
        s_recent = TimeSpan.FromSeconds(50);

    /// <summary>The kernel is about to use this port.</summary>
    public static void OnMapped(Machine machine, Question question, InetEndpoint mapped)
    {
        InetEndpoint local = question.Endpoint.Local;
        if (!mapped.SameAddress(local))
        {
            throw machine.World.Fail(machine, $"{local} is mapped to another address, {mapped}");
        }
        if (mapped.Port == local.Port || machine.Daemon is null)
        {
            return; // of a recorded daemon nothing more is known
        }
        Mappings rows = machine.Daemon!.Mapper.Mappings;
        if (question.Endpoint.NoPortMap && !local.IsWildcard && !machine.Kernel.MayBeTakenForOlder(question.Endpoint)
            && rows.FindExactLocal(local) is var slot and >= 0 && rows[slot].References == 1)
        {
            throw machine.World.Fail(machine, $"{local} is mapped to port {mapped.Port}, and was not to be mapped");
        }
        if (!IsProtected(machine, machine.Daemon!, local, mapped.Port))
        {
            throw machine.World.Fail(
                machine, $"{local} is mapped to port {mapped.Port}, which is neither held nor shown as unprotected");
        }
        Endpoint? other = machine.Kernel.Endpoints.Find(
            one => one.IsMapped && one.MappedLocal.Port == mapped.Port && one.Local != local
                && !machine.Kernel.Doubtful.Contains(one.Local));
        if (other is not null && !machine.LostState)
        {
            throw machine.World.Fail(machine, $"{local} is mapped to port {mapped.Port}, which {other.Local} uses");
        }
    }

    /// <summary>Whoever loses something by the daemon's doing can see it.</summary>
    public static void OnUnanswered(Machine machine, Question question)
    {
        machine.World.After(s_noticed, () =>
        {
            // and not of before a suspend
            bool isRecent = machine.BootTime - question.BootSentAt < s_recent;
            if (!isRecent || machine.CrashedAt > question.SentAt || !machine.Netlink.ContainsKey(question.To))
            {
                return; // of a crash the administrator hears elsewhere
            }
            if (machine.Daemon is not DaemonProcess daemon || machine.IsStopped
                || machine.DisturbedAt >= machine.World.Now - s_noticed)
            {
                OnUnanswered(machine, question); // a little later
            }
            else if (question.To == daemon.PortId && IsWell(machine, daemon))
            {
                throw machine.World.Fail(
                    machine, $"{question.Operation} {question.Sequence} got no answer, and health says nothing of it");
            }
        });
    }

    public static void OnRefused(Machine machine, Question question, MappingError error)
    {
        if (error == MappingError.InvalidMessage)
        {
            throw machine.World.Fail(machine, $"{question.Operation} {question.Sequence} is called malformed");
        }
    }

    /// <summary>
    /// A connection comes to the host: its port must be that of the listener, and the host's kernel must know whose it
    /// is.
    /// </summary>
    public static void OnConnection(Machine from, Machine to, Endpoint endpoint)
    {
        bool isUnmapped = endpoint.MappedRemote == endpoint.Remote;
        if ((isUnmapped && !endpoint.IsRejected) || to.Foreign is not null)
        {
            return; // its kernel was told that it goes on unmapped
        }
        Endpoint? listener = to.Kernel.Endpoints.Find(
            one => one.IsListening && one.State == EndpointState.Up && one.Local.Port == endpoint.Remote.Port
            && one.Local.Family == endpoint.Remote.Family && (one.Local.IsWildcard || one.Local == endpoint.Remote));
        if (listener is null || listener.UpAt > endpoint.AskedAt || to.LostState
            || to.Kernel.Doubtful.Contains(listener.Local))
        {
            return; // it was another one that was asked for
        }
        if (listener.IsUnanswered)
        {
            return; // the row of the same listener of another device tells its port: a known limit
        }
        if (isUnmapped)
        {
            if (listener.IsMapped && to.DisturbedAt < endpoint.AskedAt - s_reconciled)
            {
                throw from.World.Fail(
                    from, $"{endpoint.Local} was rejected by {to.Name}, where {listener.Local} listens");
            }
            return;
        }
        if (!listener.IsMapped && to.World.Now - to.DisturbedAt < s_reconciled)
        {
            return; // the row of an earlier listener, whose REMOVE was lost: a known limit until the audit
        }
        if (listener.MappedLocal.Port != endpoint.MappedRemote.Port)
        {
            throw from.World.Fail(
                from,
                $"{endpoint.Local} was told that {endpoint.Remote} is at {endpoint.MappedRemote}, but it is at "
                    + $"{listener.MappedLocal} since {listener.UpAt}");
        }
        if (to.Kernel.RemoteInfos.Remove((listener.MappedLocal, endpoint.MappedLocal), out InetEndpoint known))
        {
            if (known != endpoint.Local)
            {
                throw from.World.Fail(from, $"{to.Name} takes {endpoint.Local} for {known}");
            }
        }
        else if (to.DisturbedAt < endpoint.AskedAt && to.State is StateMemory state
            && state.Layout.Counters[(int)Counter.RemoteInfosDeferred]
                + state.Layout.Counters[(int)Counter.RemoteInfosDropped] == 0)
        {
            throw from.World.Fail(
                from,
                $"{to.Name} does not know who comes from {endpoint.MappedLocal} ({endpoint.Local}) to "
                    + $"{listener.MappedLocal}");
        }
    }

    public static void AfterRun(Machine machine, DaemonProcess daemon)
    {
        if (!daemon.IsReady || machine.LostState)
        {
            return;
        }
        foreach (Endpoint endpoint in machine.Kernel.Endpoints)
        {
            bool isDoubtful = machine.Kernel.Doubtful.Contains(endpoint.Local);
            if (endpoint.IsMapped && !isDoubtful && !LacksRows(daemon)
                && !IsProtected(machine, daemon, endpoint.Local, endpoint.MappedLocal.Port))
            {
                daemon.Mapper.DumpMappings();
                throw machine.World.Fail(
                    machine,
                    $"the kernel uses port {endpoint.MappedLocal.Port} for {endpoint.Local}, which is neither "
                        + "held nor shown as unprotected");
            }
        }
    }

    /// <summary>Nothing was disturbed for some minutes.</summary>
    public static void AtRest(Machine machine)
    {
        DaemonProcess daemon = machine.Daemon ?? throw machine.World.Fail(machine, "at rest: no daemon runs");
        if (machine.BufferBytes is not null && daemon.Mapper.Kernel == HandshakeState.Unanswered)
        {
            return; // the replay does not fit into so small a buffer, and health says so
        }
        if (!daemon.IsReady || daemon.Mapper.Outbox.Count > 0)
        {
            throw machine.World.Fail(
                machine,
                $"at rest: the kernel is {daemon.Mapper.Kernel}, requests are held: "
                    + $"{daemon.Mapper.HasDeferredRequests}, {daemon.Mapper.Outbox.Count} messages wait");
        }
        if (daemon.Mapper.Conversations.Count > 0)
        {
            throw machine.World.Fail(machine, $"at rest: {daemon.Mapper.Conversations.Count} conversations are left");
        }
        if (!machine.LostState)
        {
            CheckRows(machine, daemon);
        }
        CheckPorts(machine, daemon);
        StateSnapshot copy = Read(machine);
        bool isWell = IsWell(machine, daemon) && daemon.State.Health.Unprotected == 0;
        if (copy.Unreadable > 0 || (!isWell && !machine.Ports.Values.Any(owner => owner is not TcpPort)))
        {
            throw machine.World.Fail(
                machine,
                $"at rest: it is not well: {copy.Unreadable} rows are unreadable, "
                    + $"{daemon.State.Health.Unprotected} unprotected");
        }
    }

    /// <summary>As a program of an administrator reads it.</summary>
    public static StateSnapshot Read(Machine machine)
    {
        ReadOnlySpan<byte> bytes = machine.State!.Bytes;
        string? problem = StateLayout.WhyUnusable(bytes, StateMemory.Identity.BootId, out StateGeometry shape);
        if (problem is not null || !StateSnapshot.TryTake(
            bytes, shape, StateLayout.InMemory(StateSnapshot.CapacityFor(shape), StateMemory.Identity),
            out StateSnapshot? copy))
        {
            throw machine.World.Fail(machine, $"the state cannot be read: {problem}");
        }
        return copy;
    }

    private static void CheckRows(Machine machine, DaemonProcess daemon)
    {
        Mappings table = daemon.Mapper.Mappings;
        for (int slot = 0; slot < table.HighWater; slot++)
        {
            MappingRow row = table[slot];
            if (!row.IsUsed)
            {
                continue;
            }
            if (machine.Kernel.Doubtful.Contains(row.Local))
            {
                continue;
            }
            List<Endpoint> users = machine.Kernel.Endpoints.FindAll(one => one.Local == row.Local);
            if (users.Count == 0 || row.References > users.Count)
            {
                throw machine.World.Fail(
                    machine,
                    $"at rest: the row of {row.Local} ({row.State}) has {row.References} "
                        + $"references, the kernel {users.Count}");
            }
            if (row.References < users.Count && users.TrueForAll(one => one.IsAsked && one.IsRecorded))
            {
                throw machine.World.Fail(
                    machine,
                    $"at rest: the row of {row.Local} ({row.State}) has only {row.References} "
                        + $"references, the kernel {users.Count}");
            }
            if (users.Find(one => one.IsMapped && one.MappedLocal.Port != row.MappedPort) is Endpoint other)
            {
                throw machine.World.Fail(
                    machine,
                    $"at rest: the row of {other.Local} has port {row.MappedPort}, the kernel uses "
                        + $"{other.MappedLocal.Port}");
            }
        }
        if (machine.Kernel.Endpoints.Find(
            one =>
                one.IsMapped && !machine.Kernel.Doubtful.Contains(one.Local)
                    && table.FindExactLocal(one.Local) < 0) is Endpoint lost)
        {
            throw machine.World.Fail(
                machine, $"at rest: {lost.Local} has no row, and the kernel uses {lost.MappedLocal}");
        }
    }

    private static void CheckPorts(Machine machine, DaemonProcess daemon)
    {
        HashSet<ushort> held = [];
        uint unprotected = 0;
        for (int slot = 0; slot < daemon.Mapper.Mappings.HighWater; slot++)
        {
            MappingRow row = daemon.Mapper.Mappings[slot];
            unprotected += row.State == MappingState.Unprotected ? 1u : 0;
            if (row.State == MappingState.Held)
            {
                held.Add(row.MappedPort);
            }
        }
        ushort[] owned = [.. machine.Ports.Where(one => one.Value is TcpPort).Select(one => one.Key)];
        if (owned.Length != held.Count || !held.IsSupersetOf(owned))
        {
            throw machine.World.Fail(
                machine,
                $"at rest: the ports {string.Join(' ', owned.Order())} are held, those of the rows are "
                    + $"{string.Join(' ', held.Order())}");
        }
        if (daemon.State.Health.Unprotected != unprotected)
        {
            throw machine.World.Fail(
                machine, $"at rest: {unprotected} rows are unprotected, health says {daemon.State.Health.Unprotected}");
        }
        int descriptors = machine.Descriptors.Count() - owned.Length;
        if (descriptors != 6)
        {
            throw machine.World.Fail(
                machine, $"at rest: {descriptors} descriptors are open beside the ports instead of 6");
        }
    }

    private static bool IsProtected(Machine machine, DaemonProcess daemon, InetEndpoint local, ushort port)
    {
        if (machine.Ports.TryGetValue(port, out object? owner) && owner is TcpPort)
        {
            return true;
        }
        int slot = daemon.Mapper.Mappings.FindExactLocal(local);
        return slot >= 0 && daemon.Mapper.Mappings[slot].State == MappingState.Unprotected;
    }

    /// <summary>The kernel replayed more than fits, and the daemon said so: a known limit.</summary>
    private static bool LacksRows(DaemonProcess daemon) =>
        daemon.Mapper.Mappings.Count == daemon.Mapper.Mappings.Capacity
            && daemon.State.Counters[(int)Counter.TableFull] > 0;

    private static bool IsWell(Machine machine, DaemonProcess daemon)
    {
        foreach (LossRow loss in (ReadOnlySpan<LossRow>)daemon.State.Health.Losses)
        {
            if (loss.IsRecent(machine.BootTime))
            {
                return false;
            }
        }
        return daemon.IsReady;
    }
}

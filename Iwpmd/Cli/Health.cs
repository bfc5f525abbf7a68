// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.Daemon;
using Iwpmd.Os;
using Iwpmd.State;
using Iwpmd.Wire;

namespace Iwpmd.Cli;

internal enum Severity
{
    Healthy,
    Degraded,
    NotRunning,

    /// <summary>Only root can tell.</summary>
    Unknown,
}

/// <summary>Who has the port mappers' UDP port, as far as can be seen.</summary>
/// <param name="IsKept">The service manager alone has it, for the next start.</param>
internal readonly record struct PortOwner(bool IsBound, int ProcessId, string Name, bool IsKept = false)
{
    /// <summary>A daemon, be it ours or rdma-core's.</summary>
    public bool IsPortMapper => Name == "iwpmd";

    public static PortOwner Find()
    {
        bool isBound = ProcessList.TryFindUdpOwner(PortMapper.Port, out int process);
        string name = ProcessList.NameOf(process);
        bool isKept = process == 1 && name == "systemd";
        return isKept ? new PortOwner(false, 0, "", IsKept: true) : new PortOwner(isBound, process, name);
    }
}

/// <summary>
/// How port mapping is on this host, in a plain sentence, and what is wrong with it, each with the remedy. Of two
/// states of one kind the sentence is the same: scripts may look for its first word.
/// </summary>
internal sealed record Health(Severity Severity, string Sentence, string[] Problems)
{
    private const double NearlyFull = 0.95;

    public int ExitStatus => Severity switch
    {
        Severity.Healthy => Daemon.ExitStatus.Healthy,
        Severity.Degraded => Daemon.ExitStatus.Degraded,
        Severity.Unknown => Daemon.ExitStatus.NotPermitted,
        _ => Daemon.ExitStatus.NotRunning,
    };

    /// <summary>"healthy", "degraded", "not_running" or "unknown".</summary>
    public string Name => Severity switch
    {
        Severity.Healthy => "healthy",
        Severity.Degraded => "degraded",
        Severity.Unknown => "unknown",
        _ => "not_running",
    };

    public static Health Of(StateReading reading) =>
        Of(reading, reading.IsDaemonThere ? default : Surroundings.Find());

    public static Health Of(StateReading reading, Surroundings around)
    {
        if (!reading.IsDaemonThere)
        {
            return OfAbsent(reading, around);
        }
        StateSnapshot state = reading.State!;
        string[] problems = Find(reading, state);
        return problems.Length == 0
            ? new Health(
                Severity.Healthy,
                $"serving: {Kernel(state)}, {Format.Count(state.Mappings.Length, "mapping")}"
                    + Configuration(state) + LastFallback(state, reading.Now),
                problems)
            : new Health(Severity.Degraded, $"degraded: {problems[0]}", problems);
    }

    /// <summary>Ports of the range, without those that were kept; none when the daemon is gone.</summary>
    public static int PortsUsed(StateReading reading)
    {
        int used = 0;
        foreach (ref readonly MappingRow row in reading.IsDaemonThere ? reading.State!.Mappings : [])
        {
            used += row.State is MappingState.Held or MappingState.Unprotected && !row.IsKept ? 1 : 0;
        }
        return used;
    }

    public static int PortsInAll(in HealthRow health) =>
        health.HighestPort == 0 ? 0 : health.HighestPort - health.LowestPort + 1;

    /// <summary>
    /// What users lost through this host within the last minute, and why: the first one is in the sentence.
    /// </summary>
    private static void AddLosses(List<string> problems, in HealthRow health, TimeSpan now)
    {
        foreach (LossWords words in LossWords.All)
        {
            LossRow loss = health.Losses[(int)words.Cause];
            if (loss.IsRecent(now))
            {
                string since = loss.Count == 1
                    ? ""
                    : $" in {Format.Duration(StateTime.Since(loss.Since, now))}, the last";
                problems.Add(
                    $"{words.Describe(loss.Count)}{since} {Format.Duration(StateTime.Since(loss.LastAt, now))} ago: "
                        + $"{words.Reason}: {words.Remedy}");
            }
        }
    }

    private static Health OfAbsent(StateReading reading, Surroundings around)
    {
        PortOwner owner = around.Owner;
        if (reading.Condition == DaemonCondition.NotPermitted)
        {
            string advice = $"{reading.Problem}: {Finding.AsRoot}";
            return new Health(Severity.Unknown, $"unknown: {advice}", [advice]);
        }
        bool isOfAnother = owner is { IsBound: true, IsPortMapper: true } && reading.ProcessId == 0;
        if (reading.Condition == DaemonCondition.Unreadable && !isOfAnother)
        {
            string fault = reading.ProcessId != 0
                ? $"the daemon runs, but its state cannot be read: {reading.Problem}"
                : $"the state cannot be read: {reading.Problem}";
            return new Health(Severity.Degraded, $"unknown: {fault}", [fault]);
        }
        if (owner.IsBound)
        {
            string holder = owner.ProcessId == 0 ? "a process that is hidden (see ss -ulpn)"
                : $"process {owner.ProcessId} ({owner.Name})";
            string fault = owner.IsPortMapper
                ? $"process {owner.ProcessId} (iwpmd) has UDP port {PortMapper.Port}, but keeps no state here: it "
                    + "is rdma-core's (stop it, and start this one), has another state_dir (-c), or could not write "
                    + "to it (see its log)"
                : $"UDP port {PortMapper.Port} is in use by {holder}: stop it, and start iwpmd";
            return new Health(Severity.Degraded, $"degraded: {fault}", [fault]);
        }
        string gone = Gone(reading, owner);
        bool hasFailed = reading.State is { Health.Kernel: HandshakeState.Unusable or HandshakeState.Unanswered }
            && !owner.IsKept && reading.Condition == DaemonCondition.Stopped;
        string problem = hasFailed ? $"{gone} without a handshake with the kernel: its log says why"
            : around.HasDevice ? $"{gone}: {around.Start}"
            : $"{gone}: you do not need iwpmd, since this host has no iWARP device";
        return new Health(Severity.NotRunning, $"not running: {problem}", [problem]);
    }

    private static string Gone(StateReading reading, PortOwner owner)
    {
        if (reading.State is not StateSnapshot state)
        {
            return reading.Problem!;
        }
        string left = owner.IsKept
            ? "; the service manager keeps its sockets for the next start, after a clean stop those of its ports too"
            : state.Mappings.Length == 0 ? ""
            : $"; the ports of its {Format.Count(state.Mappings.Length, "mapping")} are free for other programs "
                + "until it is started again";
        return reading.Condition == DaemonCondition.Stopped
            ? $"stopped {Format.Duration(StateTime.Since(state.Header.EndedAt, reading.Now))} ago{left}"
            : $"process {state.Header.ProcessId} crashed; last heartbeat {Format.Duration(reading.SinceHeartbeat)} "
                + $"ago{left}";
    }

    private static string[] Find(StateReading reading, StateSnapshot state)
    {
        List<string> problems = [];
        HealthRow health = state.Health;
        int mappings =
            state.Mappings.Length, used = PortsUsed(reading), ports = PortsInAll(health) - (int)health.ReservedPorts;
        if (reading.Condition == DaemonCondition.Starting)
        {
            return [$"process {reading.ProcessId} is starting: look again in a moment"];
        }
        if (reading.Condition == DaemonCondition.Hung)
        {
            problems.Add(
                $"hung: no heartbeat of process {reading.ProcessId} for {Format.Duration(reading.SinceHeartbeat)}: "
                    + "it is suspended or the host is overloaded: resume it (kill -CONT), or restart it");
        }
        else if (health.Kernel != HandshakeState.Ready)
        {
            problems.Add(health.Kernel is HandshakeState.HelloSent or HandshakeState.MapInfoSent
                ? "the kernel has not yet replayed its mappings: if this persists, see dmesg"
                : health.Kernel == HandshakeState.Unanswered ? "the kernel did not answer HELLO, which is sent "
                    + "again every 10 s: if this persists, see dmesg"
                : "no handshake with the kernel: run iwpmd doctor");
        }
        if (health.Unprotected > 0)
        {
            problems.Add(
                $"{health.Unprotected} of {Format.Count(mappings, "mapping")} unprotected: other programs have "
                    + "their TCP ports (iwpmd mappings names them): stop those programs");
        }
        AddLosses(problems, health, reading.Now);
        if (ports > 0 && used >= NearlyFull * ports)
        {
            problems.Add($"{used} of {ports} TCP ports are in use: widen port_range");
        }
        if (mappings >= NearlyFull * state.Capacity)
        {
            problems.Add($"{mappings} of {state.Capacity} rows are in use: raise max_mappings");
        }
        if (state.Unreadable > 0)
        {
            problems.Add(
                $"{Format.Count(state.Unreadable, "row")} of the state cannot be read: if this persists, restart "
                    + "the daemon");
        }
        return [.. problems];
    }

    private static string Kernel(StateSnapshot state)
    {
        List<string> clients = [];
        foreach (ref readonly ClientRow client in state.Clients)
        {
            if (client.IsRegistered)
            {
                clients.Add($"ABI {client.Abi}, device {client.Device}");
            }
        }
        return clients.Count > 0 ? $"kernel registered ({string.Join("; ", clients)})"
            : state.Mappings.Length > 0 || state.Counter(Counter.Adds) + state.Counter(Counter.Queries) > 0
                ? "kernel ready"
            : "kernel ready (no RDMA program has asked yet)";
    }

    private static string Configuration(StateSnapshot state) => state.Health.ConfigurationFaults == 0
        ? ""
        : $", {Format.Count((int)state.Health.ConfigurationFaults, "fault")} of the configuration that it read "
            + "(its log, or iwpmd doctor)";

    private static string LastFallback(StateSnapshot state, TimeSpan now)
    {
        HealthRow health = state.Health;
        if (health.LastFallbackCause == FallbackCause.None)
        {
            return "";
        }
        FallbackCause cause = health.RememberedCause == FallbackCause.None
            ? health.LastFallbackCause
            : health.RememberedCause;
        string ago = Format.Duration(StateTime.Since(health.LastFallbackAt, now)), remedy = FallbackWords.Remedy(cause);
        return $", last fallback {ago} ago: {health.LastFallbackPeer.AddressText()} "
            + $"{FallbackWords.Describe(cause)}{(remedy.Length == 0 ? "" : ": ")}{remedy}";
    }
}

// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.Daemon;
using Iwpmd.Os;
using Iwpmd.State;
using Iwpmd.Wire;

namespace Iwpmd.Cli;

/// <summary>What the doctor asks of the daemon and of what is installed for it.</summary>
internal sealed class DaemonChecks(Configuration configuration, StateReading reading)
{
    public void AddTo(List<Finding> findings)
    {
        var around = Surroundings.Find();
        if (reading.Condition == DaemonCondition.NotPermitted)
        {
            findings.Add(Finding.Warning("daemon", reading.Problem!, Finding.AsRoot));
        }
        else
        {
            findings.AddRange(CheckDaemon(around));
            findings.Add(CheckUdp(around.Owner));
            findings.Add(CheckListeners(
                NetlinkMembers.Read(KernelProtocol.NetlinkProtocol, KernelProtocol.MulticastGroup),
                (uint)(reading.State?.Header.PortId ?? 0), around.Owner.IsPortMapper ? around.Owner.ProcessId : 0));
        }
        if (Limits.UserId == 0)
        {
            findings.Add(CheckStateFolder());
        }
        findings.Add(InstalledFile.CheckUnit());
        findings.Add(InstalledFile.CheckRule());
        if (reading is { IsDaemonThere: true, State: StateSnapshot state })
        {
            findings.AddRange(CheckPeers(state));
            findings.Add(CheckListeners(state));
            findings.AddRange(CheckClasses(state));
        }
    }

    /// <summary>A finding only where there are listeners on the wildcard that two classes of devices share.</summary>
    public static IEnumerable<Finding> CheckClasses(StateSnapshot state)
    {
        List<string> shared = [];
        foreach (ref readonly MappingRow row in state.Mappings)
        {
            if (row.IsOfTwoClasses)
            {
                shared.Add($"{row.Local} (mapped to {row.MappedPort})");
            }
        }
        return shared.Count == 0 ? []
            : [Finding.Warning(
                "wildcards",
                $"{Some(shared)} belongs to a device with mapped ports and to one without: peers reach only the one "
                    + "that listened first",
                "listen on addresses, not on the wildcard")];
    }

    private IEnumerable<Finding> CheckDaemon(Surroundings around)
    {
        Health health = Health.Of(reading, around);
        return health.Severity == Severity.Healthy
            ? [Finding.Ok("daemon", health.Sentence)]
            : Array.ConvertAll(health.Problems, OfProblem);
    }

    private static Finding OfProblem(string problem)
    {
        int remedy = problem.LastIndexOf(": ", StringComparison.Ordinal);
        return remedy < 0
            ? Finding.Failure("daemon", problem, "")
            : Finding.Failure("daemon", problem[..remedy], problem[(remedy + 2)..]);
    }

    private Finding CheckUdp(PortOwner owner)
    {
        string whose = owner.ProcessId == 0 ? "a hidden process" : $"process {owner.ProcessId} ({owner.Name})";
        return !owner.IsBound ? reading.IsDaemonThere
                ? Finding.Failure(
                    "udp", $"UDP port {PortMapper.Port} is not bound here, though the daemon runs",
                    "it is in another network namespace: restart it in this one, or run this there")
                : Finding.Ok("udp", $"UDP port {PortMapper.Port} is free for the daemon")
            : reading.IsDaemonThere && (owner.ProcessId == reading.ProcessId || owner.ProcessId == 0)
                ? Finding.Ok("udp", $"UDP port {PortMapper.Port} is the daemon's")
            : owner.ProcessId == 0 && Limits.UserId != 0
                ? Finding.Warning(
                    "udp", $"UDP port {PortMapper.Port} is in use, by whom is hidden from this user",
                    Finding.AsRoot)
            : Finding.Failure(
                "udp", $"UDP port {PortMapper.Port} is in use by {whose}",
                owner.IsPortMapper ? "see the check daemon" : "stop that, and start iwpmd");
    }

    /// <param name="ours">
    /// The netlink port of the daemon, or of the previous one, whose socket the service manager may keep.
    /// </param>
    /// <param name="mapper">The process that is a daemon without a state here; 0 is none.</param>
    public static Finding CheckListeners(List<NetlinkMember> members, uint ours, int mapper = 0)
    {
        List<string> others = [];
        foreach (NetlinkMember member in members.FindAll(member => member.PortId != ours))
        {
            int process = ProcessList.FindSocketOwner(member.Inode);
            if (process == 0 || process != mapper)
            {
                others.Add(process == 0
                    ? $"netlink port {member.PortId}"
                    : $"process {process} ({ProcessList.NameOf(process)})");
            }
        }
        return others.Count == 0 ? Finding.Ok("listeners", "no other process receives the kernel's requests")
            : Finding.Warning(
                "listeners",
                $"{string.Join(", ", others)} receives the kernel's requests too, and can answer before the daemon",
                "end it, unless it is known; only the kernel could forbid it (from Linux 6.12 on any user may)");
    }

    private Finding CheckStateFolder()
    {
        string folder = configuration.StateDirectory, parent = Path.GetDirectoryName(folder) ?? "/";
        return Directory.Exists(folder)
            ? !HostSettings.MayWrite(folder)
                    ? Finding.Failure(
                        "state", $"{folder} cannot be written to", "correct its permissions, or set another state_dir")
                : reading is { IsDaemonThere: false, State: { Mappings.Length: > 0 } left }
                    ? Finding.Warning(
                        "state",
                        $"{folder}/state was left by process {left.Header.ProcessId}, with "
                            + $"{Format.Count(left.Mappings.Length, "mapping")} whose ports other programs can take",
                        "start iwpmd, which claims them again")
                : Finding.Ok("state", $"{folder} can be written to")
            : HostSettings.MayWrite(parent) ? Finding.Ok("state", $"{folder} will be made at the next start")
            : Finding.Failure(
                "state", $"{folder} cannot be made",
                $"let {parent} be a directory that can be written to, or set another state_dir");
    }

    /// <summary>
    /// Which of them a host without a port mapper does not reach, since their port is mapped to another one.
    /// </summary>
    private Finding CheckListeners(StateSnapshot state)
    {
        List<string> mapped = [], notKept = [];
        foreach (ref readonly MappingRow row in state.Mappings)
        {
            if (row.Purpose == MappingPurpose.Listening && row.State is MappingState.Held or MappingState.Unprotected
                && !row.IsKept)
            {
                (configuration.PortMapper.KeptPorts.Contains(row.Local.Port) ? notKept : mapped).Add(
                    $"{row.Local} (mapped to {row.MappedPort})");
            }
        }
        const string Who = "hosts without a port mapper (Windows, ESXi, FreeBSD) cannot reach ";
        return notKept.Count > 0
            ? Finding.Warning(
                "keep_ports",
                $"{Who}{Some(notKept)}, which keep_ports has: the port was in use when the listener was made",
                "see who has it (ss -tlnp), stop that, and restart the RDMA service")
            : Finding.Ok(
                "keep_ports",
                mapped.Count == 0
                    ? "hosts without a port mapper can reach all"
                    : $"{Who}{Some(mapped)}: set keep_ports for those that they must reach");
    }

    private static string Some(List<string> names) =>
        string.Join(", ", names.Take(5)) + (names.Count > 5 ? $" and {names.Count - 5} more" : "");

    /// <summary>Of the hosts that did not answer one finding a cause, since each has its remedy.</summary>
    private static IEnumerable<Finding> CheckPeers(StateSnapshot state)
    {
        Dictionary<FallbackCause, List<string>> silent = [];
        foreach (ref readonly PeerRow peer in state.Peers)
        {
            if (peer.UnreachableUntil != TimeSpan.Zero) // an answer makes it zero again
            {
                FallbackCause cause =
                    peer.LastCause == FallbackCause.None ? FallbackCause.NoAnswer : peer.LastCause;
                silent.TryAdd(cause, []);
                silent[cause].Add(peer.Address.AddressText());
            }
        }
        return state.Peers.Length == 0 ? [Finding.Ok("peers", "no host has been asked yet")]
            : silent.Count == 0
                ? [Finding.Ok(
                    "peers", $"{Format.Count(state.Peers.Length, "host")} asked, and each answered the last time")]
            : silent.Select(pair => Finding.Warning(
                "peers",
                $"{pair.Value[0]} {FallbackWords.Describe(pair.Key)}"
                    + (pair.Value.Count == 1 ? "" : $"; likewise {Some(pair.Value[1..])}"),
                $"{FallbackWords.Remedy(pair.Key)}; iwpmd ping HOST shows whether it helped"));
    }
}

// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.Daemon;
using Iwpmd.Os;
using Iwpmd.Wire;

namespace Iwpmd.Cli;

/// <summary>What the doctor asks of the host: the kernel, its limits, its ports, its firewall.</summary>
internal sealed class HostChecks(Configuration configuration, StateReading reading)
{
    /// <summary>The check without which no other one matters.</summary>
    public const string Devices = "devices";

    private const int NetAdmin = 12; // the capability's number
    private const double NearlyFull = 0.9;
    private const int FewPorts = 1000;

    private static readonly string[] FirewallTools = ["/usr/sbin/nft", "/sbin/nft"];

    private readonly HostSettings _host = new();

    private PortRange HostRange => _host.TryReadPortRange(out PortRange range) ? range : HostSettings.DefaultPortRange;

    private PortRange Range => configuration.PortRange ?? HostRange;

    public void AddTo(List<Finding> findings)
    {
        if (!_host.TryReadBootId(out _))
        {
            findings.Add(Finding.Failure("proc", "/proc is not mounted: most of the checks depend on it", "mount it"));
        }
        findings.Add(CheckDevices());
        findings.Add(CheckModules());
        findings.Add(CheckNetlink());
        findings.Add(CheckNamespace());
        findings.Add(CheckPorts());
        findings.Add(CheckDescriptors());
        if (Limits.UserId == 0) // what the daemon may is not what this user may
        {
            findings.Add(CheckBuffer());
        }
        findings.AddRange(CheckFirewall());
    }

    private Finding CheckModules() => _host.HasIwCm
        ? Finding.Ok("modules", "iw_cm is loaded")
        : Finding.Failure(
            "modules", "iw_cm is not loaded: the kernel asks no port mapper",
            "modprobe iw_cm, or connect a device whose driver loads it");

    private static Finding CheckNetlink()
    {
        Errno error = NetlinkSocket.Probe(KernelProtocol.NetlinkProtocol);
        return error == Errno.None ? Finding.Ok("netlink", "the kernel has NETLINK_RDMA")
            : Finding.Failure(
                "netlink", $"NETLINK_RDMA is not available: {error.Text()}", "load ib_core and iw_cm (modprobe iw_cm)");
    }

    private Finding CheckNamespace() =>
        _host.HasIwCmInThisNamespace ? Finding.Ok("namespace", "this is the initial network namespace")
        : _host.HasIwCm || ProcessList.IsInFirstNetwork == false
            ? Finding.Failure(
                "namespace", "this is not the initial network namespace, the only one with RDMA port mapping",
                "run this, and iwpmd, in the host's (containers: --network host)")
        : ProcessList.IsInFirstNetwork is null
            ? Finding.Warning(
                "namespace", "whether this is the initial network namespace is known only when iw_cm is loaded",
                "load it")
        : Finding.Ok("namespace", "this is the network namespace of process 1");

    private static Finding CheckDevices()
    {
        RdmaDevice[] devices = RdmaDevices.Read();
        return devices.Length > 0
            ? Finding.Ok(Devices, string.Join(", ", devices.Select(device => device.NameAndDriver)))
            : Finding.Warning(
                Devices, "there is no iWARP device",
                "you do not need iwpmd; if there should be one, load its driver, or: rdma link add siw0 type siw "
                    + "netdev ETHERNET");
    }

    private Finding CheckPorts()
    {
        bool isConfigured = configuration.PortRange is not null;
        bool isKnown = _host.TryReadPortRange(out _);
        PortRange range = Range;
        _ = _host.TryReadReservedPorts(out PortRange[] reserved);
        int all = range.Count, taken = 0;
        foreach (PortRange one in reserved)
        {
            taken += Math.Max(0, Math.Min(one.High, range.High) - Math.Max(one.Low, range.Low) + 1);
        }
        int used = Health.PortsUsed(reading);
        string mapped = reading.IsUnknown ? "" : $", {used} mapped";
        string text =
            $"{range.Low} to {range.High}{(isConfigured || isKnown ? "" : " (assumed)")}: {all} ports, {taken} "
                + $"reserved{mapped}";
        string remedy = isConfigured ? "widen port_range" : "widen net.ipv4.ip_local_port_range, or set port_range";
        int usable = isConfigured ? all : all - taken; // a range of our own may be reserved for us
        return usable <= 0 || used >= NearlyFull * usable ? Finding.Failure("ports", text, remedy)
            : usable < Math.Min(FewPorts, configuration.MaxMappings) ? Finding.Warning("ports", text, remedy)
            : Finding.Ok("ports", text);
    }

    private Finding CheckDescriptors()
    {
        long ofUnit = InstalledFile.DescriptorLimit();
        int wanted = configuration.PortsAtMost(Range);
        long ofShell = ProcessList.HardDescriptorLimit(Environment.ProcessId); // to which a daemon raises its own
        (string whose, long limit) =
            reading.IsDaemonThere ? ("the daemon", ProcessList.DescriptorLimit(reading.ProcessId))
            : ofUnit != 0 ? ("the daemon of the unit", ofUnit)
            : ("a daemon started from here", ofShell);
        return limit == 0 ? Finding.Warning("descriptors", $"the limit of {whose} cannot be read", Finding.AsRoot)
            : limit >= wanted ? Finding.Ok("descriptors", $"{whose} may have {limit}")
            : Finding.Warning(
                "descriptors", $"{whose} may have {limit}, and each of {wanted} ports needs one",
                "raise LimitNOFILE (ulimit -n), or narrow port_range");
    }

    private Finding CheckBuffer()
    {
        int wanted = configuration.NetlinkBufferBytes, limit = _host.MaxReceiveBuffer;
        bool isAdmin = reading.IsDaemonThere
            ? ProcessList.CouldHaveCapability(reading.ProcessId, NetAdmin)
            : ProcessList.HasCapability(Environment.ProcessId, NetAdmin);
        return isAdmin || limit >= wanted
            ? Finding.Ok("buffer", $"{wanted} bytes for requests of the kernel are available")
            : Finding.Warning(
                "buffer", $"only {limit} of {wanted} bytes for requests of the kernel are available",
                "grant CAP_NET_ADMIN, or raise net.core.rmem_max");
    }

    private IEnumerable<Finding> CheckFirewall()
    {
        string ruleset = "";
        bool isRead = false, isThere = Array.Exists(FirewallTools, File.Exists);
        foreach (string tool in FirewallTools)
        {
            isRead = isRead
                || (Subprocess.TryRun([tool, "-n", "list", "ruleset"], out ruleset, out bool isGood) == Errno.None
                    && isGood);
        }
        if (!isRead)
        {
            return
            [
                Finding.Warning(
                    "firewall",
                    !isThere ? "its rules cannot be read, since there is no /usr/sbin/nft"
                        : Limits.UserId != 0 ? "its rules are for root only"
                        : "its rules cannot be read: nft list ruleset fails",
                    $"allow UDP port {PortMapper.Port} in and out"),
            ];
        }
        return FirewallChecks.Judge(ruleset, RdmaDevices.Read(), HostRange, Range, reading.State);
    }
}

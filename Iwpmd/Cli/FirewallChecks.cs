// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.Os;
using Iwpmd.State;

namespace Iwpmd.Cli;

/// <summary>
/// What the doctor asks of the host's firewall: each way of the port mappers' datagrams, and of the RDMA connections
/// where the kernel's TCP makes them.
/// </summary>
internal sealed class FirewallChecks(FirewallRules rules)
{
    private const string Check = "firewall", Udp = "udp", Tcp = "tcp";

    private static readonly PortRange s_any = new(1, ushort.MaxValue), s_mapper = new(PortMapper.Port, PortMapper.Port);
    private static readonly string[] s_in = ["prerouting", "input"], s_out = ["output"];

    private static readonly string s_port = $"UDP port {PortMapper.Port}";

    private readonly List<Finding> _faults = [];

    /// <param name="ofHost">From which kernels choose the ports of Requests.</param>
    /// <param name="mapped">To which TCP ports are mapped.</param>
    public static List<Finding> Judge(
        string ruleset, RdmaDevice[] devices, PortRange ofHost, PortRange mapped, StateSnapshot? state)
    {
        var checks = new FirewallChecks(new FirewallRules(ruleset));
        checks.JudgeDatagrams(ofHost);
        // Those of adapters do not pass the kernel; erdma takes them over from it, an unknown driver may.
        RdmaDevice[] adapters = Array.FindAll(devices, device => device.Driver is not ("siw" or "erdma" or ""));
        bool isTcpJudged = adapters.Length < devices.Length;
        if (isTcpJudged)
        {
            checks.JudgeConnections(state, adapters.Length > 0);
        }
        List<Finding> findings = checks._faults;
        if (findings.Count == 0)
        {
            bool isOtherAnswerDropped =
                checks.Judge(s_in, new Packets(Udp, s_mapper, ofHost), out _) == FirewallVerdict.Dropped;
            findings.Add(Finding.Ok(
                Check,
                $"no rule of this host keeps {s_port}{(isTcpJudged ? " or TCP" : "")} out"
                    + (isOtherAnswerDropped ? ", but answers from another address than the asked one" : "")));
        }
        if (adapters.Length > 0)
        {
            findings.Add(Finding.Ok(
                Check,
                $"TCP ports {mapped.Low} to {mapped.High} of {adapters[0].NameAndDriver} pass no rule of this host: "
                    + "open them in firewalls between the hosts"));
        }
        return findings;
    }

    private void JudgeDatagrams(PortRange ofHost)
    {
        string toPort = $"udp dport {PortMapper.Port} accept", fromPort = $"udp sport {PortMapper.Port} accept";
        Report(s_in, new Packets(Udp, s_any, s_mapper), $"{s_port} is", "in", toPort);
        Report(s_out, new Packets(Udp, ofHost, s_mapper), $"{s_port} is", "out", toPort);
        var answers = new Packets(Udp, s_mapper, ofHost, IsAnswer: true);
        Report(s_in, answers, $"answers from {s_port} are", "in", fromPort);
        Report(s_out, answers, $"answers from {s_port} are", "out", fromPort);
    }

    private void JudgeConnections(StateSnapshot? state, bool hasAdapter)
    {
        var all = new Packets(Tcp, s_any, s_any);
        SortedSet<ushort> listening = [];
        foreach (ref readonly MappingRow row in state is null ? [] : state.Mappings)
        {
            bool isKernels = row.State == MappingState.Advertised || (row.State == MappingState.Held && !hasAdapter);
            if (row.Purpose == MappingPurpose.Listening && isKernels)
            {
                listening.Add(row.MappedPort);
            }
        }
        if (listening.Count == 0 && Judge(s_in, all, out string by) != FirewallVerdict.Passes)
        {
            _faults.Add(Finding.Warning(
                Check, $"TCP is not let in from all hosts to all ports ({by})",
                "make sure that it is to the ports on which RDMA programs will listen"));
        }
        foreach (ushort port in listening)
        {
            Report(
                s_in, all with { Target = new PortRange(port, port) }, $"TCP port {port} of an RDMA listener is", "in",
                $"tcp dport {port} accept");
        }
        const string Established = "ct state established accept";
        Report(s_out, all, "TCP is", "out", "meta l4proto tcp accept");
        Report(s_in, all with { IsAnswer = true }, "answers by TCP are", "in", Established);
        Report(s_out, all with { IsAnswer = true }, "answers by TCP are", "out", Established);
    }

    private void Report(string[] hooks, in Packets packets, string what, string way, string rule)
    {
        FirewallVerdict verdict = Judge(hooks, packets, out string by);
        if (verdict == FirewallVerdict.Dropped)
        {
            _faults.Add(Finding.Failure(Check, $"{what} not let {way} ({by})", $"insert a rule there: {rule}"));
        }
        else if (verdict == FirewallVerdict.Depends)
        {
            _faults.Add(Finding.Warning(
                Check, $"{what} let {way} for some hosts, ports or interfaces only ({by})",
                "make sure that all hosts with iWARP are among them"));
        }
    }

    private FirewallVerdict Judge(string[] hooks, in Packets packets, out string by)
    {
        FirewallVerdict worst = FirewallVerdict.Passes;
        by = "";
        foreach (string hook in hooks)
        {
            FirewallVerdict verdict = rules.Judge(hook, packets, out string rule);
            (worst, by) = verdict > worst ? (verdict, rule) : (worst, by);
        }
        return worst;
    }
}

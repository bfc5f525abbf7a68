// SPDX-License-Identifier: MIT
using Iwpmd.Cli;
using Iwpmd.Os;
using Iwpmd.State;
using Iwpmd.Tests.Support;
using Xunit;

namespace Iwpmd.Tests.Cli;

/// <summary>Texts as nft prints them, asked about UDP port 3935 from an unknown host.</summary>
public class FirewallRulesTests
{
    private static readonly PortRange s_any = new(1, 65535);
    private static readonly Packets s_requests = new("udp", s_any, new PortRange(3935, 3935));

    private static FirewallVerdict Judge(
        string rules, string policy = "accept", string more = "", string hook = "input") => new FirewallRules(
        "table inet filter {\n\tset hosts {\n\t\ttype ipv4_addr\n\t\telements = { 10.0.0.1,\n\t\t\t     10.0.0.2 }\n"
        + "\t}\n\n"
        + $"\tchain input {{\n\t\ttype filter hook {hook} priority filter; policy {policy};\n"
        + string.Concat(rules.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(rule => $"\t\t{rule}\n"))
        + $"\t}}\n{more}}}\n").Judge("input", s_requests, out _);

    [Theory]
    [InlineData("")]
    [InlineData("tcp dport 22 drop")]
    [InlineData("udp dport 53 drop")]
    [InlineData("udp dport { 53, 4000-5000 } counter packets 5 bytes 300 drop")]
    [InlineData("udp dport != 3935 drop")]
    [InlineData("ct state invalid drop")]
    [InlineData("iifname \"lo\" drop")]
    [InlineData("udp dport 3935 accept\nip saddr 10.0.0.0/8 drop\ndrop")]
    [InlineData("meta l4proto { tcp, icmp } reject")]
    [InlineData("udp dport vmap { 22 : drop, 3935 : accept }\ndrop")]
    [InlineData("ct state vmap { established : drop, related : drop }")]
    [InlineData("ct state 0x8,0x40 udp dport 3935 accept\ndrop")]
    [InlineData("udp sport 0 drop")]
    [InlineData("udp dport 3935 return\ndrop")]
    public void It_passes(string rules) => Assert.Equal(FirewallVerdict.Passes, Judge(rules));

    [Theory]
    [InlineData("udp dport 3935 drop")]
    [InlineData("udp dport { 53, 3000-4000 } counter packets 0 bytes 0 drop")]
    [InlineData("meta l4proto udp drop")]
    [InlineData("ip protocol 17 drop")]
    [InlineData("udp dport vmap { 22 : accept, 3935 : drop }")]
    [InlineData("ct state 0x2,0x4 accept\ndrop")]
    [InlineData("ct state vmap { established : accept, related : accept }\ndrop")]
    [InlineData("iif != \"lo\" udp dport 3935 log prefix \"no accept \" level info reject with icmp port-unreachable")]
    [InlineData(
        "ct state established,related accept\niif \"lo\" accept\ntcp dport 22 accept\n"
            + "counter packets 1 bytes 2 comment \"the rest: accept\" drop")]
    public void It_is_dropped(string rules) => Assert.Equal(FirewallVerdict.Dropped, Judge(rules));

    [Theory]
    [InlineData("ip saddr @hosts udp dport 3935 accept\ndrop")]
    [InlineData("iifname \"eth1\" drop")]
    [InlineData("udp dport 3935 limit rate 5/second accept\ndrop")]
    [InlineData("udp dport @closed drop")]
    [InlineData("udp sport 3935 accept\ndrop")]
    [InlineData("ip protocol . th dport { tcp . 22, udp . 3935 } accept\ndrop")]
    [InlineData("ip saddr vmap @verdicts\ndrop")]
    [InlineData("ct state vmap @verdicts\ndrop")]
    public void It_depends(string rules) => Assert.Equal(FirewallVerdict.Depends, Judge(rules));

    [Fact]
    public void The_policy_decides_in_the_end()
    {
        Assert.Equal(
            FirewallVerdict.Dropped, Judge("ct state established,related accept\ntcp dport 22 accept", "drop"));
        Assert.Equal(FirewallVerdict.Passes, Judge("udp dport 3935 accept", "drop"));
        Assert.Equal(FirewallVerdict.Depends, Judge("ip saddr 10.0.0.0/8 accept", "drop"));
        Assert.Equal(FirewallVerdict.Passes, Judge("", "drop", hook: "forward"));
    }

    [Fact]
    public void Other_chains_are_followed()
    {
        const string Chains =
            "\tchain services {\n\t\tudp dport 3935 drop\n\t}\n\tchain open {\n\t\tudp dport 3935 accept\n\t}\n";

        Assert.Equal(FirewallVerdict.Dropped, Judge("jump services", more: Chains));
        Assert.Equal(FirewallVerdict.Passes, Judge("jump open", "drop", Chains));
        Assert.Equal(FirewallVerdict.Depends, Judge("ip saddr 10.0.0.1 jump services", more: Chains));
        Assert.Equal(FirewallVerdict.Dropped, Judge("goto nowhere", "drop", Chains));
    }

    [Fact]
    public void What_does_it_is_told()
    {
        new FirewallRules(
            "table ip filter {\n\tchain INPUT {\n\t\ttype filter hook input priority filter; policy accept;\n"
                + "\t\tudp dport 3935 drop\n\t}\n}\n").Judge("input", s_requests, out string rule);
        Assert.Equal("table ip filter, chain INPUT: udp dport 3935 drop", rule);
    }

    private static string[] Findings(string rules, StateSnapshot? state = null, params string[] drivers)
    {
        string ruleset = string.Concat(((string[])["input", "output"]).Select(hook =>
            $"table inet t {{\n\tchain {hook} {{\n\t\ttype filter hook {hook} priority filter; policy drop;\n"
            + string.Concat(rules.Split(';').Select(rule => $"\t\t{rule.Trim()}\n")) + "\t}\n}\n"));
        RdmaDevice[] devices = [.. drivers.Select(driver => new RdmaDevice("dev0", driver, "", []))];
        return [.. FirewallChecks.Judge(
            ruleset, devices, new PortRange(32768, 60999), new PortRange(40000, 49999), state).Select(
                found => $"{found.ResultText} {found.Text}: {found.Remedy}")];
    }

    [Fact]
    public void A_rule_for_requests_alone_lets_no_answer_pass() => Assert.Equal(
        [
            "failure answers from UDP port 3935 are not let in (table inet t, chain input: policy drop): insert a "
                + "rule there: udp sport 3935 accept",
            "failure answers from UDP port 3935 are not let out (table inet t, chain output: policy drop): insert a "
                + "rule there: udp sport 3935 accept",
        ],
        Findings("udp dport 3935 accept"));

    [Theory]
    [InlineData(
        "udp dport 3935 accept; ct state 0x2,0x4 accept",
        "ok no rule of this host keeps UDP port 3935 out, but answers from another address than the asked one: ")]
    [InlineData(
        "udp dport 3935 accept; ct state vmap { established : accept, invalid : drop }; udp sport 3935 accept",
        "ok no rule of this host keeps UDP port 3935 out: ")]
    [InlineData(
        "udp dport 3935 accept; udp sport 3935 udp dport 32768-60999 accept; ct state established accept",
        "ok no rule of this host keeps UDP port 3935 out: ")]
    [InlineData(
        "udp dport 3935 accept; udp sport 3935 udp dport 50000-60999 accept",
        "warning answers from UDP port 3935 are let in for some hosts, ports or interfaces only (table inet t, chain "
            + "input: udp sport 3935 udp dport 50000-60999 accept): make sure that all hosts with iWARP are among "
            + "them")]
    public void Answers_have_a_way_of_their_own(string rules, string first) =>
        Assert.Equal(first, Findings(rules)[0]);

    private const string Mapper = "udp dport 3935 accept; udp sport 3935 accept; ";

    [Fact]
    public void Tcp_is_judged_where_a_device_uses_the_kernels()
    {
        string[] closed = Findings(Mapper, null, "siw");
        Assert.Equal(
            "warning TCP is not let in from all hosts to all ports (table inet t, chain input: policy drop): make sure "
                + "that it is to the ports on which RDMA programs will listen",
            closed[0]);
        Assert.StartsWith("failure TCP is not let out (", closed[1]);
        Assert.StartsWith("failure answers by TCP are not let in (", closed[2]);
        Assert.Equal(
            ["ok no rule of this host keeps UDP port 3935 or TCP out: "],
            Findings(Mapper + "meta l4proto tcp accept", null, "siw"));
        Assert.Equal(
            [
                "ok no rule of this host keeps UDP port 3935 out: ",
                "ok TCP ports 40000 to 49999 of dev0 (ice) pass no rule of this host: open them in firewalls between "
                    + "the hosts: ",
            ],
            Findings(Mapper, null, "ice"));
    }

    [Fact]
    public void The_ports_of_listeners_are_judged_each()
    {
        var world = new World();
        world.Add("10.0.0.1:5000", flags: 1);
        world.Add("10.0.0.1:5001", flags: 1);
        StateSnapshot state = Stage.Read(world).State!;

        Assert.Equal(
            ["ok no rule of this host keeps UDP port 3935 or TCP out: "],
            Findings(Mapper + "tcp dport 1-65535 accept", state, "siw"));
        Assert.Equal(
            "failure TCP port 5001 of an RDMA listener is not let in (table inet t, chain input: policy drop): insert "
                + "a rule there: tcp dport 5001 accept",
            Findings(Mapper + "tcp dport 5000 accept; ct state established accept", state, "siw")[0]);
    }
}

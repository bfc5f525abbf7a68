// SPDX-License-Identifier: MIT
using Iwpmd.Cli;
using Xunit;

namespace Iwpmd.Tests.Cli;

/// <summary>Texts as nft prints them, asked about UDP port 3935 from an unknown host.</summary>
public class FirewallRulesTests
{
    private static FirewallVerdict Judge(
        string rules, string policy = "accept", string more = "", string hook = "input") => FirewallRules.Judge(
        "table inet filter {\n\tset hosts {\n\t\ttype ipv4_addr\n\t\telements = { 10.0.0.1,\n\t\t\t     10.0.0.2 }\n"
        + "\t}\n\n"
        + $"\tchain input {{\n\t\ttype filter hook {hook} priority filter; policy {policy};\n"
        + string.Concat(rules.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(rule => $"\t\t{rule}\n"))
        + $"\t}}\n{more}}}\n",
        "input", 3935, out _);

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
    [InlineData("udp dport 3935 return\ndrop")]
    public void It_passes(string rules) => Assert.Equal(FirewallVerdict.Passes, Judge(rules));

    [Theory]
    [InlineData("udp dport 3935 drop")]
    [InlineData("udp dport { 53, 3000-4000 } counter packets 0 bytes 0 drop")]
    [InlineData("meta l4proto udp drop")]
    [InlineData("ip protocol 17 drop")]
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
        FirewallRules.Judge(
            "table ip filter {\n\tchain INPUT {\n\t\ttype filter hook input priority filter; policy accept;\n"
                + "\t\tudp dport 3935 drop\n\t}\n}\n",
            "input", 3935, out string rule);
        Assert.Equal("table ip filter, chain INPUT: udp dport 3935 drop", rule);
    }
}

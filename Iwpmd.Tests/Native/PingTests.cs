// SPDX-License-Identifier: MIT
using Iwpmd.Tests.Support;
using Xunit;

namespace Iwpmd.Tests.Native;

/// <summary>
/// <c>iwpmd ping</c> from one host to the port mapper of another, which is ours, rdma-core's, silent, or none.
/// </summary>
public sealed class PingTests : IDisposable
{
    private readonly Host _near, _far;
    private readonly SimulatedKernel _kernel = new() { IsForgiving = true };

    public PingTests() => (_near, _far) = Host.Pair();

    public void Dispose()
    {
        _kernel.Dispose();
        _near.Dispose();
        _far.Dispose();
    }

    [Theory]
    [InlineData("10.0.0.2")]
    [InlineData("fd00::2")]
    public void Ours_answers_over_both_families(string address)
    {
        using var daemon = DaemonProcess.Foreground(_far, _kernel);
        daemon.ExpectLog("daemon: ready");
        CommandResult result = Command.Run(_near, "ping", address, "-c", "2");

        Assert.True(result.Status == 0, result.ToString());
        Assert.Matches(
            @$"^asking the port mapper of {address}\n1: answered, [\d.]+ ms\n2: answered, [\d.]+ ms\n"
                + @"2 asked, 2 answered; round trip best [\d.]+ ms, median [\d.]+ ms, worst [\d.]+ ms\n$",
            result.Output);
    }

    [Theory]
    [InlineData("10.0.0.2", "")]
    [InlineData("10.0.0.5", @" \(from 10\.0\.0\.2, which a daemon with answers_from=asked drops\)")]
    public void The_daemon_of_rdma_core_answers_too_and_another_source_is_told(string address, string source)
    {
        using var daemon = DaemonProcess.C(_far, _kernel);
        _kernel.Expect(Iwpmd.Wire.KernelReplyKind.MapInfo);
        CommandResult result = Command.Run(_near, "ping", address, "-c", "1");

        Assert.True(result.Status == 0, result.ToString());
        Assert.Matches(@"\n1: answered, [\d.]+ ms" + source + "\n", result.Output);
    }

    [Fact]
    public void A_link_local_address_needs_its_interface()
    {
        CommandResult result = Command.Run(_near, "ping", "fe80::1");
        Assert.Equal(
            (1, "", "iwpmd: fe80::1 is a link-local address: say the interface too: fe80::1%INTERFACE\n"),
            (result.Status, result.Output, result.Errors));
        Assert.StartsWith(
            "asking the port mapper of fe80::1%", Command.Run(_near, "ping", "fe80::1%eth0", "-c", "1").Output);
    }

    [Fact]
    public void A_port_can_be_asked_for()
    {
        using var daemon = DaemonProcess.Foreground(_far, _kernel);
        daemon.ExpectLog("daemon: ready");
        ushort mapped = _kernel.Expect(
            Iwpmd.Wire.KernelReplyKind.AddMapping, _kernel.Send(Scene.Add("10.0.0.2:7001"))).MappedLocal.Port;

        Assert.Contains(
            $"\n1: port 7001 is mapped to {mapped}, ",
            Command.Run(_near, "ping", "10.0.0.2", "-c", "1", "-p", "7001").Output);
        Assert.Contains(
            "\n1: port 7002 is not mapped, ", Command.Run(_near, "ping", "10.0.0.2", "-c", "1", "-p", "7002").Output);
        daemon.ExpectLog("peer: Ack from 10.0.0.1"); // so that rdma-core's would not repeat itself
    }

    [Fact]
    public void Requests_by_another_interface_than_the_configured_are_dropped_counted_and_logged()
    {
        _far.Write("/etc/iwpmd.conf", "interface=lo, eth7\n");
        using var daemon = DaemonProcess.Foreground(_far, _kernel);
        Assert.Contains("warn:", daemon.ExpectLog("/etc/iwpmd.conf:1: there is no network interface 'eth7'"));
        daemon.ExpectLog("daemon: ready");

        Assert.Equal(1, Command.Run(_near, "ping", "10.0.0.2", "-c", "1").Status);
        daemon.ExpectLog("access list 1)");
        Assert.Contains(
            ", 1 fault of the configuration that it read (its log, or iwpmd doctor)",
            Command.Run(_far, "status").Output.Split('\n')[0]);
        Assert.Contains(
            "\niwpmd_peer_requests_not_served_total{reason=\"denied\"} 1\n", Command.Run(_far, "metrics").Output);
    }

    [Fact]
    public void A_host_without_one_says_so_by_ICMP()
    {
        CommandResult result = Command.Run(_near, "ping", "10.0.0.2", "-c", "1");

        Assert.Equal(1, result.Status);
        Assert.Equal(
            "asking the port mapper of 10.0.0.2\n1: no port mapper (ICMP unreachable): Connection refused "
                + "(ECONNREFUSED): start iwpmd there\n1 asked, none answered\n",
            result.Output);
    }

    [Fact]
    public void A_firewall_is_suspected_when_nothing_comes_back()
    {
        _far.Run(() => Tool.Run(
            "nft", "nftables",
            "add table inet f; add chain inet f in { type filter hook input priority 0; }; add rule inet f in udp "
                + "dport 3935 drop"));
        CommandResult result = Command.Run(_near, "ping", "10.0.0.2", "-c", "1");

        Assert.Equal(1, result.Status);
        Assert.Contains(
            "1: no answer within 1 s: a firewall drops UDP port 3935, or the host is down\n", result.Output);
    }

    [Fact]
    public void Without_a_route_it_says_what_to_do() => Assert.Equal(
        "iwpmd: 192.0.2.1: connect: Network is unreachable (ENETUNREACH): see whether the interface is up and has an "
            + "address (ip addr), or add a route (ip route)\n",
        Command.Run(_near, "ping", "192.0.2.1", "-c", "1").Errors);

    [Theory]
    [InlineData("no.such.host.invalid", 1)]
    [InlineData("", 2)]
    public void A_host_that_cannot_be_asked(string host, int status) =>
        Assert.Equal(status, Command.Run(_near, host.Length == 0 ? ["ping"] : ["ping", host, "-c", "1"]).Status);
}

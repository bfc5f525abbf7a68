// SPDX-License-Identifier: MIT
using System.Globalization;
using System.Text.Json;
using Iwpmd.Core;
using Iwpmd.State;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Native;

/// <summary>
/// Why a connection continued without the peer's port mapper: each cause as a network really shows it, and what is said
/// of it everywhere.
/// </summary>
public sealed class FallbackCauseTests : IDisposable
{
    private const string Input =
        "add table inet f; add chain inet f c { type filter hook input priority 0; }; add rule inet f c udp dport 3935 "
            + "";
    private const string Output =
        "add table inet f; add chain inet f c { type filter hook output priority 0; }; add rule inet f c udp dport "
            + "3935 ";

    private readonly Host _near, _far;
    private readonly SimulatedKernel _kernel = new(), _farKernel = new() { IsForgiving = true };

    public FallbackCauseTests() => (_near, _far) = Host.Pair();

    public void Dispose()
    {
        _kernel.Dispose();
        _farKernel.Dispose();
        _near.Dispose();
        _far.Dispose();
    }

    private static void Nft(Host host, string rules) => host.Run(() => Tool.Run("nft", "nftables", rules));

    /// <summary>
    /// Two queries to the host, the second of which it is not asked for; then everything that reports it.
    /// </summary>
    private void Shows(string name, string remote, string configuration = "")
    {
        FallbackCause cause = FallbackWords.Reasons.Single(one => FallbackWords.NameOf(one) == name);
        string local = remote.StartsWith('[') ? "[fd00::1]" : "10.0.0.1", address = remote.Trim('[', ']');
        _near.Write("/etc/iwpmd.conf", $"unreachable_memory=60000\n{configuration}");
        using var daemon = DaemonProcess.Foreground(_near, _kernel);
        daemon.ExpectLog("daemon: ready");
        for (int port = 6000; port < 6002; port++)
        {
            KernelReply answer = _kernel.Expect(
                KernelReplyKind.QueryMapping, _kernel.Send(Scene.Query($"{local}:{port}", $"{remote}:7000")));
            Assert.Equal((MappingError.None, 7000), (answer.Error, answer.MappedRemote.Port));
        }
        string log = daemon.ExpectLog($"{address} {FallbackWords.Describe(cause)}");
        Assert.EndsWith($"{FallbackWords.Remedy(cause)} (event 301)", log);
        Assert.EndsWith(
            $"{address} {FallbackWords.Describe(cause)}: {FallbackWords.Remedy(cause)}",
            Command.Run(_near, "status").Output.Split('\n')[0]);

        JsonElement status = Json("status").GetProperty("last_fallback");
        Assert.Equal(
            (address, "remembered", name),
            (Text(status, "peer"), Text(status, "cause"), Text(status, "remembered_cause")));
        JsonElement peer = Json("peers").GetProperty("peers").EnumerateArray().Single(
            row => Text(row, "address") == address);
        Assert.Equal(name, Text(peer, "cause"));
        Assert.Contains($"iwpmd_fallbacks_total{{cause=\"{name}\"}} 2\n", Command.Run(_near, "metrics").Output);
        JsonElement finding = Json("doctor").GetProperty("checks").EnumerateArray().Single(
            row => Text(row, "check") == "peers");
        Assert.Equal("warning", Text(finding, "result"));
        Assert.StartsWith($"{address} {FallbackWords.Describe(cause)}", Text(finding, "text"));
        Assert.StartsWith(FallbackWords.Remedy(cause), Text(finding, "remedy"));
    }

    private JsonElement Json(string command) =>
        JsonDocument.Parse(Command.Run(_near, command, "--json").Output).RootElement;

    private static string? Text(JsonElement element, string name) => element.GetProperty(name).GetString();

    [Theory]
    [InlineData("10.0.0.2")]
    [InlineData("[fd00::2]")]
    public void Nobody_receives_there(string remote) => Shows("unreachable", remote);

    [Theory]
    [InlineData("10.0.0.2", "icmp type net-prohibited")]
    [InlineData("10.0.0.2", "icmp type host-prohibited")]
    [InlineData("10.0.0.2", "icmp type admin-prohibited")]
    [InlineData("[fd00::2]", "icmpv6 type admin-prohibited")]
    public void A_firewall_says_that_it_is_prohibited(string remote, string with)
    {
        string family = remote.StartsWith('[') ? "ip6" : "ip";
        Nft(_far, Input.Replace("inet", family) + $"reject with {with}");
        Shows("prohibited", remote, "query_deadline=9000\n");
        Assert.Contains(
            $"it {FallbackWords.Describe(FallbackCause.Prohibited)}",
            Command.Run(_near, "ping", remote.Trim('[', ']'), "-c", "1").Output);
    }

    [Theory]
    [InlineData("10.0.0.2")]
    [InlineData("[fd00::2]")]
    public void A_rule_of_this_host_keeps_it_in(string remote)
    {
        Nft(_near, Output + "drop");
        Shows("local_rule", remote);
        Assert.Contains(
            $"not sent: Operation not permitted (EPERM): {FallbackWords.Remedy(FallbackCause.LocalRule)}",
            Command.Run(_near, "ping", remote.Trim('[', ']'), "-c", "1").Output);
    }

    [Theory]
    [InlineData("192.0.2.1")]
    [InlineData("[2001:db8::1]")]
    public void There_is_no_route_to_it(string remote) => Shows("no_route", remote);

    [Theory]
    [InlineData("10.0.0.99", 9000)]
    [InlineData("[fd00::99]", 9000)]
    public void It_is_not_on_its_network(string remote, int deadline) =>
        Shows("host_unreachable", remote, string.Create(CultureInfo.InvariantCulture, $"query_deadline={deadline}\n"));

    [Fact]
    public void It_is_silent()
    {
        Nft(_far, Input + "drop");
        Shows("no_answer", "10.0.0.2", "query_deadline=300\n");
    }

    [Fact]
    public void It_answers_from_elsewhere_and_that_is_not_wanted()
    {
        using var daemon = DaemonProcess.C(_far, _farKernel);
        _farKernel.Expect(KernelReplyKind.MapInfo);
        // rdma-core's answers from 10.0.0.2
        Shows("answer_dropped", "10.0.0.5", "answers_from=asked\nquery_deadline=1000\n");
    }
}

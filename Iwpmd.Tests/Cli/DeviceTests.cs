// SPDX-License-Identifier: MIT
using System.Text.Json;
using Iwpmd.Cli;
using Iwpmd.Os;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Cli;

/// <summary>status and metrics name every iWARP device of the host, not only the one that registered.</summary>
public class DeviceTests
{
    private static readonly RdmaDevice[] s_devices =
    [
        new("irdma0", "irdma", "ens1f0", [InetEndpoint.Parse("10.0.0.9:0"), InetEndpoint.Parse("[fd00::1]:0")]),
        new("siw0", "siw", "eth0", [InetEndpoint.Parse("10.0.0.1:0")]),
        new("siw1", "siw", "", []),
    ];

    private static string[] Lines(StateReading reading) =>
        [.. Stage.Text(new Status(() => s_devices), reading).Text.Split('\n').Where(
            line => line.StartsWith("device ", StringComparison.Ordinal))];

    [Fact]
    public void Status_has_a_line_for_each_device() => Assert.Equal(
        [
            "device     irdma0 (irdma), ens1f0: 10.0.0.9, fd00::1: "
                + "served (another device registered first), 2 mappings",
            "device     siw0 (siw), eth0: 10.0.0.1: registered, 6 mappings",
            "device     siw1 (siw), interface unknown: no address: "
                + "served (another device registered first), 0 mappings",
        ],
        Lines(Stage.Read(Stage.Busy())));

    [Fact]
    public void Without_a_registration_or_a_daemon_the_devices_are_named_all_the_same()
    {
        var fresh = new World(handshake: false);
        fresh.State.Header.StartedAt = fresh.Now;
        Assert.All(Lines(Stage.Read(fresh)), line => Assert.EndsWith(": not used yet, 0 mappings", line));
        Assert.All(Lines(Stage.Read(Stage.Busy(), DaemonCondition.Crashed)), line => Assert.EndsWith(
            ": no port mapper runs, 0 mappings", line));
        Assert.Equal(3, Lines(Stage.Missing(DaemonCondition.Absent, "x")).Length);
    }

    [Fact]
    public void What_is_unknown_is_called_so()
    {
        StateReading reading = Stage.Missing(DaemonCondition.NotPermitted, "x");
        Assert.All(Lines(reading), line => Assert.EndsWith(": whether it is served is unknown", line));
        using JsonDocument json = JsonDocument.Parse(Stage.Json(new Status(() => s_devices), reading).Text);
        JsonElement device = json.RootElement.GetProperty("devices")[0];
        Assert.Equal(JsonValueKind.Null, device.GetProperty("state").ValueKind);
        Assert.Equal(JsonValueKind.Null, device.GetProperty("mappings").ValueKind);
    }

    [Fact]
    public void Json_and_metrics_have_them_too()
    {
        using JsonDocument json = JsonDocument.Parse(
            Stage.Json(new Status(() => s_devices), Stage.Read(Stage.Busy())).Text);
        Assert.Equal(
            """{"device":"irdma0","driver":"irdma","interface":"ens1f0","addresses":["10.0.0.9","fd00::1"]"""
                + ""","state":"served","mappings":2}""",
            JsonSerializer.Serialize(json.RootElement.GetProperty("devices")[0]));
        var text = new StringWriter();
        Metrics.Write(Stage.Read(Stage.Busy()), s_devices, MetricFormat.Text, DateTime.UnixEpoch, text);
        Assert.Contains(
            "\niwpmd_device_info{device=\"siw0\",driver=\"siw\",interface=\"eth0\",state=\"registered\"} 1\n",
            text.ToString());
        Assert.Contains("\niwpmd_device_address_info{device=\"irdma0\",address=\"fd00::1\"} 1\n", text.ToString());
        Assert.Contains("\niwpmd_device_mappings{device=\"siw0\"} 6\n", text.ToString());
    }
}

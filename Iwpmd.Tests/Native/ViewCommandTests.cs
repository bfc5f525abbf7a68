// SPDX-License-Identifier: MIT
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Iwpmd.Tests.Support;
using Xunit;

namespace Iwpmd.Tests.Native;

/// <summary>
/// What the published executable reports of a daemon on the same host: one that works, and ones that are really broken.
/// </summary>
public sealed class ViewCommandTests
{
    // package util-linux
    private static readonly string[] Nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

    private static JsonElement Json(Host host, int status, params string[] arguments)
    {
        CommandResult result = Command.Run(host, [.. arguments, "--json"]);
        Assert.True(result.Status == status, result.ToString());
        Assert.EndsWith("}\n", result.Output);
        return JsonDocument.Parse(result.Output).RootElement;
    }

    private static string Text(JsonElement element, string name) => element.GetProperty(name).GetString()!;

    [Fact]
    public void A_daemon_that_works_is_healthy_and_its_mappings_are_shown()
    {
        using Scene scene = new Scene().Ready();
        ushort port = scene.AddMapping("10.0.0.1:5000");
        scene.AddMapping("[fd00::1]:5001", flags: 1);

        CommandResult status = Command.Run(scene.Host, "status");
        Assert.True(status.Status == 0, status.ToString());
        Assert.StartsWith("serving: kernel registered (ABI 4, device siw0), 2 mappings\n", status.Output);
        Assert.Contains($", process {scene.Daemon.Id}, up ", status.Output);
        Assert.Contains("\nstate      fresh\n", status.Output);
        JsonElement mapping = Assert.Single(
            Json(scene.Host, 0, "mappings", "-p", "5000").GetProperty("mappings").EnumerateArray());
        Assert.Equal(($"10.0.0.1:{port}", "held"), (Text(mapping, "mapped"), Text(mapping, "state")));
        Assert.Contains("advertised", Command.Run(scene.Host, "mappings").Output);
        Assert.Contains("\niwpmd_up 1\n", Command.Run(scene.Host, "metrics").Output);
    }

    [Fact]
    public void Each_iWARP_device_of_the_host_is_named_whichever_registered()
    {
        using Scene scene = new Scene().Ready();
        scene.Host.ShowDevice();
        scene.Host.Run(() => Directory.CreateDirectory("/sys/class/infiniband/irdma0"));
        scene.Host.Write("/sys/class/infiniband/irdma0/node_type", "4: RNIC\n");
        scene.AddMapping("0.0.0.0:5000");

        string status = Command.Run(scene.Host, "status").Output;
        Assert.Contains("\ndevice     siw0", status);
        Assert.Contains("\ndevice     irdma0", status);
        Assert.Equal(
            [("irdma0", "served"), ("siw0", "registered")],
            Json(scene.Host, 0, "status").GetProperty("devices").EnumerateArray().Select(
                device => (Text(device, "device"), Text(device, "state"))));
        Assert.Contains("device=\"irdma0\"", Command.Run(scene.Host, "metrics").Output);
    }

    [Fact]
    public void Twenty_five_thousand_mappings_are_shown_whole()
    {
        using Scene scene = new Scene().Ready();
        uint last = 0;
        for (int i = 0; i < 25_000; i++)
        {
            last = scene.Kernel.Send(Scene.Add($"10.0.0.1:{i + 1000}", flags: 1));
        }
        scene.Kernel.Expect(Iwpmd.Wire.KernelReplyKind.AddMapping, last);

        string[] locals = [.. Json(scene.Host, 0, "mappings").GetProperty("mappings").EnumerateArray().Select(
            mapping => Text(mapping, "local"))];
        Assert.Equal(Enumerable.Range(0, 25_000).Select(i => $"10.0.0.1:{i + 1000}"), locals);
        Assert.Equal(25_001, Command.Run(scene.Host, "mappings").Output.TrimEnd().Split('\n').Length);
    }

    [Fact]
    public void A_restart_logs_how_many_were_restored()
    {
        using Scene scene = new Scene().Ready();
        scene.AddMapping("10.0.0.1:5000");
        scene.Daemon.Kill();
        scene.Kernel.SetReplay();
        scene.Restart().ExpectLog("daemon: ready");

        Assert.Contains("\nstate      restored: 1 of 1\n", Command.Run(scene.Host, "status").Output);
    }

    [Fact]
    public void A_daemon_that_took_over_is_the_one_that_is_shown()
    {
        using Scene scene = new Scene().Ready();
        scene.AddMapping("10.0.0.1:5000");
        using var next = DaemonProcess.Foreground(scene.Host, scene.Kernel, "--takeover");
        Assert.Equal(0, scene.Daemon.ExpectExit());
        next.ExpectLog("daemon: ready");

        CommandResult status = Command.Run(scene.Host, "status");
        Assert.True(status.Status == 0, status.ToString());
        Assert.Contains("\nstate      taken over from the previous daemon: 1 of 1\n", status.Output);
        Assert.Contains($", process {next.Id}, up ", status.Output);
    }

    [Fact]
    public void A_killed_daemon_is_not_running_and_what_it_left_is_still_shown()
    {
        using Scene scene = new Scene().Ready();
        scene.AddMapping("10.0.0.1:5000");
        scene.Daemon.Kill();

        JsonElement status = Json(scene.Host, 3, "status");
        Assert.Equal(("crashed", "not_running"), (Text(status, "daemon"), Text(status, "health")));
        Assert.Contains($"process {scene.Daemon.Id} crashed", Text(status, "summary"));
        CommandResult mappings = Command.Run(scene.Host, "mappings");
        Assert.Equal(3, mappings.Status);
        Assert.StartsWith("not running: ", mappings.Output);
        Assert.Contains("10.0.0.1:5000", mappings.Output);
        Assert.StartsWith("# HELP iwpmd_up ", Command.Run(scene.Host, "metrics").Output);
        Assert.Contains("\niwpmd_up 0\n", Command.Run(scene.Host, "metrics").Output);
    }

    [Fact]
    public void A_stopped_daemon_is_distinguished_from_a_crashed_one()
    {
        using Scene scene = new Scene().Ready();
        scene.Daemon.Stop();

        JsonElement status = Json(scene.Host, 3, "status");
        Assert.Equal("stopped", Text(status, "daemon"));
        Assert.Contains("stopped", Text(status, "summary"));
    }

    [Fact]
    public void A_host_where_none_ever_ran_says_so()
    {
        using var host = new Host();

        Assert.Equal("absent", Text(Json(host, 3, "status"), "daemon"));
        Assert.Equal("absent", Text(Json(host, 3, "mappings"), "daemon"));
        CommandResult peers = Command.Run(host, "peers");
        Assert.Equal(
            (
                3, "",
                "iwpmd: not running: there is no /run/iwpmd/state: you do not need iwpmd, since this host has "
                    + "no iWARP device\n"),
            (peers.Status, peers.Output, peers.Errors));
    }

    [Fact]
    public void Another_user_than_root_is_told_so_whether_the_daemon_runs_or_not()
    {
        using Scene scene = new Scene().Ready();
        foreach (bool isRunning in (bool[])[true, false])
        {
            foreach (string[] command in (string[][])
                [["status"], ["mappings"], ["peers"], ["metrics"], ["status", "--json"]])
            {
                CommandResult result = Command.Run(scene.Host, [], [.. Nobody, Binaries.Ours, .. command]);
                Assert.True(result.Status == 77, $"{string.Join(' ', command)}: {result}");
                Assert.Contains(
                    "/run/iwpmd/state is for root and the daemon's user only: run this as root",
                    (result.Output + result.Errors).Replace("\\u0027", "'"));
                Assert.DoesNotContain("iwpmd_up", result.Output);
            }
            string doctor = Command.Run(scene.Host, [], [.. Nobody, Binaries.Ours, "doctor"]).Output;
            Assert.Contains(
                "\nwarning  daemon         /run/iwpmd/state is for root and the daemon's user only: run this as root\n",
                doctor);
            // nothing wrong about what it cannot see
            Assert.All(
                (string[])["udp", "state", "buffer"], check => Assert.DoesNotMatch($"(?m)^[a-z]+ +{check} ", doctor));
            Assert.Contains(
                "\nok       user           without root the checks buffer, udp, listeners, state, peers and keep_ports "
                    + "are left out\n",
                doctor);
            Assert.DoesNotContain(" mapped", doctor);
            scene.Daemon.Kill();
        }
    }

    [Fact]
    public void A_stopped_daemon_hangs()
    {
        using Scene scene = new Scene().Ready();
        scene.Daemon.StopIdle();
        Thread.Sleep(TimeSpan.FromSeconds(7)); // it may have looked just before

        JsonElement status = Json(scene.Host, 1, "status");
        Assert.Equal(("hung", "degraded"), (Text(status, "daemon"), Text(status, "health")));
        Assert.Contains($"hung: no heartbeat of process {scene.Daemon.Id}", Text(status, "summary"));
        Assert.Contains("\niwpmd_up 0\n", Command.Run(scene.Host, "metrics").Output);
        scene.Daemon.Signal(NativeCalls.SIGCONT);
    }

    [Fact]
    public void Another_program_on_the_port_is_named()
    {
        using var host = new Host();
        using Socket other = host.Open(SocketType.Dgram, new IPEndPoint(IPAddress.Any, 3935));

        string summary = Text(Json(host, 1, "status"), "summary");
        Assert.Contains($"UDP port 3935 is in use by process {Environment.ProcessId} ", summary);
    }

    [Fact]
    public void A_peer_without_a_port_mapper_is_named_as_the_last_fallback()
    {
        using Scene scene = Scene.BesideAnotherHost();
        scene.Kernel.Expect(
            Iwpmd.Wire.KernelReplyKind.QueryMapping, scene.Kernel.Send(Scene.Query("10.0.0.1:40500", "10.0.0.2:7174")));

        Assert.Contains(" ago: 10.0.0.2 has no port mapper (ICMP)", Command.Run(scene.Host, "status").Output);
        JsonElement peer = Assert.Single(Json(scene.Host, 0, "peers").GetProperty("peers").EnumerateArray());
        Assert.Equal(("10.0.0.2", 1), (Text(peer, "address"), peer.GetProperty("unreachables").GetInt32()));
    }

    [Fact]
    public void Metrics_go_to_a_file_in_one_step()
    {
        using Scene scene = new Scene().Ready();
        Assert.Equal(0, Command.Run(scene.Host, "metrics", "-o", scene.Host["iwpmd.prom"]).Status);

        Assert.Contains("\niwpmd_up 1\n", File.ReadAllText(scene.Host["iwpmd.prom"]));
        Assert.False(File.Exists(scene.Host["iwpmd.prom.new"]));
        CommandResult missing = Command.Run(scene.Host, "metrics", "-o", "/no/such/iwpmd.prom");
        Assert.Equal(
            (74, "iwpmd: /no/such/iwpmd.prom cannot be written: No such file or directory (ENOENT)\n"),
            (missing.Status, missing.Errors));
    }

    [Fact]
    public void A_watch_looks_again_until_it_is_ended()
    {
        using Scene scene = new Scene().Ready();
        using Process watch = scene.Host.Run(() => Process.Start(
            new ProcessStartInfo(Binaries.Ours, ["status", "--json", "--watch", "0.1"])
            {
                RedirectStandardOutput = true,
            })!);
        string?[] looks =
            [watch.StandardOutput.ReadLine(), watch.StandardOutput.ReadLine(), watch.StandardOutput.ReadLine()];
        watch.Kill();
        watch.WaitForExit();

        Assert.All(looks, look => Assert.Equal("healthy", Text(JsonDocument.Parse(look!).RootElement, "health")));
    }

    [Theory]
    [InlineData("mappings", "--port", "0")]
    [InlineData("mappings", "--address", "nowhere")]
    [InlineData("status", "--watch", "0")]
    [InlineData("status", "--port", "5")]
    [InlineData("status", "surplus")]
    public void Wrong_usage_ends_with_2(params string[] arguments)
    {
        using var host = new Host();

        Assert.Equal(2, Command.Run(host, arguments).Status);
    }
}

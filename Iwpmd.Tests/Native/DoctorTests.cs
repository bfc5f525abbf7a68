// SPDX-License-Identifier: MIT
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Native;

/// <summary>
/// The doctor on hosts that are really broken, in one way each. What needs a real kernel is broken in the lab
/// (doctor-*.sh).
/// </summary>
public sealed class DoctorTests
{
    /// <summary>What it finds of one check; <paramref name="limits"/> go before the command.</summary>
    private static (string Result, string Text) Find(Host host, string check, params string[] limits)
    {
        CommandResult result = Command.Run(host, [], [.. limits, Binaries.Ours, "doctor", "--json"]);
        JsonElement[] checks =
            [.. JsonDocument.Parse(result.Output).RootElement.GetProperty("checks").EnumerateArray()];
        bool anyFailure = checks.Any(one => one.GetProperty("result").GetString() == "failure");
        Assert.Equal(anyFailure ? 1 : 0, result.Status);
        JsonElement found = checks.First(one => one.GetProperty("check").GetString() == check);
        string text = $"{found.GetProperty("text").GetString()}: {found.GetProperty("remedy").GetString()}";
        return (found.GetProperty("result").GetString()!, text);
    }

    private static void Nft(Host host, params string[] lines) => host.Run(() =>
    {
        foreach (string line in lines)
        {
            Tool.Run("nft", "nftables", line);
        }
    });

    [Fact]
    public void A_daemon_that_works_passes_every_check_of_it()
    {
        using Scene scene = new Scene(configuration: "max_mappings=1024\n").Ready();
        scene.AddMapping("10.0.0.1:5000");

        Assert.Equal("ok", Find(scene.Host, "daemon").Result);
        Assert.Equal(("ok", "UDP port 3935 is the daemon's: "), Find(scene.Host, "udp"));
        Assert.Equal("ok", Find(scene.Host, "state").Result);
        Assert.Equal("ok", Find(scene.Host, "descriptors").Result);
        Assert.Equal("ok", Find(scene.Host, "buffer").Result);
        Assert.Equal("ok", Find(scene.Host, "firewall").Result);
        Assert.Contains(" 1 mapped", Find(scene.Host, "ports").Text);
        Assert.Equal("ok", Find(scene.Host, "peers").Result);
        Assert.Equal(("ok", "/etc/iwpmd.conf has no faults: "), Find(scene.Host, "configuration"));
    }

    private static void WriteUnit(Host host, string text)
    {
        host.Run(() => Directory.CreateDirectory("/etc/systemd/system"));
        host.Write("/etc/systemd/system/iwpmd.service", text);
    }

    /// <summary>Its unit has the same name.</summary>
    [Fact]
    public void Where_rdma_cores_daemon_would_be_started_nobody_is_told_to_start_it()
    {
        using var host = new Host();
        host.ShowDevice();
        WriteUnit(host, "[Service]\nExecStart=/usr/sbin/iwpmd --systemd\n");

        CommandResult status = Command.Run(host, "status");
        Assert.StartsWith(
            "not running: there is no /run/iwpmd/state: /etc/systemd/system/iwpmd.service is not of this daemon, but "
                + "of rdma-core or of this host: install the package of iwpmd\n",
            status.Output);
        Assert.DoesNotContain("systemctl start", status.Output + Command.Run(host, "doctor").Output);
    }

    [Fact]
    public void A_host_without_a_device_does_not_need_it()
    {
        using var host = new Host();

        Assert.Equal(
            "not running: there is no /run/iwpmd/state: you do not need iwpmd, since this host has no iWARP device\n",
            Command.Run(host, "status").Output);
        (int exit, string doctor, _) = Command.Run(host, "doctor");
        Assert.Equal(0, exit);
        Assert.Matches(
            "^warning +devices +there is no iWARP device: you do not need iwpmd; if there should be one, .*\n"
                + "ok +configuration ",
            doctor);
        foreach (string check in (string[])["modules", "netlink", "namespace", "daemon", "unit", "udev rule"])
        {
            Assert.Matches($"\nok +{check} ", doctor);
        }
        Assert.Equal("ok", Find(host, "descriptors", "prlimit", "--nofile=500:500").Result);
        Assert.Matches(
            "\n0 failures and 1 warning in [0-9]+ checks; first devices: you do not need iwpmd; [^\n]*\n$", doctor);
        using var kernel = new SimulatedKernel();
        using var daemon = DaemonProcess.Foreground(host, kernel);
        daemon.ExpectLog("daemon: ready");
        Assert.EndsWith(
            "\ndevice     none: without an iWARP device this host does not need iwpmd\n",
            Command.Run(host, "status").Output);
    }

    [Fact]
    public void Another_network_namespace()
    {
        using var host = new Host();
        host.ShowDevice();

        Assert.NotEqual("ok", Find(host, "namespace").Result); // a failure where process 1 is not hidden
    }

    [Fact]
    public void A_dead_daemon()
    {
        using Scene scene = new Scene().Ready();
        scene.Host.ShowDevice();
        WriteUnit(scene.Host, File.ReadAllText(Support.Repository.PathOf("dist/iwpmd.service")));
        scene.Daemon.Kill();

        (string result, string text) = Find(scene.Host, "daemon");
        Assert.Equal("failure", result);
        Assert.Contains($"process {scene.Daemon.Id} crashed", text);
        Assert.EndsWith(": start it (systemctl start iwpmd)", text);
        Assert.Equal("ok", Find(scene.Host, "udp").Result);
        Assert.Equal("ok", Find(scene.Host, "state").Result);
    }

    [Fact]
    public void A_state_from_a_dead_process()
    {
        using Scene scene = new Scene().Ready();
        scene.AddMapping("10.0.0.1:5000");
        scene.Daemon.Kill();

        (string result, string text) = Find(scene.Host, "state");
        Assert.Equal("warning", result);
        Assert.Equal(
            $"/run/iwpmd/state was left by process {scene.Daemon.Id}, with 1 mapping whose ports other programs can "
                + "take: start iwpmd, which claims them again",
            text);
        CommandResult status = Command.Run(scene.Host, "status");
        Assert.Equal(3, status.Status);
        Assert.StartsWith($"not running: process {scene.Daemon.Id} crashed; ", status.Output);
        Assert.Contains(
            "the ports of its 1 mapping are free for other programs until it is started again", status.Output);
    }

    [Fact]
    public void A_hung_daemon()
    {
        using Scene scene = new Scene().Ready();
        scene.Daemon.StopIdle();
        Thread.Sleep(TimeSpan.FromSeconds(7));

        (string result, string text) = Find(scene.Host, "daemon");
        Assert.Equal("failure", result);
        Assert.StartsWith($"hung: no heartbeat of process {scene.Daemon.Id}", text);
        scene.Daemon.Signal(NativeCalls.SIGCONT);
    }

    [Fact]
    public void A_busy_port()
    {
        using var host = new Host();
        using Socket other = host.Open(SocketType.Dgram, new IPEndPoint(IPAddress.IPv6Any, 3935));

        (string result, string text) = Find(host, "udp");
        Assert.Equal("failure", result);
        Assert.Contains($"in use by process {Environment.ProcessId} ", text);
    }

    /// <summary>As on a full disk, on which no more than the name of the file is left.</summary>
    [Fact]
    public void A_daemon_that_keeps_no_state_here_is_not_called_another_program()
    {
        using Scene scene = new Scene().Ready();
        scene.Host.Write("/etc/iwpmd.conf", "state_dir=/run/other\n");
        scene.Host.Run(() => Directory.CreateDirectory("/run/other"));
        scene.Host.Write("/run/other/state", "");
        CommandResult status = Command.Run(scene.Host, "status");
        Assert.Equal(1, status.Status);
        Assert.StartsWith(
            $"degraded: process {scene.Daemon.Id} (iwpmd) has UDP port 3935, but keeps no state here: ", status.Output);
        (string result, string text) = Find(scene.Host, "udp");
        Assert.Equal("failure", result);
        Assert.EndsWith(": see the check daemon", text);
        Assert.Equal("ok", Find(scene.Host, "listeners").Result);
    }

    [Fact]
    public void A_port_that_nftables_keeps_out_or_in()
    {
        using var host = new Host();
        host.ShowDevice();
        Nft(
            host, "add table inet f", "add chain inet f in { type filter hook input priority 0; policy accept; }",
            "add rule inet f in tcp dport 22 accept", "add rule inet f in udp dport 3935 counter drop");
        (string result, string text) = Find(host, "firewall");
        Assert.Equal("failure", result);
        Assert.Contains("UDP port 3935 is not let in (table inet f, chain in: udp dport 3935 ", text);

        Nft(
            host, "flush ruleset", "add table ip g",
            "add chain ip g out { type filter hook output priority 0; policy drop; }",
            "add rule ip g out oifname lo accept");
        (result, text) = Find(host, "firewall");
        Assert.NotEqual("ok", result);
        Assert.Contains("let out", text);

        Nft(
            host, "flush ruleset", "add table inet f",
            "add chain inet f in { type filter hook input priority 0; policy drop; }",
            "add rule inet f in ct state established,related accept",
            "add rule inet f in udp dport { 53, 3935 } accept");
        Assert.Equal(
            (
                "warning",
                "TCP is not let in from all hosts to all ports (table inet f, chain in: policy drop): make sure that "
                    + "it is to the ports on which RDMA programs will listen"),
            Find(host, "firewall"));
        Nft(host, "add rule inet f in tcp dport 1-65535 accept");
        Assert.Equal("ok", Find(host, "firewall").Result);

        Nft(
            host, "flush ruleset", "add table inet f",
            "add chain inet f in { type filter hook input priority 0; policy drop; }",
            "add rule inet f in udp dport 3935 accept", "add rule inet f in tcp dport 1-65535 accept");
        Assert.Equal(
            (
                "failure",
                "answers from UDP port 3935 are not let in (table inet f, chain in: policy drop): insert a rule "
                    + "there: udp sport 3935 accept"),
            Find(host, "firewall"));
    }

    [Fact]
    public void A_low_limit_of_descriptors()
    {
        using var host = new Host();
        host.ShowDevice();
        WriteUnit(host, "# no limit: in the place of one that this machine may have\n");

        (string result, string text) = Find(host, "descriptors", "prlimit", "--nofile=500:500"); // package util-linux
        Assert.Equal("warning", result);
        Assert.Contains("may have 500", text);
        host.Write("/etc/iwpmd.conf", "port_range=40000-40015\n");
        Assert.Equal(
            ("ok", "a daemon started from here may have 500: "),
            Find(host, "descriptors", "prlimit", "--nofile=500:500"));
    }

    [Fact]
    public void Rdma_cores_unit_and_rule_are_told_from_ours_whose_limit_counts()
    {
        using var host = new Host();
        host.Run(() => Directory.CreateDirectory("/etc/udev/rules.d"));
        host.Write(
            "/etc/udev/rules.d/90-iwpmd.rules",
            "TAG+=\"systemd\", ENV{ID_RDMA_IWARP}==\"1\", ENV{SYSTEMD_WANTS}+=\"iwpmd.service\"\n");
        WriteUnit(host, "[Service]\nType=notify\nExecStart=/usr/sbin/iwpmd --systemd\nLimitNOFILE=102400\n");
        Assert.All(
            (string[])["unit", "udev rule"], check => Assert.Contains("is not of this daemon", Find(host, check).Text));
        Assert.Equal(
            ("ok", "the daemon of the unit may have 102400: "),
            Find(host, "descriptors", "prlimit", "--nofile=500:500"));

        WriteUnit(host, File.ReadAllText(Support.Repository.PathOf("dist/iwpmd.service")));
        host.Write(
            "/etc/udev/rules.d/90-iwpmd.rules", File.ReadAllText(Support.Repository.PathOf("dist/90-iwpmd.rules")));
        Assert.All((string[])["unit", "udev rule"], check => Assert.Equal("ok", Find(host, check).Result));
        Assert.Equal(
            ("ok", "the daemon of the unit may have 131072: "),
            Find(host, "descriptors", "prlimit", "--nofile=500:500"));

        host.Run(() => File.Delete("/etc/systemd/system/iwpmd.service"));
        host.Run(() => File.CreateSymbolicLink("/etc/systemd/system/iwpmd.service", "/dev/null"));
        Assert.Contains("is masked", Find(host, "unit").Text);
    }

    [Fact]
    public void A_configuration_that_the_daemons_user_cannot_read()
    {
        using var host = new Host();
        host.Write("/etc/passwd", "iwpmd:x:4711:4712::/:/bin/sh\n");
        host.Write("/etc/iwpmd.conf", "allow=10.0.0.0/8\n");
        Assert.Equal("ok", Find(host, "configuration").Result);

        host.Run(() => Tool.Run("chmod", "coreutils", "600", "/etc/iwpmd.conf"));
        (string result, string text) = Find(host, "configuration");
        Assert.Equal("failure", result);
        Assert.StartsWith("/etc/iwpmd.conf cannot be read by the user iwpmd", text);
        Assert.EndsWith(": chmod a+r /etc/iwpmd.conf", text);
    }

    [Fact]
    public void Before_anything_was_asked_nobody_has_answered()
    {
        using Scene scene = new Scene().Ready();

        Assert.Equal(("ok", "no host has been asked yet: "), Find(scene.Host, "peers"));
    }

    [Fact]
    public void A_low_limit_of_a_daemon_that_runs()
    {
        using var host = new Host();
        using var kernel = new SimulatedKernel();
        using var daemon = DaemonProcess.Start(host, kernel, ["prlimit", "--nofile=600:600", Binaries.Ours, "-f"]);
        daemon.ExpectLog("host: only 600 descriptors are allowed");
        daemon.ExpectLog("daemon: ready");

        (string result, string text) = Find(host, "descriptors");
        Assert.Equal("warning", result);
        Assert.StartsWith("the daemon may have 600", text);
    }

    [Fact]
    public void A_small_receive_buffer()
    {
        using var host = new Host();

        (string result, string text) = Find(
            host, "buffer", "setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin");
        Assert.Equal("warning", result);
        Assert.Contains("CAP_NET_ADMIN", text);
    }

    [Fact]
    public void A_fault_of_the_configuration()
    {
        using var host = new Host();
        host.Write("/etc/iwpmd.conf", "query_retry=200\nquery_dealine=1000\n");

        (string result, string text) = Find(host, "configuration");
        Assert.Equal("warning", result);
        Assert.StartsWith("/etc/iwpmd.conf:2: unknown name 'query_dealine'", text);
    }

    [Fact]
    public void An_interface_that_the_host_does_not_have()
    {
        using var host = new Host();
        host.Write("/etc/iwpmd.conf", "interface=lo, eth7\n");

        (string result, string text) = Find(host, "configuration");
        Assert.Equal("warning", result);
        Assert.StartsWith("/etc/iwpmd.conf:1: there is no network interface 'eth7'", text);
    }

    [Fact]
    public void A_range_with_hardly_a_port()
    {
        using var host = new Host();
        host.Write("/etc/iwpmd.conf", "port_range=40000-40015\n");

        (string result, string text) = Find(host, "ports");
        Assert.Equal("warning", result);
        Assert.Contains("40000 to 40015: 16 ports", text);
    }

    [Fact]
    public void A_state_folder_that_cannot_be_made()
    {
        using var host = new Host();
        host.Write("/etc/iwpmd.conf", "state_dir=/proc/iwpmd/here\n");

        Assert.Equal("failure", Find(host, "state").Result);
    }

    [Fact]
    public void Peers_without_a_daemon_are_told_by_cause()
    {
        using Scene scene = Scene.BesideAnotherHost();
        foreach (string address in (string[])["10.0.0.2", "192.0.2.1", "10.0.0.5"])
        {
            scene.Kernel.Expect(
                KernelReplyKind.QueryMapping, scene.Kernel.Send(Scene.Query("10.0.0.1:40500", $"{address}:7174")));
        }

        Assert.Contains(
            "warning  peers          10.0.0.2 has no port mapper (ICMP); likewise 10.0.0.5: start iwpmd there; iwpmd "
                + "ping HOST shows whether it helped\n"
                + "warning  peers          192.0.2.1 could not be asked, since there is no route to it: see whether "
                + "the interface is up and has an address (ip addr), or add a route (ip route); iwpmd ping HOST shows "
                + "whether it helped\n",
            Command.Run(scene.Host, "doctor").Output);
    }
}

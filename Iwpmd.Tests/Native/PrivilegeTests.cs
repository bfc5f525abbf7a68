// SPDX-License-Identifier: MIT
using System.Globalization;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Native;

/// <summary>What the daemon may do when root starts it, by hand and by its unit.</summary>
public sealed class PrivilegeTests : IDisposable
{
    private const string NetAdminOnly = "0000000000001000", Nothing = "0000000000000000";

    private static readonly string[] AsUnit =
    [
        "setpriv", "--reuid=4711", "--regid=4712", "--clear-groups", "--inh-caps=+net_admin",
        "--ambient-caps=+net_admin",
    ];

    private readonly Host _host = new();
    private readonly SimulatedKernel _kernel = new();

    public void Dispose()
    {
        foreach (int process in _kernel.Processes)
        {
            _ = TestLibc.kill(process, NativeCalls.SIGKILL);
            Assert.True(NativeCalls.AwaitExit(process, Timeouts.Exit));
        }
        _kernel.Dispose();
        _host.Dispose();
    }

    [Fact]
    public void Started_by_root_it_is_a_user_of_its_own_with_no_capability_after_the_start()
    {
        _host.Write("/etc/passwd", "root:x:0:0::/:/bin/sh\niwpmd:x:4711:4712::/run/iwpmd:/usr/sbin/nologin\n");
        string[] status = Start();

        Assert.Contains("Uid:\t4711\t4711\t4711\t4711", status);
        Assert.Contains("Gid:\t4712\t4712\t4712\t4712", status);
        Assert.Contains("Groups:\t", status.Select(line => line.TrimEnd(' ')));
        AssertNoCapability();
        Assert.Equal("4711 4711", _host.Run(() => $"{Owner("/run/iwpmd")} {Owner("/run/iwpmd/state")}"));
    }

    [Fact]
    public void Without_that_user_it_stays_root_with_no_capability_after_the_start()
    {
        string[] status = Start();

        Assert.Contains("Uid:\t0\t0\t0\t0", status);
        AssertNoCapability();
    }

    [Theory]
    [InlineData("-f")]
    [InlineData("--systemd")]
    public void In_the_foreground_no_thread_keeps_the_right_to_settings_of_the_network(string option)
    {
        using var daemon = DaemonProcess.Start(_host, _kernel, [Binaries.Ours, option, "-l", "debug"]);
        daemon.ExpectLog("daemon: ready");
        daemon.Signal(TestLibc.SIGUSR1); // which makes a thread
        daemon.ExpectLog("mapping: 0 mappings");
        string[] threads = Directory.GetDirectories($"/proc/{daemon.Id}/task");
        Assert.True(threads.Length > 2);
        Assert.All(threads, thread =>
        {
            foreach (string line in File.ReadLines(Path.Combine(thread, "status")).Where(
                line => line.StartsWith(
                    "CapPrm", StringComparison.Ordinal) || line.StartsWith("CapEff", StringComparison.Ordinal)))
            {
                Assert.Equal(
                    0,
                    long.Parse(
                        line.Split('\t')[1], NumberStyles.HexNumber,
                        CultureInfo.InvariantCulture) & Convert.ToInt64(NetAdminOnly, 16));
            }
        });
        daemon.Stop();
    }

    [Fact]
    public void What_root_left_behind_is_given_to_the_user_with_its_mappings()
    {
        Start();
        ushort port = _kernel.Expect(
            KernelReplyKind.AddMapping, _kernel.Send(Scene.Add("10.0.0.1:5000"))).MappedLocal.Port;
        _kernel.Processes.ToList().ForEach(process => TestLibc.kill(process, TestLibc.SIGTERM));
        Assert.True(NativeCalls.AwaitExit(_kernel.Processes[0], Timeouts.Exit));
        Assert.True(_host.IsTcpPortFree(port));

        AddUser();
        Assert.Contains("Uid:\t4711\t4711\t4711\t4711", Start());
        Assert.False(_host.IsTcpPortFree(port));
    }

    [Fact]
    public void What_root_took_over_by_hand_the_unit_takes_back()
    {
        AddUser();
        Start();
        using var byHand = DaemonProcess.Start(_host, _kernel, [Binaries.Ours, "-f", "--takeover"]);
        byHand.ExpectLog("daemon: ready");
        Tool.Run("chmod", "coreutils", "-R", "a+rwX", _kernel.Environment["SIMKERNEL"]);
        using var unit = DaemonProcess.Start(_host, _kernel, [.. AsUnit, Binaries.Ours, "-f", "--takeover"]);

        unit.ExpectLog("daemon: ready");
        Assert.Equal(0, byHand.ExpectExit());
    }

    [Fact]
    public void In_a_directory_of_root_the_takeover_socket_is_roots()
    {
        AddUser();
        Start();
        _host.Run(() => Tool.Run("chown", "coreutils", "0", "/run/iwpmd"));
        using var byHand = DaemonProcess.Start(_host, _kernel, [Binaries.Ours, "-f", "--takeover"]);
        byHand.ExpectLog("daemon: ready");

        Assert.Equal("0", _host.Run(() => Owner("/run/iwpmd/takeover")));
    }

    [Fact]
    public void A_configuration_that_only_root_can_read_is_read_before_the_privileges_go()
    {
        WriteConfigurationForRoot();
        Start();

        Assert.InRange(
            _kernel.Expect(KernelReplyKind.AddMapping, _kernel.Send(Scene.Add("10.0.0.1:5000"))).MappedLocal.Port,
            41000, 41099);
        Assert.DoesNotContain("fault", Command.Run(_host, "status").Output.Split('\n')[0]);
    }

    /// <summary>As the unit starts it.</summary>
    [Fact]
    public void Without_privileges_it_continues_with_the_defaults_and_logs_it()
    {
        WriteConfigurationForRoot();
        _host.Run(() => Directory.CreateDirectory("/run/iwpmd"));
        _host.Run(() => Tool.Run("chown", "coreutils", "4711", "/run/iwpmd"));
        Tool.Run("chmod", "coreutils", "-R", "a+rwX", _kernel.Environment["SIMKERNEL"]);
        using var daemon = DaemonProcess.Start(_host, _kernel, [.. AsUnit, Binaries.Ours, "-f"]);

        Assert.Contains("warn:", daemon.ExpectLog(
            "configuration: /etc/iwpmd.conf: cannot be read by user 4711: the defaults are used, whatever it allows or "
                + "denies: chmod a+r /etc/iwpmd.conf"));
        daemon.ExpectLog("daemon: ready");
        Assert.EndsWith(
            ", 1 fault of the configuration that it read (its log, or iwpmd doctor)",
            Command.Run(_host, "status").Output.Split('\n')[0]);
    }

    [Fact]
    public void A_directory_of_somebody_else_is_left_alone()
    {
        AddUser();
        _host.Run(() =>
        {
            Directory.CreateDirectory("/run/iwpmd");
            File.WriteAllText("/run/iwpmd/state", "of root");
            Tool.Run("chown", "coreutils", "4713", "/run/iwpmd");
        });
        Start(NoState("open: Permission denied (EACCES)"));
        Assert.Equal("4713 0", _host.Run(() => $"{Owner("/run/iwpmd")} {Owner("/run/iwpmd/state")}"));
    }

    [Fact]
    public void A_directory_with_other_files_stays_roots_and_the_caller_is_told()
    {
        AddUser();
        _host.Run(() =>
        {
            Directory.CreateDirectory("/run/iwpmd");
            File.WriteAllText("/run/iwpmd/another", "");
        });
        Start(NoState("open: Permission denied (EACCES)"));
        Assert.Equal("0", _host.Run(() => Owner("/run/iwpmd")));
    }

    [Fact]
    public void A_directory_that_others_write_to_stays_roots()
    {
        AddUser();
        _host.Run(() =>
        {
            Directory.CreateDirectory("/run/iwpmd");
            Tool.Run("chmod", "coreutils", "1777", "/run/iwpmd");
        });
        Assert.Contains("Uid:\t4711\t4711\t4711\t4711", Start());
        Assert.Equal("0", _host.Run(() => Owner("/run/iwpmd")));
    }

    [Fact]
    public void Privileges_go_also_where_the_state_has_no_place()
    {
        AddUser();
        _host.Write("/etc/iwpmd.conf", "state_dir=/no/such\n");
        Assert.Contains("Uid:\t4711\t4711\t4711\t4711", Start(null));
    }

    [Fact]
    public void Of_a_link_to_a_directory_of_root_the_caller_is_told()
    {
        AddUser();
        _host.Run(() =>
        {
            Directory.CreateDirectory("/run/other");
            File.CreateSymbolicLink("/run/iwpmd", "/run/other");
        });
        Start(NoState("open: Permission denied (EACCES)"));
        Assert.Equal("0", _host.Run(() => Owner("/run/other")));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_link_of_the_daemons_user_leads_root_nowhere(bool isDetached)
    {
        AddUser();
        _host.Write("/etc/iwpmd.conf", "state_dir=/run/home/link/sub\n");
        _host.Run(() =>
        {
            Directory.CreateDirectory("/run/roots/sub");
            Directory.CreateDirectory("/run/home");
            File.CreateSymbolicLink("/run/home/link", "/run/roots");
            Tool.Run("chown", "coreutils", "-h", "4711", "/run/home", "/run/home/link");
        });
        if (isDetached)
        {
            Start(null);
        }
        else
        {
            using var daemon = DaemonProcess.Start(_host, _kernel, [Binaries.Ours, "-f"]);
            daemon.ExpectLog("state: /run/home/link/sub/state: open: Permission denied (EACCES): continuing without");
            daemon.ExpectLog("daemon: ready");
            daemon.Stop();
        }
        Assert.Equal("0", _host.Run(() => Owner("/run/roots/sub")));
        Assert.Empty(_host.Run(() => Directory.GetFileSystemEntries("/run/roots/sub")));
    }

    [Fact]
    public void By_a_directory_of_a_third_user_root_does_not_go()
    {
        AddUser();
        _host.Write("/etc/iwpmd.conf", "state_dir=/run/home/sub\n");
        _host.Run(() =>
        {
            Directory.CreateDirectory("/run/home");
            Tool.Run("chown", "coreutils", "4713", "/run/home");
        });
        using var daemon = DaemonProcess.Start(_host, _kernel, [Binaries.Ours, "-f"]);
        daemon.ExpectLog("state: /run/home/sub/state: state_dir: Operation not permitted (EPERM): continuing without");
        daemon.ExpectLog("daemon: ready");
        daemon.Stop();
        Assert.Empty(_host.Run(() => Directory.GetFileSystemEntries("/run/home")));
    }

    [Fact]
    public void What_the_daemon_left_root_continues_by_hand_and_leaves_to_it()
    {
        AddUser();
        Start();
        ushort port = _kernel.Expect(
            KernelReplyKind.AddMapping, _kernel.Send(Scene.Add("10.0.0.1:5000"))).MappedLocal.Port;
        Assert.Equal(0, TestLibc.kill(_kernel.Processes[0], TestLibc.SIGTERM));
        Assert.True(NativeCalls.AwaitExit(_kernel.Processes[0], Timeouts.Exit));
        Assert.True(_host.IsTcpPortFree(port));
        using (var byHand = DaemonProcess.Start(_host, _kernel, [Binaries.Ours, "-f"]))
        {
            byHand.ExpectLog("mapping: restored: 1 ports claimed again");
            byHand.ExpectLog("daemon: ready");
            Assert.False(_host.IsTcpPortFree(port));
            Assert.Equal("4711", _host.Run(() => Owner("/run/iwpmd/state")));
            byHand.Stop();
        }
        Assert.Contains("Uid:\t4711\t4711\t4711\t4711", Start());
        Assert.False(_host.IsTcpPortFree(port));
    }

    [Fact]
    // of ten, the worst; 0.1 of it is for capset, by which the daemon gives away what the unit cannot take from it
    public void The_unit_scores_at_most_1_6() =>
        Tool.Run(
            "systemd-analyze", "systemd", "security", "--offline=true", "--threshold=16",
            Support.Repository.PathOf("dist/iwpmd.service"));

    private void WriteConfigurationForRoot()
    {
        AddUser();
        _host.Write("/etc/iwpmd.conf", "port_range=41000-41099\n");
        _host.Run(() => Tool.Run("chmod", "coreutils", "600", "/etc/iwpmd.conf"));
    }

    /// <summary>In no thread of it; what it began with is left in the bounding set.</summary>
    private void AssertNoCapability()
    {
        string[] threads = Directory.GetDirectories($"/proc/{_kernel.Processes[^1]}/task");
        Assert.True(threads.Length > 1);
        Assert.All(threads, thread =>
        {
            string[] status = File.ReadAllLines(Path.Combine(thread, "status"));
            Assert.All((string[])["CapInh", "CapPrm", "CapEff", "CapAmb"], set => Assert.Contains(
                $"{set}:\t{Nothing}", status));
            Assert.Contains($"CapBnd:\t{NetAdminOnly}", status);
            Assert.Contains("NoNewPrivs:\t1", status);
        });
    }

    private void AddUser() => _host.Write("/etc/passwd", "iwpmd:x:4711:4712::/:/bin/sh\n");

    private static string NoState(string reason) =>
        $"iwpmd: state: /run/iwpmd/state: {reason}: continuing without it: mappings made from now on are lost at the "
            + "next restart, and reload does not work: let state_dir be a directory of user 4711, no link\n";

    private static string Owner(string path) => Tool.Run("stat", "coreutils", "-c", "%u", path).Trim();

    /// <summary>Starts it detached and returns what the kernel says of it.</summary>
    private string[] Start(string? says = "")
    {
        string folder = _kernel.Environment["SIMKERNEL"];
        Tool.Run("chmod", "coreutils", "-R", "a+rwX", folder);
        int before = _kernel.Processes.Length;
        using var launcher = DaemonProcess.Start(_host, _kernel, [Binaries.Ours]);
        Assert.True(launcher.ExpectExit() == 0, launcher.Errors);
        Assert.Equal(says ?? launcher.Errors, launcher.Errors);
        Assert.Equal(before + 1, _kernel.Processes.Length);
        return File.ReadAllLines(
            string.Create(CultureInfo.InvariantCulture, $"/proc/{_kernel.Processes[before]}/status"));
    }
}

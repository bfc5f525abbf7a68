// SPDX-License-Identifier: MIT
using System.Net;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Native;

/// <summary><c>iwpmd reload</c>: the daemon that runs uses the configuration as it is now.</summary>
public class ReloadTests
{
    private static bool IsAnswered(Host host, ulong handle)
    {
        using Peer peer = new(host, "127.0.0.1", 0);
        peer.Send(
            new IPEndPoint(IPAddress.Loopback, Peer.MapperPort),
            Peer.Request(handle, "127.0.0.1:5001", "127.0.0.1:7999", "127.0.0.1:5002"));
        return SpinWait.SpinUntil(() => peer.ReceiveAll().Any(), TimeSpan.FromSeconds(1));
    }

    [Fact]
    public void A_changed_configuration_is_in_force_and_nothing_is_lost()
    {
        using Scene scene = new Scene(configuration: "port_range=40000-40000\n").Ready();
        Assert.Equal(40000, scene.AddMapping("10.0.0.1:5000"));
        Assert.True(IsAnswered(scene.Host, 1));
        scene.Host.Write(
            "/etc/iwpmd.conf",
            "port_range=41000-41009\ndeny=127.0.0.1\nnl_sock_rbuf_size=100000\nmax_mappings=99\nnonsense=1\n");
        CommandResult reload = Command.Run(scene.Host, "reload");
        Assert.True(reload.Status == 0, reload.ToString());
        Assert.Contains("/etc/iwpmd.conf:5: unknown name 'nonsense'", reload.Errors);
        Assert.Contains("/etc/iwpmd.conf: max_mappings takes effect at the next start\n", reload.Errors);
        Assert.Contains("/etc/iwpmd.conf: nl_sock_rbuf_size takes effect at the next start\n", reload.Errors);
        scene.Daemon.ExpectLog("configuration: /etc/iwpmd.conf: in force from now on");

        Assert.InRange(scene.AddMapping("10.0.0.1:5001"), 41000, 41009);
        Assert.False(scene.IsFree(40000));
        Assert.False(IsAnswered(scene.Host, 2));
        CommandResult status = Command.Run(scene.Host, "status");
        Assert.Matches("\nconfig     read [0-9.]+ s ago\n", status.Output);
        Assert.Contains(", 41000 to 41009\n", status.Output);
        // what the daemon has read counts, not what the file is by now
        scene.Host.Write("/etc/iwpmd.conf", "port_range=41000-41009\n");
        const string Faults = ", 2 faults of the configuration that it read (its log, or iwpmd doctor)\n";
        Assert.Contains(Faults, Command.Run(scene.Host, "status").Output);
        Assert.Equal(0, Command.Run(scene.Host, "reload").Status);
        Assert.DoesNotContain("fault", Command.Run(scene.Host, "status").Output.Split('\n')[0]);
        scene.Daemon.Stop();
    }

    [Fact]
    public void With_a_fault_that_would_keep_it_from_starting_everything_stays_as_it_was()
    {
        using Scene scene = new Scene(configuration: "port_range=40000-40009\ndeny=127.0.0.1\n").Ready();
        scene.Host.Write("/etc/iwpmd.conf", "port_range=42000-42000\ndeny=127.0.0.1/33\n");
        CommandResult reload = Command.Run(scene.Host, "reload");
        Assert.Equal(1, reload.Status);
        Assert.Contains("/etc/iwpmd.conf:2: deny must be ", reload.Errors);
        Assert.EndsWith("nothing is changed: the previous configuration stays in force\n", reload.Errors);
        Assert.InRange(scene.AddMapping("10.0.0.1:5000"), 40000, 40009);
        Assert.False(IsAnswered(scene.Host, 1));
    }

    [Fact]
    public void Another_file_than_that_of_the_start_is_refused()
    {
        using Scene scene = new Scene(configuration: "deny=127.0.0.1\n").Ready();
        scene.Host.Write("/etc/other.conf", "port_range=42000-42000\n");
        CommandResult reload = Command.Run(scene.Host, "reload", "-c", "/etc/other.conf");
        Assert.Equal(1, reload.Status);
        Assert.Equal(
            "nothing is changed: the daemon was started with /etc/iwpmd.conf: iwpmd reload -c /etc/iwpmd.conf\n",
            reload.Errors);
        Assert.False(IsAnswered(scene.Host, 1));
    }

    [Fact]
    public void A_text_that_is_too_long_for_one_message_changes_nothing()
    {
        using Scene scene = new Scene(configuration: "deny=127.0.0.1\n").Ready();
        scene.Host.Write(
            "/etc/iwpmd.conf", $"#{new string('\u4e00', 60000)}\ndeny=127.0.0.1\nport_range=42000-42000\n");
        CommandResult reload = Command.Run(scene.Host, "reload");
        int[] statuses = [0, 1];
        Assert.Contains(reload.Status, statuses); // it fits where the host's socket buffers are large
        Assert.False(IsAnswered(scene.Host, 1));
        Assert.Equal(reload.Status == 0, scene.AddMapping("10.0.0.1:5000") == 42000);
    }

    [Fact]
    public void The_log_level_follows_unless_the_command_line_has_one()
    {
        using var host = new Host();
        using var kernel = new SimulatedKernel();
        using var daemon = DaemonProcess.Start(host, kernel, [Binaries.Ours, "-f"]);
        daemon.ExpectLog("daemon: ready");
        kernel.Expect(KernelReplyKind.AddMapping, kernel.Send(Scene.Add("10.0.0.1:5000")));
        host.Write("/etc/iwpmd.conf", "log_level=debug\n");
        Assert.Equal(0, Command.Run(host, "reload").Status);
        kernel.Expect(KernelReplyKind.AddMapping, kernel.Send(Scene.Add("10.0.0.1:5001")));
        daemon.ExpectLog("mapping: added: 10.0.0.1:5001");
        Assert.DoesNotContain("mapping: added: 10.0.0.1:5000", daemon.Errors);
    }

    [Fact]
    public void A_daemon_that_no_reload_reaches_says_so()
    {
        using var host = new Host();
        using var kernel = new SimulatedKernel();
        host.Run(() => Directory.CreateDirectory("/run/iwpmd/takeover"));
        using var daemon = DaemonProcess.Start(host, kernel, [Binaries.Ours, "-f"]);

        Assert.Contains(
            "neither --takeover nor a reload reaches this daemon: restart it",
            daemon.ExpectLog("daemon: handover failed: listening at /run/iwpmd/takeover"));
    }

    [Fact]
    public void A_state_dir_that_was_changed_is_told_and_the_daemon_is_not_called_absent()
    {
        using Scene scene = new Scene().Ready();
        scene.Host.Write("/etc/iwpmd.conf", "state_dir=/run/other\n");
        CommandResult reload = Command.Run(scene.Host, "reload");
        Assert.Equal(
            (1, $"iwpmd: process {scene.Daemon.Id} (iwpmd) runs, and does not listen at /run/other/takeover: it "
                + "is rdma-core's, or was started with another state_dir: restart it\n"),
            (reload.Status, reload.Errors));
    }

    [Fact]
    public void Without_a_daemon_there_is_nobody_to_tell()
    {
        using var host = new Host();
        CommandResult reload = Command.Run(host, "reload");
        Assert.Equal(
            (3, "iwpmd: no daemon listens at /run/iwpmd/takeover: start it\n"),
            (reload.Status, reload.Errors));
    }
}

// SPDX-License-Identifier: MIT
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Iwpmd.Os;
using Iwpmd.Tests.Os;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Native;

/// <summary>
/// How the published executable starts, says that it is ready, and ends; and what it says where it cannot run.
/// </summary>
public sealed class StartTests : IDisposable
{
    private readonly Host _host = new();
    private readonly SimulatedKernel _kernel = new();

    public void Dispose()
    {
        _kernel.Dispose();
        _host.Dispose();
    }

    /// <summary>Starts it, and returns its status and the one line that it said.</summary>
    private (int Status, string Line) Fail(params string[] command)
    {
        using var daemon = DaemonProcess.Start(
            _host, _kernel, command.Length > 0 ? command : [Binaries.Ours, "-f", "-l", "error"]);
        int status = daemon.ExpectExit();
        return (status, Assert.Single(daemon.Errors.TrimEnd().Split('\n')));
    }

    [Fact]
    public void A_detached_start_returns_when_the_daemon_is_ready_and_the_log_goes_to_syslog()
    {
        using DatagramInbox syslog = DatagramInbox.Open(_host, "/dev/log");
        _kernel.Hold(KernelReplyKind.MapInfo);
        using var caller = DaemonProcess.Start(_host, _kernel, [Binaries.Ours]);
        _kernel.Expect(KernelReplyKind.MapInfo);
        int daemon = _kernel.Socket.ProcessId;

        Assert.NotEqual(caller.Id, daemon);
        Assert.False(caller.HasExited);
        _kernel.LetGo(KernelReplyKind.MapInfo);
        Assert.Equal(0, caller.ExpectExit());
        Assert.Equal("", caller.Errors);
        // what pgrep, pkill, killall and ps -C look at
        Assert.Equal("iwpmd\n", File.ReadAllText($"/proc/{daemon}/comm"));
        Assert.Matches(
            @$"^<30>[A-Z][a-z][a-z] [ 1-3]\d \d\d:\d\d:\d\d iwpmd\[{daemon}\]: daemon: ready: .* \(event 502\)$",
            syslog.Expect("daemon: ready"));

        Assert.Equal(0, TestLibc.kill(daemon, TestLibc.SIGTERM));
        syslog.Expect("daemon: stopping: SIGTERM");
        Assert.True(NativeCalls.AwaitExit(daemon, Timeouts.Exit));
    }

    [Fact]
    public void A_detached_start_that_fails_returns_the_status_of_the_daemon_with_its_reason()
    {
        _kernel.RemoveClients();

        (int status, string line) = Fail(Binaries.Ours);

        Assert.Equal(69, status);
        Assert.StartsWith("iwpmd: kernel: iw_cm is not loaded", line);
        Assert.True(NativeCalls.AwaitExit(_kernel.Socket.ProcessId, Timeouts.Exit));
    }

    [Fact]
    public void The_service_manager_hears_of_every_stage()
    {
        using DatagramInbox manager = DatagramInbox.Open(_host, _host["notify"]);
        _kernel.Hold(KernelReplyKind.MapInfo);
        using var daemon = DaemonProcess.Start(
            _host, _kernel, [Binaries.Ours, "-s"], ("NOTIFY_SOCKET", manager.Path), ("WATCHDOG_USEC", "100000"));
        _kernel.Expect(KernelReplyKind.MapInfo);
        manager.Expect("STATUS=waiting for the kernel's replay");
        manager.Expect("WATCHDOG=1");

        Assert.DoesNotContain("READY=1", manager.Texts);
        _kernel.LetGo(KernelReplyKind.MapInfo);
        manager.Expect("READY=1");
        manager.Expect("STATUS=serving 0 mappings");
        _kernel.Expect(KernelReplyKind.AddMapping, _kernel.Send(Scene.Add("10.0.0.1:5000")));
        manager.Expect("STATUS=serving 1 mappings");
        int barks = manager.Texts.Count(text => text == "WATCHDOG=1");
        while (manager.Texts.Count(text => text == "WATCHDOG=1") < barks + 2)
        {
            Assert.True(NativeCalls.AwaitExit(daemon.Id, TimeSpan.FromMilliseconds(20)) == false, daemon.Errors);
        }
        daemon.Stop();
        manager.Expect("STOPPING=1");
        Assert.Matches(@"(?m)^<6>daemon: ready: .* \(event 502\)$", daemon.Errors);
    }

    [Fact]
    public void A_service_manager_that_cannot_be_reached_is_told()
    {
        using var daemon = DaemonProcess.Start(
            _host, _kernel, [Binaries.Ours, "-s"], ("NOTIFY_SOCKET", _host["nobody"]));
        _kernel.ExpectHandshake();
        daemon.Stop();
        Assert.Contains("daemon: notify failed: No such file or directory (ENOENT)", daemon.Errors);
    }

    [Theory]
    [InlineData(TestLibc.SIGTERM, 0)]
    [InlineData(TestLibc.SIGINT, 0)]
    [InlineData(TestLibc.SIGHUP, 1)]
    public void A_signal_ends_it_with_its_status(int signal, int status)
    {
        using var daemon = DaemonProcess.Foreground(_host, _kernel);
        daemon.ExpectLog("daemon: ready");

        daemon.Signal(signal);
        Assert.Equal(status, daemon.ExpectExit());
    }

    [Fact]
    public void Of_one_that_a_signal_ended_while_iw_cm_was_gone_nothing_is_said_to_have_failed()
    {
        _host.ShowDevice();
        using var daemon = DaemonProcess.Foreground(_host, _kernel);
        daemon.ExpectLog("daemon: ready");
        _kernel.Refuse(KernelReplyKind.Hello, Errno.EINVAL);
        _kernel.Refuse(KernelReplyKind.MapInfo, Errno.EINVAL);
        _kernel.LoseAnswer(KernelReplyKind.AddMapping);
        _kernel.Send(Scene.Add("10.0.0.1:5000"));
        daemon.ExpectLog("kernel: messages lost");
        var waited = Stopwatch.StartNew();
        while (!Command.Run(_host, "status").Output.Contains("no handshake with the kernel"))
        {
            Assert.True(waited.Elapsed < Timeouts.Answer, daemon.Errors);
        }
        daemon.Stop();

        string status = Command.Run(_host, "status").Output;
        Assert.Matches("^not running: stopped [0-9.]+ s ago; the ports of its 1 mapping are free ", status);
        Assert.DoesNotContain("its log says why", status);
    }

    [Fact]
    public void SIGUSR1_dumps_the_mappings()
    {
        using var daemon = DaemonProcess.Start(_host, _kernel, [Binaries.Ours, "-f"]);
        daemon.ExpectLog("daemon: ready");
        ushort port = _kernel.Expect(
            KernelReplyKind.AddMapping, _kernel.Send(Scene.Add("10.0.0.1:5000"))).MappedLocal.Port;
        _kernel.Expect(KernelReplyKind.AddMapping, _kernel.Send(Scene.Add("[::]:5001", flags: 1)));

        daemon.Signal(TestLibc.SIGUSR1);
        daemon.ExpectLog("mapping: 2 mappings");
        daemon.ExpectLog($"mapping: 0: 10.0.0.1:5000 -> 10.0.0.1:{port} (client 2, references 1, flags 0, Held)");
        daemon.ExpectLog("mapping: 1: [::]:5001 -> [::]:5001 (client 2, references 1, flags 1, Advertised)");
    }

    [Fact]
    public void A_second_daemon_says_so_and_leaves_the_first_alone()
    {
        using var first = DaemonProcess.Foreground(_host, _kernel);
        first.ExpectLog("daemon: ready");
        using var other = new SimulatedKernel();
        using var second = DaemonProcess.Start(_host, other, [Binaries.Ours, "-f", "-l", "error"]);

        Assert.Equal(1, second.ExpectExit());
        Assert.Contains(
            "udp: port 3935 is in use: another port mapper runs on this host",
            Assert.Single(second.Errors.TrimEnd().Split('\n')));
        _kernel.Expect(KernelReplyKind.AddMapping, _kernel.Send(Scene.Add("10.0.0.1:5000")));
    }

    [Theory]
    [InlineData("0.0.0.0")]
    [InlineData("::")]
    public void A_busy_UDP_port_is_reported(string address)
    {
        using Socket other = _host.Open(SocketType.Dgram, new IPEndPoint(IPAddress.Parse(address), 3935));

        (int status, string line) = Fail();

        Assert.Equal(1, status);
        Assert.Contains("udp: port 3935 is in use", line);
        Assert.Contains("ss -ulpn", line);
    }

    [Fact]
    public void A_host_on_which_all_ports_are_reserved_is_told_so()
    {
        _host.Write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40009");
        _host.Write("/proc/sys/net/ipv4/ip_local_reserved_ports", "40000-40009");

        (int status, string line) = Fail();

        Assert.Equal(1, status);
        Assert.Contains("udp: no port of net.ipv4.ip_local_port_range is free: widen it, or reserve less of it", line);
    }

    [Fact]
    public void A_host_without_RDMA_netlink_is_told_how_to_get_it()
    {
        _kernel.RefuseSockets(Errno.EPROTONOSUPPORT);

        (int status, string line) = Fail();

        Assert.Equal(69, status);
        Assert.Contains("netlink: NETLINK_RDMA is not available: load ib_core and iw_cm (modprobe iw_cm)", line);
    }

    [Theory]
    [InlineData(nameof(KernelReplyKind.Hello))]
    [InlineData(nameof(KernelReplyKind.MapInfo))]
    public void A_kernel_that_does_not_answer_is_not_taken_for_one_that_refuses(string unanswered)
    {
        _kernel.BeSilent(Enum.Parse<KernelReplyKind>(unanswered));

        (int status, string line) = Fail();

        Assert.Equal(1, status);
        Assert.Contains("kernel: HELLO not answered (Connection timed out (ETIMEDOUT)", line);
        Assert.Equal(4, _kernel.Expect(KernelReplyKind.Hello).Abi);
        Assert.False(_kernel.HasUnexpected(KernelReplyKind.Hello));
        _host.ShowDevice();
        Assert.Matches(
            "^not running: stopped .* ago without a handshake with the kernel: its log says why\n",
            Command.Run(_host, "status").Output);
    }

    [Theory]
    [InlineData(nameof(KernelReplyKind.Hello))]
    [InlineData(nameof(KernelReplyKind.MapInfo))]
    public void After_an_overrun_in_the_first_handshake_HELLO_is_sent_again(string lost)
    {
        _kernel.LoseAnswer(Enum.Parse<KernelReplyKind>(lost));
        using DaemonProcess daemon = DaemonProcess.Foreground(_host, _kernel);
        daemon.ExpectLog("kernel: messages lost");
        daemon.ExpectLog("daemon: ready");
        Assert.All(_kernel.Messages.Where(message => message.Kind == KernelReplyKind.MapInfo), message => Assert.Equal(
            4, message.Reply.Abi));
        daemon.Stop();
    }

    [Fact]
    public void A_kernel_without_iw_cm_is_told_from_another_network_namespace()
    {
        _kernel.RemoveClients();
        (int status, string line) = Fail();
        Assert.Equal(69, status);
        Assert.Contains("iw_cm is not loaded", line);

        _host.ShowIwCm();
        (status, line) = Fail();
        Assert.Equal(69, status);
        Assert.Contains("not the initial network namespace", line);
    }

    [Fact]
    public void Without_the_capability_it_says_which()
    {
        // package util-linux
        (int status, string line) = Fail(
            "setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", Binaries.Ours, "-f", "-l", "error");

        Assert.Equal(1, status);
        Assert.Contains("CAP_NET_ADMIN", line);
    }

    [Fact]
    public void A_port_id_that_is_taken_is_passed_over_for_another_positive_one()
    {
        _kernel.TakePortIds(3);
        using var daemon = DaemonProcess.Foreground(_host, _kernel);
        daemon.ExpectLog("daemon: ready");

        Assert.InRange(_kernel.Socket.PortId, 1u, (uint)int.MaxValue);
        Assert.NotEqual((uint)daemon.Id, _kernel.Socket.PortId);
        _kernel.Expect(KernelReplyKind.RegisterPid, _kernel.Send(Scene.Register));
    }

    [Fact]
    public void A_complaint_about_the_configuration_is_a_warning_and_the_default_is_used()
    {
        _host.Write("/etc/iwpmd.conf", "query_deadline=1\nnl_sock_rbuf_size=131072\n");
        using var daemon = DaemonProcess.Foreground(_host, _kernel);

        Assert.Matches(
            @"^\d\d:\d\d:\d\d\.\d\d\d warn: configuration: /etc/iwpmd.conf:1: query_deadline .* "
                + @"the default, 3000, stands \(event 601\)$",
            daemon.ExpectLog("/etc/iwpmd.conf:1: query_deadline"));
        daemon.ExpectLog("daemon: ready");
        Assert.Equal(2 * 131072, _kernel.Socket.ReceiveBuffer);
    }

    [Fact]
    public void The_default_receive_buffer_is_that_of_the_manual_and_only_the_port_mappers_group_is_joined()
    {
        using var daemon = DaemonProcess.Foreground(_host, _kernel);
        daemon.ExpectLog("daemon: ready");

        Assert.Equal(2 * 8 * 1024 * 1024, _kernel.Socket.ReceiveBuffer);
        Assert.Equal(2u, _kernel.Socket.Groups);
    }
}

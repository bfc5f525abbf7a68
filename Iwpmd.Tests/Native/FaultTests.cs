// SPDX-License-Identifier: MIT
using System.Diagnostics;
using System.Globalization;
using System.Net;
using Iwpmd.Os;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Native;

/// <summary>
/// What the host can do to a daemon: each fault in doc/lab-results.md that has no test elsewhere. The kernel is told at
/// once, and service comes back by itself.
/// </summary>
public sealed class FaultTests : IDisposable
{
    private readonly Host _host = new();
    private readonly SimulatedKernel _kernel = new();
    private DaemonProcess? _daemon;

    public void Dispose()
    {
        _daemon?.Dispose();
        _kernel.Dispose();
        _host.Dispose();
    }

    [Fact]
    public void At_the_limit_of_descriptors_an_ADD_is_refused_at_once_and_the_next_is_served_when_there_are_some()
    {
        Start();
        Limit("nofile", $"{LimitThatLeaves(3)}");
        List<KernelRequest> added = [];
        int refused = 0;
        for (int i = 0; i < 10; i++)
        {
            KernelRequest add = Scene.Add($"10.0.0.1:{5000 + i}");
            DaemonMessage answer = AnswerTo(_kernel.Send(add));
            refused += answer.Kind == KernelReplyKind.HandleError ? 1 : 0;
            if (answer.Kind == KernelReplyKind.HandleError)
            {
                Assert.Equal(MappingError.CannotCreate, answer.Reply.Error);
                continue;
            }
            added.Add(add);
        }
        Assert.InRange(refused, 1, 9);
        Assert.Contains("raise the limit of open files", _daemon!.ExpectLog("host: no TCP port claimed"));
        int before = Descriptors();
        _kernel.Send(Scene.Remove($"10.0.0.1:{added[0].Local.Port}"));
        _kernel.Expect(KernelReplyKind.AddMapping, _kernel.Send(Scene.Add("10.0.0.1:6000")));
        Assert.Equal(before, Descriptors());
    }

    [Fact]
    public void With_no_port_free_an_ADD_is_refused_at_once_and_the_next_is_served_when_there_is_one()
    {
        _host.Write("/etc/iwpmd.conf", "port_range=40000-40001\n");
        Start();
        int before = Descriptors();
        ushort port = _kernel.Expect(
            KernelReplyKind.AddMapping, _kernel.Send(Scene.Add("10.0.0.1:5000"))).MappedLocal.Port;
        _kernel.Expect(KernelReplyKind.AddMapping, _kernel.Send(Scene.Add("10.0.0.1:5001")));
        for (int i = 0; i < 30; i++)
        {
            Assert.Equal(
                MappingError.CannotCreate,
                _kernel.Expect(KernelReplyKind.HandleError, _kernel.Send(Scene.Add("10.0.0.1:5002"))).Error);
        }
        Assert.Contains("widen port_range", _daemon!.ExpectLog("host: no TCP port claimed"));
        Assert.Equal(before + 2, Descriptors()); // thirty refused ones leave none
        _kernel.Send(Scene.Remove("10.0.0.1:5000"));
        Assert.Equal(
            port,
            _kernel.Expect(KernelReplyKind.AddMapping, _kernel.Send(Scene.Add("10.0.0.1:5003"))).MappedLocal.Port);
        _daemon.ExpectLog("log: suppressed: 27 more lines of event 401"); // though no further one comes
    }

    [Fact]
    public void While_requests_are_refused_every_command_and_the_manager_say_so()
    {
        _host.Write("/etc/iwpmd.conf", "port_range=40000-40000\n");
        using ServiceManager manager = new(_host);
        _daemon = manager.Start(_kernel);
        Ready();
        Assert.Equal(0, Command.Run(_host, "status").Status);
        _kernel.Expect(KernelReplyKind.AddMapping, _kernel.Send(Scene.Add("10.0.0.1:5000")));
        _kernel.Expect(KernelReplyKind.HandleError, _kernel.Send(Scene.Add("10.0.0.1:5001")));
        _kernel.Expect(KernelReplyKind.HandleError, _kernel.Send(Scene.Query("10.0.0.1:5002", "10.0.0.2:80")));

        CommandResult status = Command.Run(_host, "status");
        Assert.Equal(1, status.Status);
        Assert.Matches(
            "^degraded: 2 requests of the kernel refused in .* s, the last .* s ago: no TCP port was free: widen "
                + "port_range\n",
            status.Output);
        Assert.Matches(
            "\"losses\":\\[{\"cause\":\"no_free_port\",\"count\":2,"
                + "\"since_seconds\":[0-9.]+,\"last_seconds\":[0-9.]+}\\]",
            Command.Run(_host, "status", "--json").Output);
        Assert.Contains("\niwpmd_recent_losses{cause=\"no_free_port\"} 2\n", Command.Run(_host, "metrics").Output);
        Assert.Contains("no TCP port was free: widen port_range\n", Command.Run(_host, "doctor").Output);
        const string Line =
            "STATUS=degraded: serving 1 mappings, 2 requests of the kernel refused: no TCP port was free: widen "
                + "port_range";
        Assert.True(
            SpinWait.SpinUntil(() => manager.Texts.Contains(Line), Timeouts.Answer), string.Join('\n', manager.Texts));
    }

    [Fact]
    public void Ports_that_are_reserved_later_are_left_alone_and_a_moved_range_is_followed()
    {
        const string Settings = "/proc/sys/net/ipv4/";
        _host.Write(Settings + "ip_local_port_range", "40000 40009");
        Start();
        _host.Write(Settings + "ip_local_reserved_ports", "40000-40008");
        Assert.Contains("40000 to 40009, 9 of them reserved", _daemon!.ExpectLog("host: TCP port range changed"));
        Assert.Equal(
            40009,
            _kernel.Expect(KernelReplyKind.AddMapping, _kernel.Send(Scene.Add("10.0.0.1:5000"))).MappedLocal.Port);
        _kernel.Expect(KernelReplyKind.HandleError, _kernel.Send(Scene.Add("10.0.0.1:5001")));
        Assert.Contains(
            "none of the ports 40000 to 40009 is free, 9 of them are reserved: widen net.ipv4.ip_local_port_range",
            _daemon.ExpectLog("host: no TCP port claimed"));
        Assert.Contains(
            "\nports      1 of 10 used, 40000 to 40009, 9 of them reserved\n", Command.Run(_host, "status").Output);

        _host.Write(Settings + "ip_local_port_range", "50000 50000");
        _daemon.ExpectLog("50000 to 50000, 0 of them reserved");
        Assert.Equal(
            50000,
            _kernel.Expect(KernelReplyKind.AddMapping, _kernel.Send(Scene.Add("10.0.0.1:5002"))).MappedLocal.Port);
    }

    [Fact]
    public void A_port_range_that_is_reserved_as_a_whole_serves()
    {
        _host.Write("/proc/sys/net/ipv4/ip_local_reserved_ports", "41000-41009");
        _host.Write("/etc/iwpmd.conf", "port_range=41000-41009\n");
        Start();
        Assert.InRange(
            _kernel.Expect(KernelReplyKind.AddMapping, _kernel.Send(Scene.Add("10.0.0.1:5000"))).MappedLocal.Port,
            41000, 41009);
        Assert.DoesNotContain("failure  ports", Command.Run(_host, "doctor").Output);
        Assert.Equal(0, Command.Run(_host, "status").Status);
    }

    [Fact]
    public void Without_a_descriptor_to_be_had_a_reload_is_heard()
    {
        Start();
        Limit("nofile", $"{LimitThatLeaves(0)}");
        Assert.Equal(0, Command.Run(_host, "reload").Status);
        Assert.Equal(0, Command.Run(_host, "reload").Status);
    }

    [Fact]
    public async Task Who_cannot_be_accepted_is_accepted_later_and_meanwhile_the_daemon_rests()
    {
        Start();
        Limit("nofile", "3:1000");
        Task<CommandResult> reload = Task.Run(() => Command.Run(_host, "reload"));
        _daemon!.ExpectLog("daemon: request not accepted: Too many open files (EMFILE)");
        _daemon.WaitIdle();
        _kernel.Expect(KernelReplyKind.HandleError, _kernel.Send(Scene.Add("10.0.0.1:5000")));
        Thread.Sleep(TimeSpan.FromSeconds(3)); // and it was tried again
        Assert.Equal(2, _daemon.Errors.Split("accepted: Too many open files (EMFILE)").Length);
        Limit("nofile", "1000:1000");
        Assert.Equal(0, (await reload).Status);
    }

    [Fact]
    public void Without_free_memory_it_continues_to_serve()
    {
        _daemon = DaemonProcess.Start(_host, _kernel, [Binaries.Ours, "-f"]); // the lines of -l debug need some
        Ready();
        // all that is needed is there now
        _kernel.Expect(KernelReplyKind.AddMapping, _kernel.Send(Scene.Add("10.0.0.1:5000")));
        Limit("as", "1");
        for (int i = 1; i <= 200; i++)
        {
            _kernel.Expect(KernelReplyKind.AddMapping, _kernel.Send(Scene.Add($"10.0.0.1:{5000 + i}")));
        }
        Assert.False(_daemon!.HasExited);
    }

    [Fact]
    public void On_a_full_run_it_serves_without_a_record()
    {
        _host.Run(() =>
        {
            Directory.CreateDirectory("/run/iwpmd");
            Tool.Run("mount", "util-linux", "-t", "tmpfs", "-o", "size=64k", "full", "/run/iwpmd");
        });
        Start();
        Assert.Contains("ENOSPC", _daemon!.ExpectLog("continuing without it"));
        _kernel.Expect(KernelReplyKind.AddMapping, _kernel.Send(Scene.Add("10.0.0.1:5000")));
        _daemon.Stop();
    }

    [Fact]
    public void Room_of_the_record_that_is_taken_during_the_start_ends_it_and_the_next_one_serves()
    {
        _host.Run(() =>
        {
            Directory.CreateDirectory("/run/iwpmd");
            Tool.Run("mount", "util-linux", "-t", "tmpfs", "-o", "size=64m", "shared", "/run/iwpmd");
        });
        _kernel.Hold(KernelReplyKind.Hello);
        _daemon = DaemonProcess.Foreground(_host, _kernel);
        _kernel.Expect(KernelReplyKind.Hello);
        _host.Run(() =>
        {
            using FileStream other = File.Create("/run/iwpmd/other");
            Assert.Throws<IOException>(() => other.Write(new byte[64 << 20]));
        });
        _kernel.LetGo(KernelReplyKind.Hello);
        Assert.Equal(1, _daemon.ExpectExit());
        Assert.Contains("state: fallocate: No space left on device (ENOSPC)", _daemon.Errors);

        Start();
        Assert.Contains("ENOSPC", _daemon.ExpectLog("continuing without it"));
        _kernel.Expect(KernelReplyKind.AddMapping, _kernel.Send(Scene.Add("10.0.0.1:5000")));
    }

    [Fact]
    public void Without_a_syslog_or_with_stderr_closed_it_serves()
    {
        using var silent = DaemonProcess.Start(
            _host, _kernel, ["sh", "-c", $"exec {Binaries.Ours} --foreground 0<&- 1>&- 2>&-"]);
        _kernel.ExpectHandshake();
        _kernel.Expect(KernelReplyKind.RegisterPid, _kernel.Send(Scene.Register));
        _kernel.Expect(KernelReplyKind.AddMapping, _kernel.Send(Scene.Add("10.0.0.1:5000")));
        silent.Stop();

        // detached, on a host without /dev/log
        using var launcher = DaemonProcess.Start(_host, _kernel, [Binaries.Ours]);
        Assert.Equal(0, launcher.ExpectExit());
        int process = _kernel.Processes[^1];
        try
        {
            _kernel.Expect(KernelReplyKind.AddMapping, _kernel.Send(Scene.Add("10.0.0.1:5001")));
        }
        finally
        {
            _ = TestLibc.kill(process, NativeCalls.SIGKILL);
            Assert.True(NativeCalls.AwaitExit(process, Timeouts.Exit));
        }
    }

    [Fact]
    public void Queries_end_at_once_while_there_is_no_way_and_go_out_when_there_is_one_again()
    {
        WithPeer((near, peer) =>
        {
            near.Ip("addr del 10.0.0.1/24 dev eth0");
            KernelReply alone = _kernel.Expect(
                KernelReplyKind.QueryMapping, _kernel.Send(Scene.Query("10.0.0.1:5000", "10.0.0.2:7174")));
            Assert.Equal((MappingError.None, 7174), (alone.Error, alone.MappedRemote.Port));
            _daemon!.ExpectLog("query: fallback");

            near.Ip("addr add 10.0.0.1/24 dev eth0");
            uint asked = 0;
            var waited = Stopwatch.StartNew();
            while (!peer.ReceiveAll().Any())
            {
                Assert.True(waited.Elapsed < Timeouts.Answer, "no Request comes");
                // the host is remembered for five seconds
                asked = _kernel.Send(Scene.Query($"10.0.0.1:{6000 + asked % 1000}", "10.0.0.2:7174"));
                Thread.Sleep(500);
            }
        });
    }

    [Fact]
    public void Accepts_that_a_rule_of_this_host_keeps_in_are_told()
    {
        WithPeer((near, peer) =>
        {
            _kernel.Expect(KernelReplyKind.AddMapping, _kernel.Send(Scene.Add("10.0.0.1:7174")));
            near.Run(() => Tool.Run(
                "nft", "nftables",
                "add table inet f; add chain inet f c { type filter hook output priority 0; }; "
                    + "add rule inet f c udp sport 3935 drop"));
            peer.Send(
                new IPEndPoint(IPAddress.Parse("10.0.0.1"), Peer.MapperPort),
                Peer.Request(7, "10.0.0.2:5001", "10.0.0.1:7174", "10.0.0.2:5002"));
            Assert.Contains(
                "Operation not permitted (EPERM): let UDP port 3935 out (nft list ruleset",
                _daemon!.ExpectLog("peer: send failed: Accept to 10.0.0.2:3935"));
            CommandResult status = Command.Run(near, "status");
            Assert.Equal(1, status.Status);
            Assert.StartsWith("degraded: 1 answer to other hosts not sent ", status.Output);
        });
    }

    [Fact]
    public void While_no_peer_can_be_read_the_daemon_waits_and_serves_the_kernel_and_then_it_hears_them_again()
    {
        WithPeer((_, peer) =>
        {
            _kernel.Expect(KernelReplyKind.AddMapping, _kernel.Send(Scene.Add("10.0.0.1:7174")));
            var here = new IPEndPoint(IPAddress.Parse("10.0.0.1"), Peer.MapperPort);
            _kernel.RefusePeers(Errno.EACCES);
            peer.Send(here, Peer.Request(7, "10.0.0.2:5001", "10.0.0.1:7174", "10.0.0.2:5002"));
            Assert.Contains("Permission denied (EACCES)", _daemon!.ExpectLog("peer: receive on UDP port 3935 failed"));
            long refused = _kernel.PeersRefused;
            Thread.Sleep(TimeSpan.FromSeconds(5));
            Assert.InRange(_kernel.PeersRefused - refused, 1, 100); // 2 or 3 tries, each of a few calls
            _kernel.Expect(KernelReplyKind.AddMapping, _kernel.Send(Scene.Add("10.0.0.1:7175")));

            _kernel.RefusePeers(Errno.None);
            Assert.Equal(PeerMessageType.Accept, Peer.Parse(peer.Receive().Bytes).Type);
        });
    }

    [Fact]
    public void The_loopback_interface_going_and_coming_changes_nothing_for_the_kernel()
    {
        Start();
        _host.Ip("link set lo down");
        _kernel.Expect(KernelReplyKind.AddMapping, _kernel.Send(Scene.Add("10.0.0.1:5000")));
        _host.Ip("link set lo up");
        using Peer peer = new(_host, "127.0.0.1", 0);
        peer.Send(
            new IPEndPoint(IPAddress.Loopback, Peer.MapperPort),
            Peer.Request(7, "127.0.0.1:5001", "127.0.0.1:7999", "127.0.0.1:5002"));
        Assert.Equal(PeerMessageType.Reject, Peer.Parse(peer.Receive().Bytes).Type);
    }

    private void Start()
    {
        _daemon = DaemonProcess.Foreground(_host, _kernel);
        Ready();
    }

    /// <summary>The daemon on a host beside another one, where a peer is 10.0.0.2.</summary>
    private void WithPeer(Action<Host, Peer> test)
    {
        (Host near, Host far) = Host.Pair();
        using (near)
        using (far)
        using (var peer = new Peer(far, "10.0.0.2"))
        {
            _daemon = DaemonProcess.Foreground(near, _kernel);
            Ready();
            test(near, peer);
        }
    }

    private void Ready()
    {
        _daemon!.ExpectLog("daemon: ready");
        _kernel.Expect(KernelReplyKind.RegisterPid, _kernel.Send(Scene.Register));
    }

    private DaemonMessage AnswerTo(uint sequence) => _kernel.ExpectMessage(
        m => m.Verdict == 0 && m.IsRequest && m.Reply.RequestSequence == sequence, $"an answer to {sequence}");

    private int Descriptors() => OpenDescriptors().Count;

    /// <summary>What it has open once that stands still: a look at the host opens some for a moment.</summary>
    private HashSet<int> OpenDescriptors()
    {
        for (HashSet<int> before = []; ; Thread.Sleep(200))
        {
            HashSet<int> now = [.. Directory.GetFiles($"/proc/{_daemon!.Id}/fd").Select(
                path => int.Parse(Path.GetFileName(path), CultureInfo.InvariantCulture))];
            if (now.SetEquals(before))
            {
                return now;
            }
            before = now;
        }
    }

    /// <summary>
    /// The limit is one of numbers, not of how many: those above it, inherited from whoever runs the tests, do not
    /// count.
    /// </summary>
    private int LimitThatLeaves(int free)
    {
        HashSet<int> open = OpenDescriptors();
        return Enumerable.Range(0, int.MaxValue).Where(number => !open.Contains(number)).ElementAt(free);
    }

    private void Limit(string resource, string value) =>
        Tool.Run(
            "prlimit", "util-linux", "--pid", _daemon!.Id.ToString(CultureInfo.InvariantCulture),
            $"--{resource}={value}");
}

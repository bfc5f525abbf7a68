// SPDX-License-Identifier: MIT
using System.Diagnostics;
using Iwpmd.Os.Interop;
using Iwpmd.Os;
using Iwpmd.Tests.Os;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Native;

/// <summary>One daemon follows another: what the second has of the first, and what others notice of it.</summary>
public sealed class HandOverTests : IDisposable
{
    private const string Prober = "Iwpmd.Tests/Support/prober.c";

    private readonly Host _host = new();
    private readonly SimulatedKernel _kernel = new();
    private readonly ServiceManager _manager;
    private readonly List<DaemonProcess> _processes = [];
    private Task _load = Task.CompletedTask;
    private volatile bool _loadEnds;
    private int _answered;

    public HandOverTests() => _manager = new ServiceManager(_host);

    public void Dispose()
    {
        _loadEnds = true;
        _ = Task.WhenAny(_load).Wait(Timeouts.Exit); // the load of a test that has failed
        _processes.ForEach(p => p.Dispose());
        _manager.Dispose();
        _kernel.Dispose();
        _host.Dispose();
    }

    private DaemonProcess Keep(DaemonProcess process)
    {
        _processes.Add(process);
        return process;
    }

    private DaemonProcess StartManaged(params string[] options)
    {
        DaemonProcess daemon = Keep(_manager.Start(_kernel, options));
        daemon.ExpectLog("daemon: ready");
        return daemon;
    }

    private DaemonProcess StartFirst()
    {
        DaemonProcess daemon = StartManaged();
        _kernel.ExpectHandshake();
        _kernel.Expect(KernelReplyKind.RegisterPid, _kernel.Send(Scene.Register));
        return daemon;
    }

    private ushort Add(string local) =>
        _kernel.Expect(KernelReplyKind.AddMapping, _kernel.Send(Scene.Add(local))).MappedLocal.Port;

    /// <summary>
    /// Many, but never so many at once that the last ones wait too long for an answer; on a busy machine fewer, as many
    /// as another process can take over before the kernel gives up who asks meanwhile. The mapped ports.
    /// </summary>
    private ushort[] AddMany(int count)
    {
        const int Least = 1000;
        var time = Stopwatch.StartNew();
        for (int i = 0; i < count; i++)
        {
            if (i % Least == 0 && i > 0 && time.Elapsed > TimeSpan.FromSeconds(4))
            {
                return AwaitPorts(i);
            }
            _kernel.Send(Scene.Add($"10.{i / 10000}.{i / 100 % 100}.{i % 100}:{5000 + (i % 1000)}"));
            if ((i + 1) % Least == 0 || i + 1 == count)
            {
                AwaitPorts(i + 1);
            }
        }
        return AwaitPorts(count);
    }

    private ushort[] AwaitPorts(int count)
    {
        for (var waited = Stopwatch.StartNew(); Ports().Length < count; Thread.Sleep(5))
        {
            Assert.True(waited.Elapsed < Timeouts.Answer, $"{Ports().Length} of {count} were answered");
        }
        return Ports();

        ushort[] Ports() =>
            [.. _kernel.Messages.Where(
                m => m.Verdict == 0 && m.IsRequest && m.Kind == KernelReplyKind.AddMapping).Select(
                    m => m.Reply.MappedLocal.Port)];
    }

    /// <summary>Two thousand that ask again as soon as they have an answer.</summary>
    [Fact]
    public async Task An_end_under_load_leaves_nothing_unanswered()
    {
        const int Outstanding = 2000;
        DaemonProcess daemon = StartFirst();
        int sent = 0, answered = 0;
        _load = Task.Factory.StartNew(
            () =>
            {
                while (!_loadEnds)
                {
                    Volatile.Write(ref answered, _kernel.Added);
                    for (; sent < answered + Outstanding; sent++)
                    {
                        _kernel.Send(Scene.Add($"10.{sent / 10000}.{sent / 100 % 100}.{sent % 100}:5000", flags: 1));
                    }
                }
            },
            TaskCreationOptions.LongRunning);
        Assert.True(SpinWait.SpinUntil(
            () => Volatile.Read(ref answered) > 3 * Outstanding || _load.IsCompleted, Timeouts.Answer));
        daemon.Signal(TestLibc.SIGTERM);
        Assert.Equal(0, daemon.ExpectExit());
        _loadEnds = true;
        await _load;
        StartManaged();
        Assert.True(
            SpinWait.SpinUntil(() => _kernel.Added == sent, Timeouts.Answer),
            $"{_kernel.Added} of {sent} were answered");
    }

    private DaemonProcess StartProber(ushort[] ports)
    {
        File.WriteAllLines(_host["ports"], ports.Select(port => $"{port}"));
        DaemonProcess prober = Keep(DaemonProcess.Start(_host, null, [Binaries.Compile(Prober), _host["ports"]]));
        prober.ExpectLog("first round");
        return prober;
    }

    /// <summary>
    /// Adds, asks and removes without a pause until <see cref="_loadEnds"/>; each must be answered by what it asked
    /// for.
    /// </summary>
    private void Load()
    {
        for (int i = 0; !_loadEnds; i++)
        {
            string listener = $"10.9.0.1:{10000 + (i % 5000)}", connection = $"127.0.0.1:{20000 + (i % 5000)}";
            uint add = _kernel.Send(Scene.Add(listener)),
                query = _kernel.Send(Scene.Query(connection, "127.0.0.2:7174"));
            _kernel.Expect(KernelReplyKind.AddMapping, add);
            // by the daemon itself: nobody listens there
            Assert.Equal(MappingError.RejectedByPeer, _kernel.Expect(KernelReplyKind.QueryMapping, query).Error);
            _kernel.Send(Scene.Remove(listener));
            _kernel.Send(Scene.Remove(connection));
            Interlocked.Add(ref _answered, 2);
        }
    }

    /// <summary>Returns when the load has made some way.</summary>
    private void AwaitLoad()
    {
        int target = Volatile.Read(ref _answered) + 20;
        while (Volatile.Read(ref _answered) < target && !_load.IsCompleted)
        {
            Thread.Sleep(1);
        }
    }

    private static unsafe int HardDescriptorLimit()
    {
        Libc.rlimit limit;
        TestLibc.Succeed(Libc.getrlimit(Libc.RLIMIT_NOFILE, &limit));
        return (int)Math.Min((ulong)limit.rlim_max, int.MaxValue);
    }

    private static void ExpectNoPortFree(DaemonProcess prober)
    {
        prober.Stop();
        Assert.DoesNotContain("free", prober.Errors);
        Assert.Matches(@"[1-9]\d* rounds of", prober.Errors);
    }

    /// <summary>In one restart by the manager, or by --takeover.</summary>
    [Theory]
    [InlineData("manager")]
    [InlineData("takeover")]
    public async Task Under_load_no_port_is_free_no_request_is_lost_and_the_kernel_notices_nothing(string way)
    {
        int count = Math.Min(18_000, HardDescriptorLimit() - 2000);
        Assert.True(count >= 1000, "this process may have too few descriptors: raise the hard limit (ulimit -Hn)");
        _host.Write("/etc/iwpmd.conf", "query_deadline=9000\n"); // a busy machine is slow to start the second daemon
        DaemonProcess first = StartFirst();
        ushort[] ports = AddMany(count);
        count = ports.Length;
        uint portId = _kernel.Socket.PortId;
        DaemonProcess prober = StartProber(ports);
        _load = Task.Factory.StartNew(Load, TaskCreationOptions.LongRunning);
        AwaitLoad();

        DaemonProcess second;
        if (way == "manager")
        {
            first.Stop();
            second = StartManaged();
        }
        else
        {
            second = Keep(DaemonProcess.Start(_host, _kernel, [Binaries.Ours, "-s", "-l", "debug", "--takeover"]));
            second.ExpectLog("daemon: ready");
            Assert.Equal(0, first.ExpectExit());
        }
        AwaitLoad();
        _loadEnds = true;
        await _load;
        ExpectNoPortFree(prober);
        Assert.Contains($"netlink port {portId}, ", second.ExpectLog("daemon: taking over"));
        Assert.Equal((portId, second.Id), (_kernel.Socket.PortId, _kernel.Socket.ProcessId));
        Assert.False(
            _kernel.HasUnexpected(KernelReplyKind.Hello) || _kernel.HasUnexpected(KernelReplyKind.MapInfo)
                || _kernel.HasUnexpected(KernelReplyKind.HandleError));
        second.Signal(TestLibc.SIGUSR1);
        second.ExpectLog($"mapping: {count} mappings");
    }

    [Fact]
    public void The_manager_keeps_the_sockets_from_the_start_and_the_ports_over_an_orderly_end()
    {
        DaemonProcess first = StartFirst();
        Add("10.0.0.1:5000");
        _manager.ExpectStored("netlink", "udp", "udp", "udp", "udp");
        first.Stop();
        _manager.ExpectStored("netlink", "ports", "udp", "udp", "udp", "udp");
        StartManaged();
        _manager.ExpectStored("netlink", "udp", "udp", "udp", "udp");
    }

    [Fact]
    public void After_a_crash_requests_sent_meanwhile_are_served()
    {
        DaemonProcess first = StartFirst();
        ushort gone = Add("10.0.0.1:5000"), kept = Add("10.0.0.1:5001");
        first.Kill();
        uint waiting = _kernel.Send(Scene.Add("10.0.0.1:5002"));
        _kernel.Send(Scene.Remove("10.0.0.1:5000"));

        StartManaged();
        _kernel.Expect(KernelReplyKind.AddMapping, waiting);
        Add("10.0.0.1:5003"); // and so the REMOVE before it is done
        Assert.True(_host.IsTcpPortFree(gone));
        Assert.False(_host.IsTcpPortFree(kept));
        Assert.False(_kernel.HasUnexpected(KernelReplyKind.Hello));
    }

    [Fact]
    public void After_twelve_seconds_nothing_is_answered_that_the_kernel_gave_up_and_REMOVEs_are_done()
    {
        DaemonProcess first = StartFirst();
        ushort gone = Add("10.0.0.1:5000");
        first.Kill();
        uint late = _kernel.Send(Scene.Add("10.0.0.1:5002")),
            lateQuery = _kernel.Send(Scene.Query("10.0.0.1:5003", "127.0.0.2:7174"));
        _kernel.Send(Scene.Remove("10.0.0.1:5000"));
        Thread.Sleep(TimeSpan.FromSeconds(12));

        DaemonProcess second = StartManaged();
        Add("10.0.0.1:5004");
        Assert.False(_kernel.HasUnexpected(KernelReplyKind.AddMapping, late) || _kernel.HasUnexpected(
            KernelReplyKind.QueryMapping, lateQuery));
        Assert.True(_host.IsTcpPortFree(gone));
        second.ExpectLog("not answered: it may have waited longer than the kernel does");
    }

    [Fact]
    public void Another_max_mappings_loses_nothing()
    {
        DaemonProcess first = StartFirst();
        ushort[] ports = AddMany(100);
        DaemonProcess prober = StartProber(ports);
        foreach (int mappings in (int[])[64, 200000])
        {
            first.Stop();
            _host.Write("/etc/iwpmd.conf", $"max_mappings={mappings}\n");
            first = StartManaged();
            first.ExpectLog("state: /run/iwpmd/state: migrated from iwpmd");
            first.Signal(TestLibc.SIGUSR1);
            first.ExpectLog("mapping: 100 mappings");
        }
        ExpectNoPortFree(prober);
        Assert.False(_kernel.HasUnexpected(KernelReplyKind.Hello));
    }

    [Fact]
    public void A_port_that_was_taken_in_between_is_logged_with_its_mapping_and_claimed_when_it_is_free()
    {
        DaemonProcess first = StartFirst();
        ushort port = Add("10.0.0.1:5000");
        first.Kill();
        using (_host.Open(
            System.Net.Sockets.SocketType.Stream, new System.Net.IPEndPoint(System.Net.IPAddress.Any, port)))
        {
            DaemonProcess second = StartManaged();
            second.ExpectLog(
                $"mapping: unprotected: 10.0.0.1:5000 -> 10.0.0.1:{port}: TCP port {port} is in use by another "
                    + "program");
        }
        _processes[^1].ExpectLog($"mapping: protected again: 10.0.0.1:5000 -> 10.0.0.1:{port}");
        Assert.False(_host.IsTcpPortFree(port));
    }

    [Theory]
    [InlineData("")]
    [InlineData("log_level=debug\n")]
    public void A_successor_can_detach(string configuration)
    {
        if (configuration.Length > 0)
        {
            _host.Write("/etc/iwpmd.conf", configuration);
        }
        DaemonProcess first = StartFirst();
        Assert.Equal(0, Command.Run(_host, "reload").Status);
        CommandResult second = Command.Run(_host, _kernel.Environment, [Binaries.Ours, "--takeover"]);
        try
        {
            Assert.True(second.Status == 0, second.ToString());
            Assert.Equal(0, first.ExpectExit());
            Add("10.0.0.1:5000");
        }
        finally
        {
            NativeCalls.Succeed(TestLibc.kill(_kernel.Socket.ProcessId, TestLibc.SIGTERM), "kill");
        }
    }

    [Fact]
    public void A_takeover_without_a_daemon_is_an_ordinary_start()
    {
        DaemonProcess daemon = Keep(DaemonProcess.Foreground(_host, _kernel, "--takeover"));
        daemon.ExpectLog("daemon: ready");
        _kernel.ExpectHandshake();
    }

    [Theory]
    [InlineData("nothing", "daemon: request of user 0 refused: it ended without a message")]
    [InlineData("something else", "daemon: request of user 0 refused: not understood: is it of another version?")]
    [InlineData("no receipt", "daemon: handover failed: handover to another daemon: ")] // ETIMEDOUT or EPIPE
    public void A_takeover_that_is_broken_off_leaves_the_daemon_serving(string how, string complaint)
    {
        DaemonProcess daemon = StartFirst();
        ushort port = Add("10.0.0.1:5000");
        _host.Run(() =>
        {
            Assert.Equal(Errno.None, UnixMessageSocket.Connect("/run/iwpmd/takeover", out int connection));
            if (how != "nothing")
            {
                Assert.Equal(
                    Errno.None,
                    PassedFds.Send(connection, [how == "no receipt" ? (byte)'T' : (byte)'x'], [], Timeouts.Answer));
            }
            if (how == "no receipt")
            {
                var received = new HandedOverFds();
                Assert.True(SocketFd.WaitReadable(connection, Timeouts.Answer));
                Assert.Equal(Errno.None, received.Empty(connection, KernelProtocol.NetlinkProtocol));
                Assert.True(received.File >= 0);
            }
            SocketFd.Close(connection);
        });
        daemon.ExpectLog(complaint);
        Assert.NotEqual(port, Add("10.0.0.1:5001"));
        Assert.False(_host.IsTcpPortFree(port));
        daemon.Stop();
    }

    /// <summary>
    /// While it serves what it has read it leaves the ACKs of its answers unread, but for one of eight: here HELLO's,
    /// so that the replay is asked for, and not the replay's.
    /// </summary>
    [Fact]
    public void A_takeover_that_is_broken_off_during_a_handshake_leaves_the_daemon_serving()
    {
        const int ServedBefore = 2 * 64, Unread = 7; // in this turn of the loop and in the next, which hears of it
        const uint Used = 1000; // as many sequence numbers
        DaemonProcess daemon = StartFirst();
        Errno error = Errno.None;
        int connection = -1;
        _kernel.HoldReceive();
        for (int i = 0; i < ServedBefore + Unread; i++)
        {
            _kernel.Send(Scene.Add($"10.0.0.1:{5000 + i}"));
        }
        _kernel.RestartSequence();
        _kernel.Send(Scene.Register);
        _host.Run(() => error = UnixMessageSocket.Connect("/run/iwpmd/takeover", out connection));
        Assert.Equal(Errno.None, error);
        Assert.Equal(Errno.None, PassedFds.Send(connection, [(byte)'T'], [], Timeouts.Answer));
        SocketFd.Close(connection);
        _kernel.LetGoReceive();
        daemon.ExpectLog("daemon: handover failed");
        while (_kernel.NewSequence() < Used)
        {
        }
        Add("10.0.0.1:6000");
    }

    /// <summary>Many of them, each of which would be waited for.</summary>
    [Fact]
    public void Those_who_connect_and_say_nothing_are_not_waited_for()
    {
        DaemonProcess daemon = StartFirst();
        List<int> silent = [];
        for (int i = 0; i < 4; i++)
        {
            Errno error = Errno.None;
            int connection = -1;
            _host.Run(() => error = UnixMessageSocket.Connect("/run/iwpmd/takeover", out connection));
            Assert.Equal(Errno.None, error);
            silent.Add(connection);
            daemon.WaitIdle();
            Add($"10.0.0.1:{5000 + i}");
            Assert.DoesNotContain("refused", daemon.Errors);
        }
        daemon.ExpectLog("daemon: request of user 0 refused: it is empty");
        Assert.True(SpinWait.SpinUntil(() => daemon.Errors.Split("it is empty").Length == 5, Timeouts.Answer));
        silent.ForEach(SocketFd.Close);
        Assert.Equal(0, Command.Run(_host, "reload").Status);
    }

    /// <summary>The successor reads from a pipe, and so no earlier than this test wants.</summary>
    [Fact]
    public void A_reload_after_the_successor_has_opened_its_configuration_is_not_undone()
    {
        DaemonProcess first = StartFirst();
        string pipe = _host["configuration"];
        Tool.Run("mkfifo", "coreutils", pipe);
        DaemonProcess second = Keep(DaemonProcess.Foreground(_host, _kernel, "--takeover", "-c", pipe));
        using (FileStream successor = new(pipe, FileMode.Open, FileAccess.Write)) // opens when it does
        {
            _host.Write("/etc/iwpmd.conf", "port_range=41000-41000\n");
            Assert.Equal(0, Command.Run(_host, "reload").Status);
            successor.Write("port_range=42000-42000\n"u8);
        }
        Assert.Equal(1, second.ExpectExit());
        second.ExpectLog(
            "takeover: aborted: the configuration was reloaded after this daemon had read it: start it again: the "
                + "running daemon continues to serve");
        first.ExpectLog("daemon: handover failed");
        Assert.Equal(41000, Add("10.0.0.1:5000"));
    }

    [Theory]
    [InlineData("/dev/null")]
    [InlineData("/etc/passwd")] // state files are plain ones too, but no manager has them
    public void What_the_manager_passes_and_is_not_ours_is_closed_and_named(string path)
    {
        StartFirst().Stop();
        _manager.Keep("other", File.OpenHandle(path));
        StartManaged().ExpectLog("daemon: closed an unexpected inherited descriptor: no socket");
    }

    /// <summary>With port id 0 its user hangs in the kernel; with a negative one the kernel ignores it.</summary>
    [Theory]
    [InlineData(0u)]
    [InlineData(0x80001234u)]
    public void A_netlink_socket_without_a_positive_port_id_is_replaced_by_a_new_one(uint portId)
    {
        StartFirst().Stop();
        _kernel.Socket.PortId = portId;
        StartManaged().ExpectLog("daemon: closed an unexpected inherited descriptor: netlink socket");
        _kernel.ExpectHandshake();
        Assert.InRange(_kernel.Socket.PortId, 1u, (uint)int.MaxValue);
        Add("10.0.0.1:5000");
    }
}

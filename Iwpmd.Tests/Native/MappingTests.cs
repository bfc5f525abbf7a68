// SPDX-License-Identifier: MIT
using System.Net;
using System.Net.Sockets;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Native;

/// <summary>The published executable and what the kernel asks of it while it runs.</summary>
public class MappingTests
{
    [Theory]
    [InlineData("10.0.0.1:5000")]
    [InlineData("0.0.0.0:5000")]
    [InlineData("[fd00::1]:5000")]
    [InlineData("[::]:5000")]
    public void A_mapping_holds_its_port_from_ADD_to_REMOVE(string local)
    {
        using Scene scene = new Scene().Ready();
        AddressFamily family = local[0] == '[' ? AddressFamily.InterNetworkV6 : AddressFamily.InterNetwork;

        ushort port = scene.AddMapping(local);
        Assert.NotEqual(5000, port);
        Assert.False(scene.IsFree(port, family));
        Assert.True(scene.IsFree(5000, family));

        scene.Kernel.Send(Scene.Remove(local));
        scene.Drain();
        Assert.True(scene.IsFree(port, family));
        scene.Daemon.Stop();
    }

    [Fact]
    public void Ports_are_claimed_in_the_range_of_the_host_without_the_reserved()
    {
        using var host = new Host();
        host.Write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40005");
        host.Write("/proc/sys/net/ipv4/ip_local_reserved_ports", "40001,40003-40004");
        using Socket other = host.Open(SocketType.Stream, new IPEndPoint(IPAddress.Any, 40002));
        using var kernel = new SimulatedKernel();
        using var daemon = DaemonProcess.Foreground(host, kernel);
        daemon.ExpectLog("daemon: ready");

        ushort[] ports = [.. Enumerable.Range(5000, 2).Select(
            local => kernel.Expect(
                KernelReplyKind.AddMapping, kernel.Send(Scene.Add($"10.0.0.1:{local}"))).MappedLocal.Port)];
        Assert.Equal((ushort[])[40000, 40005], ports.Order());
        Assert.Equal(
            MappingError.CannotCreate,
            kernel.Expect(KernelReplyKind.HandleError, kernel.Send(Scene.Add("10.0.0.1:5002"))).Error);
    }

    [Fact]
    public void A_duplicate_is_refused_and_its_REMOVE_takes_nothing_from_the_owner()
    {
        using Scene scene = new Scene().Ready();
        ushort port = scene.AddMapping("10.0.0.1:5000");

        Assert.Equal(MappingError.Duplicate, scene.ExpectRefusal(Scene.Add("10.0.0.1:5000")));
        Assert.Equal(MappingError.Duplicate, scene.ExpectRefusal(Scene.Add("0.0.0.0:5000")));
        scene.Kernel.Send(Scene.Remove("10.0.0.1:5000"));
        scene.Kernel.Send(Scene.Remove("0.0.0.0:5000"));
        scene.Drain();
        Assert.False(scene.IsFree(port));

        scene.Kernel.Send(Scene.Remove("10.0.0.1:5000"));
        scene.Drain();
        Assert.True(scene.IsFree(port));
    }

    [Fact]
    public void NO_PORT_MAP_is_recorded_and_binds_nothing()
    {
        using Scene scene = new Scene().Ready();

        Assert.Equal(5000, scene.AddMapping("10.0.0.1:5000", flags: 1));
        Assert.True(scene.IsFree(5000));
        Assert.Equal(MappingError.Duplicate, scene.ExpectRefusal(Scene.Add("10.0.0.1:5000", flags: 1)));
    }

    [Fact]
    public void Two_hundred_cycles_leave_no_port_behind()
    {
        using Scene scene = new Scene().Ready();
        HashSet<ushort> ports = [];
        for (int i = 0; i < 200; i++)
        {
            ports.Add(scene.AddMapping("10.0.0.1:5000"));
            scene.Kernel.Send(Scene.Remove("10.0.0.1:5000"));
        }

        scene.Drain();
        Assert.All(ports, port => Assert.True(scene.IsFree(port)));
    }

    [Fact]
    public void A_message_of_another_process_is_not_heard()
    {
        using Scene scene = new Scene().Ready();
        ushort port = scene.AddMapping("10.0.0.1:5000");

        scene.Kernel.SendRaw(KernelBytes.Of(scene.Kernel.Announce(Scene.Add("10.0.0.1:5001"))), source: 4711);
        scene.Kernel.SendRaw(KernelBytes.Of(scene.Kernel.Announce(Scene.Remove("10.0.0.1:5000"))), source: 4711);
        scene.Drain();

        scene.Daemon.ExpectLog("netlink message of process 4711");
        Assert.False(scene.Kernel.HasUnexpected(KernelReplyKind.AddMapping));
        Assert.False(scene.IsFree(port));
    }

    [Fact]
    public void Messages_of_other_processes_without_end_keep_neither_a_peer_nor_a_signal_waiting()
    {
        using Scene scene = new Scene().Ready();
        using var peer = new Peer(scene.Host, "127.0.0.1", 0);
        bool ended = false;
        byte[] meaningless = new byte[16];
        Thread[] noise = [.. Enumerable.Range(0, 3).Select(_ => new Thread(() =>
        {
            while (!Volatile.Read(ref ended))
            {
                scene.Kernel.Socket.SendOrDrop(meaningless, charge: 0, source: 4711);
            }
        }))];
        Array.ForEach(noise, thread => thread.Start());
        try
        {
            Thread.Sleep(200);
            peer.Send(
                new IPEndPoint(IPAddress.Loopback, Peer.MapperPort),
                Peer.Request(7, "127.0.0.1:5001", "127.0.0.1:7999", "127.0.0.1:5002"));
            Assert.Equal(PeerMessageType.Reject, Peer.Parse(peer.Receive().Bytes).Type);
            scene.Daemon.Stop();
        }
        finally
        {
            Volatile.Write(ref ended, true);
            Array.ForEach(noise, thread => thread.Join());
        }
    }

    /// <summary>Of one wildcard address peers can be told one port.</summary>
    [Fact]
    public void A_wildcard_of_two_device_classes_is_logged()
    {
        using Scene scene = new Scene().Ready();
        ushort port = scene.AddMapping("0.0.0.0:5000");
        Assert.Equal(port, scene.AddMapping("0.0.0.0:5000", flags: 1));
        scene.Daemon.ExpectLog($"mapping: shared: 0.0.0.0:5000 -> 0.0.0.0:{port}");
    }

    [Fact]
    public void A_bad_message_does_not_take_its_neighbours_with_it()
    {
        using Scene scene = new Scene().Ready();
        KernelRequest[] requests =
            [.. Enumerable.Range(5000, 5).Select(port => scene.Kernel.Announce(Scene.Add($"10.0.0.1:{port}")))];
        byte[][] messages = [.. requests.Select(request => KernelBytes.Of(request))];
        messages[1] = [.. BitConverter.GetBytes(24), .. messages[1][4..24]]; // SEQ, and no address
        messages[3] = KernelBytes.Message((2 << 10) + 77, 1, 0, 0, new byte[12]);

        scene.Kernel.SendRaw([.. messages.SelectMany(message => message)]);

        foreach (int good in (int[])[0, 2, 4])
        {
            scene.Kernel.Expect(KernelReplyKind.AddMapping, requests[good].Sequence);
        }
        Assert.Equal(
            MappingError.InvalidMessage, scene.Kernel.Expect(KernelReplyKind.HandleError, requests[1].Sequence).Error);
    }

    [Fact]
    public void REG_PID_is_answered_but_not_before_the_kernel_can_take_it()
    {
        using Scene scene = new Scene().Ready();
        for (int i = 0; i < 5; i++)
        {
            TimeSpan before = Iwpmd.Os.Clock.Now;
            uint sequence = scene.Kernel.Send(Scene.Register);
            DaemonMessage answer = scene.Kernel.ExpectMessage(KernelReplyKind.RegisterPid, sequence);

            Assert.True(
                answer.At - before >= TimeSpan.FromMilliseconds(250),
                $"after {(answer.At - before).TotalMilliseconds} ms");
        }
    }

    [Fact]
    public void Lost_messages_are_followed_by_a_new_HELLO_and_replay()
    {
        using Scene scene = new Scene(configuration: "nl_sock_rbuf_size=65536\n").Ready();
        ushort port = scene.AddMapping("10.0.0.1:5000");
        scene.Kernel.SetReplay(Scene.Mapped("10.0.0.1:5000", port));

        scene.Daemon.Signal(NativeCalls.SIGSTOP);
        while (scene.Kernel.Socket.Drops == 0)
        {
            scene.Kernel.Send(Scene.Register);
        }
        scene.Daemon.Signal(NativeCalls.SIGCONT);

        scene.Daemon.ExpectLog("kernel: messages lost");
        scene.Kernel.ExpectHandshake();
        Assert.Equal(1u, scene.Kernel.Expect(KernelReplyKind.MapInfoNumber).Accepted);
        scene.AddMapping("10.0.0.1:5001");
        Assert.False(scene.IsFree(port));
    }

    [Fact]
    public void A_full_receive_buffer_costs_no_answer()
    {
        using Scene scene = new Scene(configuration: "nl_sock_rbuf_size=65536\n").Ready();

        uint[] sequences =
            [.. Enumerable.Range(5000, 1000).Select(port => scene.Kernel.Send(Scene.Add($"10.0.0.1:{port}")))];

        Assert.All(sequences, sequence => scene.Kernel.Expect(KernelReplyKind.AddMapping, sequence));
    }
}

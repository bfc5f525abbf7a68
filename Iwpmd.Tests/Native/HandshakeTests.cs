// SPDX-License-Identifier: MIT
using System.Net;
using System.Net.Sockets;
using Iwpmd.Os;
using Iwpmd.Tests.Os;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Native;

/// <summary>HELLO, replay and restart of the published executable.</summary>
public class HandshakeTests
{
    private static KernelRequest[] Mappings(int count) =>
        [.. Enumerable.Range(0, count).Select(i => Scene.Mapped($"10.0.0.1:{5000 + i}", 20000 + i))];

    [Fact]
    public void HELLO_comes_first_and_the_replay_is_applied_before_the_daemon_is_ready()
    {
        using var scene = new Scene(prepare: kernel => kernel.SetReplay(Mappings(30)));

        Assert.Equal(4, scene.Kernel.Expect(KernelReplyKind.Hello).Abi);
        Assert.Equal(4, scene.Kernel.Expect(KernelReplyKind.MapInfo).Abi);
        KernelReply number = scene.Kernel.Expect(KernelReplyKind.MapInfoNumber);
        Assert.Equal((30u, 30u), (number.Sent, number.Accepted));
        Assert.Contains("ready: 30 mappings", scene.Daemon.ExpectLog("daemon: ready"));
        Assert.All(Enumerable.Range(20000, 30), port => Assert.False(scene.IsFree(port)));
        Assert.Equal(MappingError.Duplicate, scene.ExpectRefusal(Scene.Add("10.0.0.1:5029")));
    }

    [Theory]
    [InlineData(4096, 12, 228)]
    [InlineData(16384, 26, 494)]
    [InlineData(65536, 26, 494)]
    public void Of_many_mappings_the_kernel_replays_some_and_the_daemon_logs_the_consequence(
        int pageSize, int perDatagram, int most)
    {
        using var scene = new Scene(prepare: kernel =>
        {
            kernel.SetReplay(Mappings(600));
            kernel.SetReplayDatagram(perDatagram);
        });

        Assert.Equal(most, KernelProtocol.MaxReplayed(pageSize));
        Assert.Contains(
            $"of which the kernel can send {KernelProtocol.MaxReplayed(Environment.SystemPageSize)}:",
            scene.Daemon.ExpectLog($"kernel: replay incomplete: {most} mappings"));
        Assert.Contains($"ready: {most} mappings", scene.Daemon.ExpectLog("daemon: ready"));
        Assert.False(scene.Kernel.HasUnexpected(KernelReplyKind.MapInfoNumber));
    }

    [Fact]
    public void A_kernel_before_5_1_is_spoken_to_in_ABI_3()
    {
        using var scene = new Scene(abi: 3, prepare: kernel => kernel.SetReplay(Mappings(1)));
        scene.Daemon.ExpectLog("daemon: ready");

        Assert.Equal(3, scene.Kernel.Expect(KernelReplyKind.MapInfo).Abi);
        scene.Kernel.Expect(KernelReplyKind.MapInfoNumber);
        DaemonMessage[] refused = [.. scene.Kernel.Messages.Where(message => message.Verdict != 0)];
        Assert.Equal(
            [(KernelReplyKind.Hello, 2), (KernelReplyKind.MapInfo, 3)],
            refused.Select(message => (message.Kind, message.Raw.Client)));
        Assert.Equal(3, scene.Kernel.Expect(KernelReplyKind.RegisterPid, scene.Kernel.Send(Scene.Register)).Abi);
        ushort port = scene.AddMapping("10.0.0.1:6000");
        Assert.False(scene.IsFree(port));
    }

    [Fact]
    public void A_request_during_the_replay_waits_for_its_end()
    {
        using var scene = new Scene(prepare: kernel =>
        {
            kernel.SetReplay(Mappings(1));
            kernel.Hold(KernelReplyKind.MapInfo);
        });
        scene.Kernel.Expect(KernelReplyKind.MapInfo);

        // in the queue before the replay, which claims that address
        uint duplicate = scene.Kernel.Send(Scene.Add("10.0.0.1:5000"));
        scene.Kernel.LetGo(KernelReplyKind.MapInfo);

        Assert.Equal(MappingError.Duplicate, scene.Kernel.Expect(KernelReplyKind.HandleError, duplicate).Error);
    }

    [Fact]
    public void A_fresh_iw_cm_is_greeted_again()
    {
        using Scene scene = new Scene().Ready();
        scene.Kernel.RestartSequence();

        uint register = scene.Kernel.Send(Scene.Register);
        scene.Kernel.ExpectHandshake();
        scene.Kernel.Expect(KernelReplyKind.RegisterPid, register);
    }

    [Fact]
    public void After_a_crash_the_ports_are_claimed_again_from_the_state_file()
    {
        using Scene scene = new Scene().Ready();
        ushort known = scene.AddMapping("10.0.0.1:5000"), more = scene.AddMapping("[fd00::1]:5001");
        scene.Daemon.Kill();
        Assert.True(scene.IsFree(known));

        scene.Kernel.SetReplay(Scene.Mapped("10.0.0.1:5000", known), Scene.Mapped("10.0.0.1:5000", known));
        scene.Restart().ExpectLog("mapping: restored: 2 ports claimed again");
        scene.Daemon.ExpectLog("daemon: ready");
        Assert.False(scene.IsFree(known));
        // too young to be given up because the kernel does not replay it
        Assert.False(scene.IsFree(more, AddressFamily.InterNetworkV6));

        foreach (bool isFree in (bool[])[false, true])
        {
            scene.Kernel.Send(Scene.Remove("10.0.0.1:5000"));
            scene.Drain();
            Assert.Equal(isFree, scene.IsFree(known));
        }
    }

    [Fact]
    public void A_port_that_was_taken_meanwhile_is_shown_and_claimed_when_it_is_free()
    {
        using Scene scene = new Scene().Ready();
        Socket other = scene.RestartUnprotected("10.0.0.1:5000");
        int port = ((IPEndPoint)other.LocalEndPoint!).Port;
        other.Dispose();
        scene.Daemon.ExpectLog("mapping: protected again: 10.0.0.1:5000");
        Assert.False(scene.IsFree(port));
    }

    [Fact]
    public void A_state_file_of_another_size_is_converted()
    {
        using Scene scene = new Scene().Ready();
        scene.AddMapping("10.0.0.1:5000");
        scene.Daemon.Stop();
        scene.Host.Write("/etc/iwpmd.conf", "max_mappings=100\n");

        scene.Restart().ExpectLog("state: /run/iwpmd/state: migrated from iwpmd");
        Assert.Contains("ready: 1 mappings", scene.Daemon.ExpectLog("daemon: ready"));
    }

    [Fact]
    public void A_mapping_whose_answer_the_kernel_may_have_taken_keeps_its_port()
    {
        using Scene scene = new Scene().Ready();
        scene.Kernel.BeSilent(KernelReplyKind.AddMapping);
        ushort port = scene.AddMapping("10.0.0.1:5000");
        scene.Daemon.ExpectLog("not acknowledged (Connection timed out (ETIMEDOUT)): 10.0.0.1:5000 keeps its port");
        Assert.False(scene.IsFree(port));
        scene.Kernel.LetGo(KernelReplyKind.AddMapping);
        scene.Kernel.Send(Scene.Remove("10.0.0.1:5000"));
        scene.Drain();
        Assert.True(scene.IsFree(port));
    }

    [Fact]
    public void A_refused_answer_is_sent_again_while_the_kernel_is_busy()
    {
        using Scene scene = new Scene().Ready();
        scene.Kernel.Refuse(KernelReplyKind.AddMapping, Errno.EINVAL);
        scene.Kernel.Send(Scene.Add("10.0.0.1:5000"));
        scene.Daemon.ExpectLog("rejected (Invalid argument (EINVAL)): 10.0.0.1:5000 continues unmapped");

        scene.Kernel.Refuse(KernelReplyKind.AddMapping, Errno.EBUSY);
        uint add = scene.Kernel.Send(Scene.Add("10.0.0.1:5001"));
        scene.Kernel.ExpectMessage(
            message => message.Kind == KernelReplyKind.AddMapping && message.Verdict == -16, "a refused answer");
        scene.Kernel.ExpectMessage(
            message => message.Kind == KernelReplyKind.AddMapping && message.Verdict == -16, "its repetition");
        Assert.False(scene.Daemon.HasExited);
        Assert.Equal(add, scene.Kernel.Messages[^1].Reply.RequestSequence);
    }
}

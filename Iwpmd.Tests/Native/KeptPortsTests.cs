// SPDX-License-Identifier: MIT
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Native;

/// <summary>
/// keep_ports with real ports: against TCP programs, through restarts, and with rdma-core's daemon after or beside
/// ours.
/// </summary>
public sealed class KeptPortsTests
{
    private const string Keeping = "keep_ports=4420, 3260-3262\n";

    private static Scene Ready() => new Scene(configuration: Keeping).Ready();

    /// <summary>Both families of one service, as knfsd and others listen.</summary>
    private static void AddBoth(Scene scene)
    {
        Assert.Equal(4420, scene.AddMapping("0.0.0.0:4420"));
        Assert.Equal(4420, scene.AddMapping("[::]:4420"));
    }

    private static bool IsHeld(Scene scene) => !scene.IsFree(4420) && !scene.IsFree(4420, AddressFamily.InterNetworkV6);

    [Fact]
    public void A_kept_port_is_held_for_both_families_until_its_last_listener_goes()
    {
        using Scene scene = Ready();
        AddBoth(scene);
        Assert.True(IsHeld(scene));
        scene.Kernel.Send(Scene.Remove("0.0.0.0:4420"));
        scene.Drain();
        Assert.True(IsHeld(scene));
        scene.Kernel.Send(Scene.Remove("[::]:4420"));
        scene.Drain();
        Assert.True(scene.IsFree(4420) && scene.IsFree(4420, AddressFamily.InterNetworkV6));
    }

    [Theory]
    [InlineData("0.0.0.0")]
    [InlineData("::")]
    public void One_that_a_TCP_program_has_is_mapped_elsewhere_and_doctor_names_it(string address)
    {
        using Scene scene = Ready();
        using Socket program = scene.Host.Open(SocketType.Stream, new IPEndPoint(IPAddress.Parse(address), 3261));
        int mapped = scene.AddMapping("10.0.0.1:3261");
        Assert.NotEqual(3261, mapped);
        scene.Daemon.ExpectLog(
            $"mapping: not kept: 10.0.0.1:3261 -> 10.0.0.1:{mapped}: TCP port 3261 is in use by another program");
        Assert.Matches(
            "^degraded: 1 listener of keep_ports mapped to another port .* ago: hosts without a port mapper cannot "
                + "reach it: see who has its port ",
            Command.Run(scene.Host, "status").Output);
        JsonElement finding =
            JsonDocument.Parse(Command.Run(scene.Host, "doctor", "--json").Output).RootElement.GetProperty("checks")
            .EnumerateArray().Single(check => check.GetProperty("check").GetString() == "keep_ports");
        Assert.Equal("warning", finding.GetProperty("result").GetString());
        Assert.Contains($"10.0.0.1:3261 (mapped to {mapped})", finding.GetProperty("text").GetString());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void It_is_held_again_after_a_restart_with_a_state_or_by_the_replay_alone(bool hasState)
    {
        using Scene scene = Ready();
        AddBoth(scene);
        scene.Kernel.SetReplay(Scene.Mapped("0.0.0.0:4420", 4420), Scene.Mapped("[::]:4420", 4420));
        scene.Daemon.Stop();
        Assert.True(scene.IsFree(4420));
        if (!hasState)
        {
            scene.Host.Run(() => File.Delete("/run/iwpmd/state"));
        }
        scene.Restart().ExpectLog("daemon: ready: 2 mappings");
        Assert.True(IsHeld(scene));
        Assert.Equal(
            "held",
            JsonDocument.Parse(
                Command.Run(
                    scene.Host, "mappings",
                    "--json").Output).RootElement.GetProperty("mappings")[0].GetProperty("state").GetString());
    }

    [Fact]
    public void It_is_never_free_during_a_take_over()
    {
        using Scene scene = Ready();
        AddBoth(scene);
        using var next = DaemonProcess.Start(scene.Host, scene.Kernel, [Binaries.Ours, "-f", "--takeover"]);
        next.ExpectLog("daemon: ready: 2 mappings");
        Assert.Equal(0, scene.Daemon.ExpectExit());
        Assert.True(IsHeld(scene));
        scene.Kernel.Send(Scene.Remove("0.0.0.0:4420"));
        scene.Kernel.Send(Scene.Remove("[::]:4420"));
        scene.Drain();
        Assert.True(scene.IsFree(4420));
        next.Stop();
    }
}

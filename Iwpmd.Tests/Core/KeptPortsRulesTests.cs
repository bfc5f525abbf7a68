// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.State;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;
using Xunit;

namespace Iwpmd.Tests.Core;

/// <summary>
/// keep_ports: listeners that hosts without a port mapper reach, since they are mapped to their own port.
/// </summary>
public class KeptPortsRulesTests
{
    private static readonly PortMapperSettings s_keeping =
        new() { KeptPorts = new PortSet([(4420, 4429), (40000, 40000)]) };

    private static World Keeping(ILogger? log = null) => new(settings: s_keeping, log: log);

    private static (MappingState State, ushort Port) Mapped(World world, string local) =>
        (world.Row(local).State, world.Row(local).MappedPort);

    /// <summary>A daemon without a state, and a kernel that replays what <paramref name="replay"/> says.</summary>
    private static World Replayed(Action<World> replay, Action<World>? prepare = null)
    {
        var world = new World(settings: s_keeping, handshake: false);
        prepare?.Invoke(world);
        world.Start();
        world.Hello();
        KernelReply request = world.LastToKernel;
        replay(world);
        world.FromKernel(new KernelRequest { Operation = KernelOperation.Done, Sequence = request.Sequence });
        return world;
    }

    [Fact]
    public void A_listener_on_a_kept_port_is_mapped_to_it_and_it_is_bound()
    {
        World world = Keeping();
        world.Add("0.0.0.0:4420");
        Assert.Equal("0.0.0.0:4420", world.LastToKernel.MappedLocal.ToString());
        Assert.Equal(MappingState.Held, world.Row("0.0.0.0:4420").State);
        Assert.Equal([4420], world.Ports.Held);

        world.Remove("0.0.0.0:4420");
        Assert.Empty(world.Ports.Held);
    }

    [Fact]
    public void Other_listeners_and_connections_from_such_a_port_are_mapped_as_ever()
    {
        World world = Keeping();
        world.Add("0.0.0.0:4430");
        world.Query("10.0.0.1:4421", "10.0.0.2:7174");
        Assert.Equal([40000, 40001], world.Ports.Held); // a real one leaves out 40000
        world.Add("0.0.0.0:4422", flags: RdmaNetlink.IWPM_FLAGS_NO_PORT_MAP);
        Assert.Equal(MappingState.Advertised, world.Row("0.0.0.0:4422").State);
        Assert.Equal([40000, 40001], world.Ports.Held);
    }

    [Fact]
    public void A_port_that_is_not_free_is_mapped_as_ever_and_the_log_says_who_cannot_reach_it()
    {
        var log = new RecordedLog();
        World world = Keeping(log);
        world.Ports.Taken.Add(4420);
        world.Add("10.0.0.1:4420");
        Assert.Equal((MappingState.Held, (ushort)40000), Mapped(world, "10.0.0.1:4420"));
        string line = Assert.Single(log.Lines, line => line.Contains("not kept"));
        Assert.Equal(
            "mapping: not kept: 10.0.0.1:4420 -> 10.0.0.1:40000: TCP port 4420 is in use by another program: hosts "
                + "without a port mapper cannot reach it: see who has the port (ss -tlnp)",
            line);
    }

    [Fact]
    public void Listeners_of_several_addresses_share_the_port_until_the_last_is_gone()
    {
        World world = Keeping();
        string[] all = ["10.0.0.1:4420", "10.0.0.2:4420", "[::]:4420"];
        foreach (string local in all)
        {
            world.Add(local);
            Assert.Equal((MappingState.Held, (ushort)4420), Mapped(world, local));
        }
        foreach (string local in all)
        {
            Assert.Equal([4420], world.Ports.Held);
            world.Remove(local);
        }
        Assert.Empty(world.Ports.Held);
    }

    [Fact]
    public void A_peer_gets_the_same_number_and_the_Ack_validates_nothing()
    {
        World world = Keeping();
        world.Add("10.0.0.1:4420");
        world.Request("10.0.0.2:41111", "10.0.0.2:5001", "10.0.0.1:4420", mapped: "10.0.0.2:42222");
        PeerMessage accept = world.ToPeers.Single().Message;
        Assert.Equal((PeerMessageType.Accept, 4420), (accept.Type, accept.Accepting.Port));
        Assert.Equal(KernelReplyKind.RemoteInfo, world.LastToKernel.Kind);
        world.FromPeer("10.0.0.2:41111", accept.AsAck());
        Assert.False(world.Mapper.Admission.IsValidated(InetEndpoint.Parse("10.0.0.2:1")));
        Assert.Equal(0ul, world.Counter(Counter.PeerDropped));
    }

    [Fact]
    public void A_replayed_one_is_claimed_again_and_not_taken_for_an_unmapped_connection()
    {
        World world = Replayed(w =>
        {
            w.MapInfo("10.0.0.1:4420", "10.0.0.1:4420");
            w.MapInfo("10.0.0.2:4420", "10.0.0.2:4420");
            w.MapInfo("10.0.0.1:5000", "10.0.0.1:5000");
            w.MapInfoNumber(3);
        });
        Assert.Equal((MappingState.Held, (ushort)4420), Mapped(world, "10.0.0.1:4420"));
        Assert.Equal(MappingState.Held, world.Row("10.0.0.2:4420").State);
        Assert.Equal(MappingState.Fallback, world.Row("10.0.0.1:5000").State);
        Assert.Equal([4420], world.Ports.Held);
        Assert.Equal(3u, world.LastToKernel.Accepted);
    }

    [Fact]
    public void One_that_another_program_took_meanwhile_is_unprotected_and_claimed_when_it_is_free()
    {
        World world = Replayed(w => w.MapInfo("10.0.0.1:4420", "10.0.0.1:4420"), w => w.Ports.Taken.Add(4420));
        Assert.Equal(MappingState.Unprotected, world.Row("10.0.0.1:4420").State);
        world.Ports.Taken.Clear();
        world.Pass(TimeSpan.FromSeconds(2));
        Assert.Equal(MappingState.Held, world.Row("10.0.0.1:4420").State);
        Assert.Equal([4420], world.Ports.Held);
    }

    [Fact]
    public void The_next_daemon_claims_it_again_from_the_state_whatever_its_configuration()
    {
        World before = Keeping();
        before.Add("10.0.0.1:4420");
        before.Add("10.0.0.2:4420");
        var world = new World(state: before.State, handshake: false) { Now = before.Now };
        world.Mapper.Restore(world.Now);
        Assert.Equal([4420], world.Ports.Held);
        Assert.True(world.Mapper.TryResume(PredecessorExit.Clean, world.Now));
        world.MapInfo("10.0.0.1:4420", "10.0.0.1:4420");
        world.Remove("10.0.0.1:4420");
        Assert.Equal([4420], world.Ports.Held);
        world.Remove("10.0.0.2:4420");
        Assert.Empty(world.Ports.Held);
    }

    [Fact]
    public void It_stays_held_when_the_kernel_continues_unmapped_since_that_is_the_same_port()
    {
        World world = Keeping();
        world.Add("10.0.0.1:4420");
        world.Mapper.OnSent(world.LastToKernel, new SendResult(Delivery.Refused, -22), world.Now);
        Assert.Equal((MappingState.Held, (ushort)4420), Mapped(world, "10.0.0.1:4420"));
        Assert.Equal([4420], world.Ports.Held);
    }

    [Fact]
    public void Both_ends_of_a_range_are_kept_and_what_is_beside_it_is_not()
    {
        World world = Keeping();
        foreach ((int local, int mapped) in ((int, int)[])[(4419, 40000), (4420, 4420), (4429, 4429), (4430, 40001)])
        {
            world.Add($"10.0.0.1:{local}");
            Assert.Equal(mapped, world.LastToKernel.MappedLocal.Port);
        }
    }

    /// <summary>The kernel cannot tell it from an unmapped one, and the port is the same.</summary>
    [Fact]
    public void A_replay_takes_no_port_from_a_listener_kept_by_an_earlier_configuration()
    {
        World before = Keeping();
        before.Add("10.0.0.1:4420");
        var world = new World(state: before.State, handshake: false) { Now = before.Now + TimeSpan.FromMinutes(1) };
        world.Mapper.Restore(world.Now);
        world.Start();
        world.Hello();
        KernelReply replay = world.LastToKernel;
        world.MapInfo("10.0.0.1:4420", "10.0.0.1:4420");
        world.MapInfoNumber(1);
        world.FromKernel(new KernelRequest { Operation = KernelOperation.Done, Sequence = replay.Sequence });
        Assert.Equal((MappingState.Held, (ushort)4420), Mapped(world, "10.0.0.1:4420"));
        Assert.Equal([4420], world.Ports.Held);
    }
}

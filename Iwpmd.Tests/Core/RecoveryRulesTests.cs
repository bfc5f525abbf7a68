// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.State;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Core;

/// <summary>
/// What becomes of references and ports when messages were lost, or a process ended in the middle of its work. Most
/// were found by the simulator.
/// </summary>
public class RecoveryRulesTests
{
    private static readonly TimeSpan s_settled = TimeSpan.FromSeconds(20), s_apart = TimeSpan.FromSeconds(10);

    private static void Hello(World world, uint sequence) =>
        world.FromKernel(
            new KernelRequest { Operation = KernelOperation.Hello, Client = 2, Sequence = sequence, Number = 4 });

    private static void Done(World world, in KernelReply of) =>
        world.FromKernel(new KernelRequest { Operation = KernelOperation.Done, Sequence = of.Sequence });

    private static void Register(World world, uint sequence, TimeSpan age) => world.FromKernel(
        new KernelRequest
        {
            Operation = KernelOperation.RegisterPid,
            Client = 2,
            Sequence = sequence,
            Device = new FixedName("siw0"),
            Library = new FixedName("iWarpPortMapperUser"),
        },
        age);

    private static void AuditTwice(World world, params (string Local, EndpointUse Use)[] endpoints)
    {
        for (int look = 0; look < 2; look++)
        {
            world.Now += s_apart;
            Assert.True(world.Mapper.Audit.IsDue(world.Now));
            world.Audit(null, endpoints);
        }
    }

    private static World Restarted(World before)
    {
        var world = new World(state: before.State, handshake: false) { Now = before.Now };
        world.Mapper.Restore(world.Now);
        return world;
    }

    /// <summary>HELLO was sent: the whole replay comes.</summary>
    private static void Replay(World world, params (string Local, string Mapped)[] mappings)
    {
        Hello(world, 60);
        KernelReply replay = world.LastToKernel;
        foreach ((string local, string mapped) in mappings)
        {
            world.MapInfo(local, mapped);
        }
        if (mappings.Length > 0)
        {
            world.MapInfoNumber((uint)mappings.Length);
        }
        Done(world, replay);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_remove_that_waited_before_the_replay_is_counted_once(bool afterHello)
    {
        var world = new World();
        world.Add("0.0.0.0:5000", sequence: 50);
        world.Add("0.0.0.0:5000", sequence: 51);
        world.Pass(s_settled);
        world.Mapper.OnOverrun(world.Now);
        world.Drain();
        if (!afterHello)
        {
            world.Remove("0.0.0.0:5000");
        }
        Hello(world, 60);
        KernelReply replay = world.LastToKernel;
        if (afterHello)
        {
            world.Remove("0.0.0.0:5000");
        }
        world.MapInfo("0.0.0.0:5000", "0.0.0.0:40000");
        world.MapInfoNumber(1);
        Done(world, replay);
        Assert.Equal((1, MappingState.Held), (world.Row("0.0.0.0:5000").References, world.Row("0.0.0.0:5000").State));
        world.Remove("0.0.0.0:5000");
        Assert.Empty(world.Ports.Held);
    }

    [Fact]
    public void A_remove_behind_its_own_add_waits_with_it()
    {
        var world = new World();
        world.Mapper.OnOverrun(world.Now);
        world.Drain();
        world.Add("10.0.0.1:5000", sequence: 50);
        world.Remove("10.0.0.1:5000");
        Hello(world, 60);
        Done(world, world.LastToKernel);
        Assert.False(world.HasRow("10.0.0.1:5000"));
    }

    [Fact]
    public void A_replay_that_overflows_the_buffer_is_asked_for_again_only_after_a_pause()
    {
        var world = new World(handshake: false);
        world.Mapper.Start(world.Now);
        world.Drain();
        world.Mapper.OnOverrun(world.Now);
        world.Drain();
        world.Add("10.0.0.1:5000", sequence: 50);
        int said = world.ToKernel.Count(reply => reply.Kind == KernelReplyKind.Hello);
        world.Mapper.OnOverrun(world.Now);
        world.Drain();
        Assert.Equal(said, world.ToKernel.Count(reply => reply.Kind == KernelReplyKind.Hello));
        Assert.Equal((HandshakeState.Unanswered, false), (world.Mapper.Kernel, world.Mapper.HasFailed));
        Assert.Equal((KernelReplyKind.AddMapping, 50u), (world.LastToKernel.Kind, world.LastToKernel.RequestSequence));
        world.Pass(s_apart);
        Assert.Equal(KernelReplyKind.Hello, world.LastToKernel.Kind);
    }

    [Fact]
    public void What_an_overrun_left_of_a_replay_is_not_counted_beside_the_next_one()
    {
        var world = new World(handshake: false);
        world.Mapper.Start(world.Now);
        world.Drain();
        Hello(world, 50);
        world.Mapper.OnOverrun(world.Now);
        world.Drain();
        world.MapInfo("10.0.0.1:5000", "10.0.0.1:40000");
        world.MapInfo("10.0.0.1:5001", "10.0.0.1:5001");
        Replay(world, ("10.0.0.1:5000", "10.0.0.1:40000"), ("10.0.0.1:5001", "10.0.0.1:5001"));
        Assert.Equal((1, 1), (world.Row("10.0.0.1:5000").References, world.Row("10.0.0.1:5001").References));
    }

    [Fact]
    public void A_registration_that_may_have_waited_brings_an_audit_and_no_loss()
    {
        var world = new World();
        world.Add("10.0.0.1:5000");
        world.Pass(TimeSpan.FromSeconds(5));
        Register(world, 70, age: TimeSpan.FromSeconds(5));
        Assert.True(world.Mapper.Audit.IsDue(world.Now + s_apart));
        Assert.Equal(0ul, world.Counter(Counter.RegistrationHijacks));
        AuditTwice(world);
        Assert.False(world.HasRow("10.0.0.1:5000"));
    }

    [Fact]
    public void A_row_that_was_being_written_brings_HELLO_in_place_of_a_resumption()
    {
        var before = new World();
        before.Add("10.0.0.1:5000");
        before.State.Mappings[0].Sequence |= 1;
        World world = Restarted(before);
        Assert.False(world.Mapper.TryResume(PredecessorExit.Crash, world.Now));
        // it crashed before HELLO
        Assert.False(Restarted(world).Mapper.TryResume(PredecessorExit.Crash, world.Now));
    }

    [Fact]
    public void A_row_that_a_migration_drops_brings_HELLO_too()
    {
        var before = new World();
        before.Add("10.0.0.1:5000");
        before.State.Mappings[0].Sequence |= 1;
        StateLayout larger = StateLayout.InMemory(StateCapacity.For(512), World.Identity);
        Assert.Equal(1, StateMigration.Adopt(before.State.Bytes, before.State.Geometry, larger));
        var world = new World(state: larger, handshake: false);
        Assert.False(world.Mapper.TryResume(PredecessorExit.Clean, world.Now));
    }

    [Theory]
    [InlineData(KernelReplyKind.RegisterPid)]
    [InlineData(KernelReplyKind.HandleError)]
    internal void An_answer_that_is_too_late_to_send_is_a_loss_whatever_it_says(KernelReplyKind kind)
    {
        var world = new World();
        world.Mapper.OnSent(
            new KernelReply { Kind = kind, Client = 2, RequestSequence = 50 }, new SendResult(Delivery.Unsent),
            world.Now);
        Assert.True(world.State.Health.Losses[(int)LossCause.Undelivered].IsRecent(world.Now));
    }

    [Fact]
    public void A_query_in_the_place_of_a_dropped_row_is_not_answered_for_the_earlier_one()
    {
        var before = new World();
        before.Query("10.0.0.1:6000", "10.0.0.2:7174", sequence: 50);
        before.State.Mappings[0].Sequence |= 1;
        World world = Restarted(before);
        world.Query("10.0.0.1:6001", "10.0.0.2:7175", sequence: 51);
        Assert.Equal(0, world.Mapper.Mappings.FindExactLocal(InetEndpoint.Parse("10.0.0.1:6001"))); // the same place
        world.Pass(TimeSpan.FromSeconds(5));
        Assert.Equal([51u], world.ToKernel.Where(reply => reply.Kind == KernelReplyKind.QueryMapping).Select(
            reply => reply.RequestSequence));
    }

    [Fact]
    public void A_connection_that_takes_the_row_of_a_removed_listener_keeps_its_port()
    {
        var before = new World();
        before.Add("10.0.0.1:5000");
        World world = Restarted(before);
        Assert.True(world.Mapper.TryResume(PredecessorExit.Crash, world.Now));
        world.Query("10.0.0.1:5000", "10.0.0.2:7174");
        world.Answer(PeerMessageType.Accept, 41000);
        AuditTwice(world, ("10.0.0.1:5000", EndpointUse.Other));
        Assert.Equal((1, MappingState.Held), (world.Row("10.0.0.1:5000").References, world.Row("10.0.0.1:5000").State));
    }

    [Fact]
    public void An_add_that_waited_too_long_for_the_replay_leaves_no_reference_behind()
    {
        var world = new World();
        world.Mapper.OnOverrun(world.Now);
        world.Drain();
        world.Add("0.0.0.0:5000", sequence: 50, age: TimeSpan.FromSeconds(11));
        Hello(world, 60);
        KernelReply replay = world.LastToKernel;
        world.MapInfo("0.0.0.0:5000", "0.0.0.0:5000"); // the kernel gave it up, and continues unmapped
        world.MapInfoNumber(1);
        Done(world, replay);
        Assert.Equal(2, world.Row("0.0.0.0:5000").References);
        AuditTwice(world, ("0.0.0.0:5000", EndpointUse.Listening));
        Assert.Equal(1, world.Row("0.0.0.0:5000").References);
    }

    [Fact]
    public void A_new_mapping_never_gets_the_port_of_an_unprotected_row()
    {
        var before = new World();
        before.Add("10.0.0.1:5000"); // 40000
        var world = new World(state: before.State, handshake: false) { Now = before.Now };
        world.Ports.Taken.Add(40000);
        world.Mapper.Restore(world.Now);
        Assert.True(world.Mapper.TryResume(PredecessorExit.Clean, world.Now));
        Assert.Equal(MappingState.Unprotected, world.Row("10.0.0.1:5000").State);
        world.Ports.Taken.Clear();
        world.Add("[fd00::1]:5001");
        Assert.Equal(
            (40000, MappingState.Held), (world.Row("10.0.0.1:5000").MappedPort, world.Row("10.0.0.1:5000").State));
        Assert.NotEqual(40000, world.Row("[fd00::1]:5001").MappedPort);
        Assert.Equal(2, world.Ports.Held.Count);
    }

    /// <summary>Long history 2862.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_young_listener_that_the_replay_does_not_name_is_asked_for_again(bool listens)
    {
        var before = new World();
        if (listens)
        {
            before.Add("10.0.0.1:5000");
        }
        else
        {
            before.Query("10.0.0.1:5000", "10.0.0.2:7174");
        }
        before.Now += TimeSpan.FromSeconds(1);
        World world = Restarted(before);
        world.Mapper.Start(world.Now);
        world.Drain();
        Replay(world);
        Assert.True(world.HasRow("10.0.0.1:5000"));
        int said = world.ToKernel.Count(reply => reply.Kind == KernelReplyKind.Hello);
        world.Pass(s_apart);
        Assert.Equal(listens ? said + 1 : said, world.ToKernel.Count(reply => reply.Kind == KernelReplyKind.Hello));
        if (listens)
        {
            Replay(world);
        }
        Assert.Equal(!listens, world.HasRow("10.0.0.1:5000"));
    }

    /// <summary>Long histories 1329, 1894 and 3180: another process said HELLO behind ours, and got REMOVEs.</summary>
    [Fact]
    public void The_first_registration_behind_HELLO_brings_an_audit()
    {
        var before = new World();
        before.Add("10.0.0.1:5000");
        World world = Restarted(before);
        world.Mapper.Start(world.Now);
        world.Drain();
        Replay(world, ("10.0.0.1:5000", "10.0.0.1:40000"));
        AuditTwice(world, ("10.0.0.1:5000", EndpointUse.Listening));
        Register(world, 70, age: TimeSpan.Zero);
        AuditTwice(world);
        Assert.False(world.HasRow("10.0.0.1:5000"));
    }

    /// <summary>
    /// Long histories 848, 994, 2838: ports that the kernel uses come before connections without one.
    /// </summary>
    [Fact]
    public void A_replayed_port_gets_the_last_row_before_an_unmapped_connection()
    {
        var world = new World(mappings: 16, handshake: false);
        world.Mapper.Start(world.Now);
        world.Drain();
        (string, string)[] unmapped = [.. Enumerable.Range(1, 20).Select(i => ($"10.0.0.1:{i}", $"10.0.0.1:{i}"))];
        Replay(world, [.. unmapped, ("10.0.0.1:5000", "10.0.0.1:40007")]);
        Assert.Equal(
            (MappingState.Held, MappingState.Fallback, 16),
            (world.Row("10.0.0.1:5000").State, world.Row("10.0.0.1:1").State, world.Mapper.Mappings.Count));
    }

    /// <summary>Long histories 1683 and 3715.</summary>
    [Fact]
    public void A_replayed_port_gets_the_row_of_a_connection_that_the_replay_does_not_name()
    {
        var before = new World(mappings: 16);
        for (int i = 0; i < 16; i++)
        {
            before.Add($"10.0.0.1:{5000 + i}");
        }
        before.Now += s_settled;
        World world = Restarted(before);
        world.Mapper.Start(world.Now);
        world.Drain();
        Replay(world, ("10.0.0.1:6000", "10.0.0.1:41000"));
        Assert.Equal(
            (1, MappingState.Held, 41000),
            (world.Mapper.Mappings.Count, world.Row("10.0.0.1:6000").State, world.Row("10.0.0.1:6000").MappedPort));
        Assert.Equal(0ul, world.Counter(Counter.TableFull));
    }

    /// <summary>Long history 3914: max_mappings was lowered.</summary>
    [Fact]
    public void A_smaller_table_has_room_for_a_damaged_row_too()
    {
        var before = new World();
        before.Add("10.0.0.1:5000");
        before.Add("10.0.0.1:5001");
        before.State.Mappings[0].Sequence |= 1;
        Assert.Equal(2, StateMigration.CountMappings(before.State.Bytes, before.State.Geometry));
    }

    /// <summary>Long history 1770: the kernel records a mapping a moment after our answer.</summary>
    [Fact]
    public void Where_a_row_was_lost_HELLO_waits_a_moment()
    {
        var before = new World();
        before.Add("0.0.0.0:5000");
        before.State.Mappings[0].Sequence |= 1;
        World world = Restarted(before);
        world.Mapper.Start(world.Now);
        world.Add("10.0.0.1:5001");
        Assert.Empty(world.ToKernel);
        world.Pass(TimeSpan.FromMilliseconds(100));
        Replay(world, ("0.0.0.0:5000", "0.0.0.0:40000"));
        Assert.Equal(40000, world.Row("0.0.0.0:5000").MappedPort);
        Assert.Equal(KernelReplyKind.AddMapping, world.LastToKernel.Kind);
        Assert.NotEqual(40000, world.LastToKernel.MappedLocal.Port);
    }

    /// <summary>Long history 149: an ADD of the second device was lost with a process.</summary>
    [Fact]
    public void An_audit_counts_the_listeners_of_a_replayed_wildcard()
    {
        var world = new World(handshake: false);
        world.Mapper.Start(world.Now);
        world.Drain();
        Replay(world, ("0.0.0.0:5000", "0.0.0.0:40000"));
        world.Mapper.Audit.Schedule(world.Now);
        AuditTwice(world, ("0.0.0.0:5000", EndpointUse.Listening), ("0.0.0.0:5000", EndpointUse.Listening));
        world.Remove("0.0.0.0:5000");
        Assert.Equal([40000], world.Ports.Held);
    }

    /// <summary>Long history 1000713: HELLO came while iw_cm was unloaded.</summary>
    [Fact]
    public void A_registration_after_a_refused_HELLO_brings_HELLO_again()
    {
        var world = new World();
        world.Mapper.OnOverrun(world.Now);
        for (int refused = 0; refused < 3; refused++)
        {
            world.Drain();
            KernelReply[] said = [.. world.ToKernel];
            foreach (KernelReply one in said)
            {
                world.FromKernel(
                    new KernelRequest { Operation = KernelOperation.Error, Sequence = one.Sequence, Result = -22 });
            }
        }
        Assert.Equal(HandshakeState.Unusable, world.Mapper.Kernel);
        Register(world, 70, age: TimeSpan.Zero);
        Assert.Equal(KernelReplyKind.Hello, world.LastToKernel.Kind);
    }

    /// <summary>
    /// Long histories 7000623, 7002051 and 7003018: peers were told the port of the earlier one until both were gone.
    /// </summary>
    [Theory]
    [InlineData("10.0.0.1:5000", false)]
    [InlineData("10.0.0.1:40000", true)]
    public void A_listener_behind_one_whose_REMOVE_was_lost_is_not_told_at_its_port(string replayed, bool isMapped)
    {
        var world = new World();
        world.Add("10.0.0.1:5000", sequence: 50);
        world.Add("10.0.0.1:5000", sequence: 51);
        Assert.Equal(MappingError.Duplicate, world.LastToKernel.Error);
        world.Mapper.Audit.Schedule(world.Now);
        AuditTwice(world, ("10.0.0.1:5000", EndpointUse.Listening));
        world.Pass(TimeSpan.Zero);
        Assert.Equal(KernelReplyKind.Hello, world.LastToKernel.Kind);
        Replay(world, ("10.0.0.1:5000", replayed));
        Assert.Equal(isMapped ? MappingState.Held : MappingState.Fallback, world.Row("10.0.0.1:5000").State);
        Assert.Equal(isMapped ? [40000] : [], world.Ports.Held);
        world.Remove("10.0.0.1:5000");
        Assert.False(world.HasRow("10.0.0.1:5000"));
    }

    /// <summary>History 702: the second device's listener was never counted, and ended.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void The_REMOVE_of_a_listener_whose_ADD_a_crash_lost_takes_no_port(bool isOneLeft)
    {
        var before = new World();
        before.Add("0.0.0.0:5000");
        World world = Restarted(before);
        Assert.True(world.Mapper.TryResume(PredecessorExit.Crash, world.Now));
        world.Remove("0.0.0.0:5000");
        Assert.Equal([40000], world.Ports.Held);
        AuditTwice(world, isOneLeft ? [("0.0.0.0:5000", EndpointUse.Listening)] : []);
        Assert.Equal(isOneLeft ? [40000] : [], world.Ports.Held);
        world.Remove("0.0.0.0:5000");
        Assert.Empty(world.Ports.Held);
    }

    [Fact]
    public void A_REMOVE_that_no_audit_can_judge_releases_the_port_in_the_end()
    {
        var before = new World();
        before.Add("0.0.0.0:5000");
        World world = Restarted(before);
        Assert.True(world.Mapper.TryResume(PredecessorExit.Crash, world.Now));
        world.Remove("0.0.0.0:5000");
        for (int tries = 0; tries < 30; tries++)
        {
            world.Now += s_apart;
            world.Audit("other namespaces");
        }
        Assert.Empty(world.Ports.Held);
        Assert.False(world.HasRow("0.0.0.0:5000"));
    }

    /// <summary>
    /// Long history 9100256: the process was stopped until the kernel had given up, and the REMOVE was read first.
    /// </summary>
    [Fact]
    public void A_query_whose_REMOVE_comes_before_its_answer_is_a_loss()
    {
        var world = new World();
        world.Query("10.0.0.1:6000", "10.0.0.2:7174");
        world.Remove("10.0.0.1:6000");
        world.Pass(s_apart);
        Assert.True(world.State.Health.Losses[(int)LossCause.Undelivered].IsRecent(world.Now));
    }

    /// <summary>Long history 9301378: the kernel says the same of a listener of keep_ports that was refused.</summary>
    [Fact]
    public void A_replayed_port_gets_the_last_row_before_one_of_keep_ports()
    {
        var kept = new PortMapperSettings { KeptPorts = new PortSet([(5004, 5004)]) };
        var world = new World(mappings: 16, settings: kept, handshake: false);
        world.Mapper.Start(world.Now);
        world.Drain();
        (string, string)[] mapped =
            [.. Enumerable.Range(1, 15).Select(i => ($"10.0.0.1:{i}", $"10.0.0.1:{41000 + i}"))];
        Replay(world, [.. mapped, ("10.0.0.1:5004", "10.0.0.1:5004"), ("10.0.0.1:5000", "10.0.0.1:40007")]);
        Assert.Equal(
            (MappingState.Held, 40007), (world.Row("10.0.0.1:5000").State, world.Row("10.0.0.1:5000").MappedPort));
        Assert.False(world.HasRow("10.0.0.1:5004"));
    }
}

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

    private static World Restarted(World before)
    {
        var world = new World(state: before.State, handshake: false) { Now = before.Now };
        world.Mapper.Restore(world.Now);
        return world;
    }

    /// <summary>HELLO was sent: the whole replay comes.</summary>
    private static void Replay(World world, params (string Local, string Mapped)[] mappings)
    {
        world.Hello(60);
        KernelReply replay = world.LastToKernel;
        foreach ((string local, string mapped) in mappings)
        {
            world.MapInfo(local, mapped);
        }
        if (mappings.Length > 0)
        {
            world.MapInfoNumber((uint)mappings.Length);
        }
        world.Acknowledge(replay);
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
        world.Overrun();
        if (!afterHello)
        {
            world.Remove("0.0.0.0:5000");
        }
        world.Hello(60);
        KernelReply replay = world.LastToKernel;
        if (afterHello)
        {
            world.Remove("0.0.0.0:5000");
        }
        world.MapInfo("0.0.0.0:5000", "0.0.0.0:40000");
        world.MapInfoNumber(1);
        world.Acknowledge(replay);
        Assert.Equal((1, MappingState.Held), (world.Row("0.0.0.0:5000").References, world.Row("0.0.0.0:5000").State));
        world.Remove("0.0.0.0:5000");
        Assert.Empty(world.Ports.Held);
    }

    [Fact]
    public void A_remove_behind_its_own_add_waits_with_it()
    {
        var world = new World();
        world.Overrun();
        world.Add("10.0.0.1:5000", sequence: 50);
        world.Remove("10.0.0.1:5000");
        world.Hello(60);
        world.Acknowledge(world.LastToKernel);
        Assert.False(world.HasRow("10.0.0.1:5000"));
    }

    [Fact]
    public void A_replay_that_overflows_the_buffer_is_asked_for_again_only_after_a_pause()
    {
        var world = new World(handshake: false);
        world.Start();
        world.Overrun();
        world.Add("10.0.0.1:5000", sequence: 50);
        int said = world.ToKernel.Count(reply => reply.Kind == KernelReplyKind.Hello);
        world.Overrun();
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
        world.Start();
        world.Hello(50);
        world.Overrun();
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
        world.Register(70, age: TimeSpan.FromSeconds(5));
        Assert.True(world.Mapper.Audit.IsDue(world.Now + s_apart));
        Assert.Equal(0ul, world.Counter(Counter.RegistrationHijacks));
        world.AuditTwice();
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
        world.AuditTwice(("10.0.0.1:5000", EndpointUse.Other));
        Assert.Equal((1, MappingState.Held), (world.Row("10.0.0.1:5000").References, world.Row("10.0.0.1:5000").State));
    }

    [Fact]
    public void An_add_that_waited_too_long_for_the_replay_leaves_no_reference_behind()
    {
        var world = new World();
        world.Overrun();
        world.Add("0.0.0.0:5000", sequence: 50, age: TimeSpan.FromSeconds(11));
        world.Hello(60);
        KernelReply replay = world.LastToKernel;
        world.MapInfo("0.0.0.0:5000", "0.0.0.0:5000"); // the kernel gave it up, and continues unmapped
        world.MapInfoNumber(1);
        world.Acknowledge(replay);
        Assert.Equal(2, world.Row("0.0.0.0:5000").References);
        world.AuditTwice(("0.0.0.0:5000", EndpointUse.Listening));
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
        world.Start();
        Replay(world);
        Assert.True(world.HasRow("10.0.0.1:5000"));
        int said = world.ToKernel.Count(reply => reply.Kind == KernelReplyKind.Hello);
        world.Pass(TimeSpan.FromSeconds(9.99));
        Assert.Equal(said, world.ToKernel.Count(reply => reply.Kind == KernelReplyKind.Hello));
        world.Pass(TimeSpan.FromSeconds(0.01));
        Assert.Equal(listens ? said + 1 : said, world.ToKernel.Count(reply => reply.Kind == KernelReplyKind.Hello));
        if (listens)
        {
            Replay(world);
        }
        Assert.Equal(!listens, world.HasRow("10.0.0.1:5000"));
    }

    /// <summary>A process that resumes sends none by itself.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void The_HELLO_that_a_young_listener_brings_is_left_to_the_next_process(bool listens)
    {
        var before = new World();
        before.Add("10.0.0.1:5000");
        before.Now += TimeSpan.FromSeconds(listens ? 1 : 11);
        World world = Restarted(before);
        world.Start();
        Replay(world);
        world.Mapper.End(world.Now);
        World next = Restarted(world);
        Assert.Equal(!listens, next.Mapper.TryResume(PredecessorExit.Clean, next.Now));
    }

    /// <summary>In a socket that was taken over.</summary>
    [Fact]
    public void The_answer_to_a_HELLO_of_the_process_before_is_not_taken_for_that_to_the_next()
    {
        var before = new World();
        before.Add("10.0.0.1:5000");
        using (var change = new RowChange<HealthRow>(ref before.State.Health))
        {
            change.Row.Kernel = HandshakeState.None; // what was half written reads so
        }
        World world = Restarted(before);
        world.Start();
        world.Hello(60);
        Assert.Empty(world.ToKernel);
        world.Pass(TimeSpan.FromSeconds(0.1));
        Assert.Equal(KernelReplyKind.Hello, world.LastToKernel.Kind);
        world.Hello(61);
        Assert.Equal(KernelReplyKind.MapInfo, world.LastToKernel.Kind);
    }

    /// <summary>Long histories 1329, 1894 and 3180: another process said HELLO behind ours, and got REMOVEs.</summary>
    [Fact]
    public void The_first_registration_behind_HELLO_brings_an_audit()
    {
        var before = new World();
        before.Add("10.0.0.1:5000");
        World world = Restarted(before);
        world.Start();
        Replay(world, ("10.0.0.1:5000", "10.0.0.1:40000"));
        world.AuditTwice(("10.0.0.1:5000", EndpointUse.Listening));
        world.Register(70);
        world.AuditTwice();
        Assert.False(world.HasRow("10.0.0.1:5000"));
    }

    /// <summary>
    /// Long histories 848, 994, 2838: ports that the kernel uses come before connections without one.
    /// </summary>
    [Fact]
    public void A_replayed_port_gets_the_last_row_before_an_unmapped_connection()
    {
        var world = new World(mappings: 16, handshake: false);
        world.Start();
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
        world.Start();
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
        world.Start();
        Replay(world, ("0.0.0.0:5000", "0.0.0.0:40000"));
        world.Mapper.Audit.Schedule(world.Now);
        world.AuditTwice(("0.0.0.0:5000", EndpointUse.Listening), ("0.0.0.0:5000", EndpointUse.Listening));
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
        world.Register(70);
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
        world.AuditTwice(("10.0.0.1:5000", EndpointUse.Listening));
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
        world.AuditTwice(isOneLeft ? [("0.0.0.0:5000", EndpointUse.Listening)] : []);
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
        world.Start();
        (string, string)[] mapped =
            [.. Enumerable.Range(1, 15).Select(i => ($"10.0.0.1:{i}", $"10.0.0.1:{41000 + i}"))];
        Replay(world, [.. mapped, ("10.0.0.1:5004", "10.0.0.1:5004"), ("10.0.0.1:5000", "10.0.0.1:40007")]);
        Assert.Equal(
            (MappingState.Held, 40007), (world.Row("10.0.0.1:5000").State, world.Row("10.0.0.1:5000").MappedPort));
        Assert.False(world.HasRow("10.0.0.1:5004"));
    }

    [Fact]
    public void A_remove_behind_a_replayed_mapping_waits_for_the_end_of_the_replay()
    {
        var world = new World();
        world.Add("0.0.0.0:5000", sequence: 50);
        world.Add("0.0.0.0:5000", sequence: 51);
        world.Pass(s_settled);
        world.Overrun();
        world.Hello(60);
        KernelReply replay = world.LastToKernel;
        world.MapInfo("0.0.0.0:5000", "0.0.0.0:40000");
        world.Remove("0.0.0.0:5000"); // the kernel sent it behind that
        world.MapInfo("0.0.0.0:5000", "0.0.0.0:40000");
        Assert.Equal(2, world.Row("0.0.0.0:5000").References);
        world.MapInfoNumber(2);
        world.Acknowledge(replay);
        Assert.Equal(1, world.Row("0.0.0.0:5000").References);
    }

    [Fact]
    public void A_remove_before_a_later_replay_does_not_wait_for_what_waited_before()
    {
        var world = new World();
        world.Overrun();
        world.Add("10.0.0.1:5000", sequence: 50);
        Assert.True(world.Mapper.HasDeferredRequests);
        world.Hello(60);
        world.Acknowledge(world.LastToKernel);
        Assert.False(world.Mapper.HasDeferredRequests);
        world.Pass(s_settled);
        world.Overrun();
        world.Remove("10.0.0.1:5000");
        Assert.Equal(0, world.Mapper.Mappings.Count);
    }

    [Fact]
    public void What_waits_is_served_behind_the_replay_and_not_with_the_ACK_of_HELLO()
    {
        var world = new World();
        world.Overrun();
        KernelReply hello = world.LastToKernel;
        world.Add("10.0.0.1:5000", sequence: 50);
        world.Hello(60);
        KernelReply replay = world.LastToKernel;
        world.Acknowledge(hello);
        Assert.Equal(replay.Sequence, world.LastToKernel.Sequence);
        world.Acknowledge(replay);
        Assert.Equal(50u, world.LastToKernel.RequestSequence);
    }

    [Fact]
    public void A_remove_that_still_waits_when_the_daemon_ends_is_carried_out()
    {
        var world = new World();
        world.Add("10.0.0.1:5000");
        world.Pass(s_settled);
        world.Overrun();
        world.Hello(60);
        world.MapInfo("10.0.0.1:5000", "10.0.0.1:40000");
        world.Remove("10.0.0.1:5000");
        Assert.True(world.HasRow("10.0.0.1:5000"));
        world.Mapper.End(world.Now);
        Assert.False(world.HasRow("10.0.0.1:5000"));
    }

    [Theory]
    [InlineData(9.4, 9.6, true)]
    [InlineData(9.6, 9.6, true)] // one more does not make it good
    [InlineData(9.5, 9.5, false)] // not too old
    [InlineData(0, 0, false)]
    public void Only_requests_that_waited_too_long_for_the_replay_bring_an_audit(
        double first, double second, bool audit)
    {
        var world = new World();
        world.Overrun();
        world.Add("0.0.0.0:5000", sequence: 49);
        world.Add("0.0.0.0:5000", sequence: 50, age: TimeSpan.FromSeconds(first));
        world.Add("0.0.0.0:5000", sequence: 51, age: TimeSpan.FromSeconds(second));
        world.Hello(60);
        world.Acknowledge(world.LastToKernel);
        Assert.Equal(audit, world.Mapper.Audit.IsDue(world.Now + s_apart));

        var empty = new World();
        empty.Overrun();
        empty.Add("0.0.0.0:5000", sequence: 50, age: TimeSpan.FromSeconds(11));
        empty.Hello(60);
        empty.Acknowledge(empty.LastToKernel);
        Assert.False(empty.Mapper.Audit.IsDue(empty.Now + s_apart)); // there is no row that could be wrong
    }

    [Fact]
    public void Requests_are_deferred_while_a_handshake_or_a_registration_is_not_finished()
    {
        var world = new World();
        Assert.False(world.Mapper.HasDeferredRequests);
        world.Register(70);
        Assert.True(world.Mapper.HasDeferredRequests);
        world.Pass(Registrations.Delay);
        Assert.False(world.Mapper.HasDeferredRequests);
        world.Mapper.OnOverrun(world.Now);
        Assert.True(world.Mapper.HasDeferredRequests);
        world.Drain();
        world.Mapper.OnOverrun(world.Now); // HELLO waits for ten seconds
        Assert.False(world.Mapper.HasDeferredRequests);
    }

    /// <summary>Of another client, of which nothing was asked.</summary>
    [Fact]
    public void A_replay_releases_only_rows_of_its_client()
    {
        var world = new World();
        world.Add("10.0.0.1:5000", client: 2);
        world.Add("10.0.0.1:5001", client: 3);
        world.Add("10.0.0.1:5002", client: 2);
        world.Remove("10.0.0.1:5002");
        world.Pass(s_settled);
        world.Overrun();
        Replay(world);
        Assert.False(world.HasRow("10.0.0.1:5000"));
        Assert.Equal((1, 1), (world.Row("10.0.0.1:5001").References, world.Mapper.Mappings.Count));
        Assert.Equal([40001], world.Ports.Held);
    }

    [Fact]
    public void Each_replay_counts_anew()
    {
        var world = new World();
        world.Add("10.0.0.1:5000");
        world.Add("10.0.0.1:5001");
        for (uint round = 0; round < 2; round++)
        {
            world.Pass(s_settled);
            world.Overrun();
            Replay(world, ("10.0.0.1:5000", "10.0.0.1:40000"), (
                "10.0.0.1:5001", round == 0 ? "10.0.0.1:40001" : "10.0.0.1:5001"));
            Assert.Equal(1, world.Row("10.0.0.1:5000").References);
            Assert.Equal(
                round == 0 ? MappingState.Held : MappingState.Fallback, world.Row("10.0.0.1:5001").State);
        }
    }

    /// <summary>The kernel may have more of it than it sent.</summary>
    [Fact]
    public void An_incomplete_replay_adds_references_and_takes_none()
    {
        var before = new World();
        for (int i = 0; i < 3; i++)
        {
            before.Add("0.0.0.0:5000");
        }
        before.Add("0.0.0.0:5001");
        before.Query("10.0.0.1:5002", "10.0.0.2:7174");
        before.Add("0.0.0.0:5003");
        before.Add("0.0.0.0:5004");
        before.Pass(s_settled);
        World world = Restarted(before);
        world.Mapper.Audit.ScheduleAfterCrash(world.Now);
        world.Remove("0.0.0.0:5004"); // the audit judges it
        world.Start();
        world.Hello(60);
        KernelReply replay = world.LastToKernel;
        world.MapInfo("0.0.0.0:5000", "0.0.0.0:40000");
        world.MapInfo("0.0.0.0:5001", "0.0.0.0:40001");
        world.MapInfo("0.0.0.0:5001", "0.0.0.0:40001");
        world.MapInfo("10.0.0.1:5002", "10.0.0.1:5002"); // unmapped
        world.Acknowledge(replay);
        Assert.Equal(
            [(3, MappingState.Held), (2, MappingState.Held), (1, MappingState.Held), (1, MappingState.Held),
                (0, MappingState.Held)],
            new[] { "0.0.0.0:5000", "0.0.0.0:5001", "10.0.0.1:5002", "0.0.0.0:5003", "0.0.0.0:5004" }.Select(
                local => (world.Row(local).References, world.Row(local).State)));
    }

    [Fact]
    public void A_replay_that_takes_long_keeps_what_it_named()
    {
        var world = new World(handshake: false);
        world.Start();
        world.Hello(60);
        KernelReply replay = world.LastToKernel;
        world.MapInfo("10.0.0.1:5000", "10.0.0.1:40000");
        world.Now += s_settled;
        world.MapInfo("10.0.0.1:5001", "10.0.0.1:40001");
        world.MapInfoNumber(2);
        world.Now += s_settled;
        world.Acknowledge(replay);
        Assert.Equal([40000, 40001], world.Ports.Held);
    }

    [Fact]
    public void A_young_listener_that_the_replay_names_is_not_asked_for_again()
    {
        var before = new World();
        before.Add("10.0.0.1:5000");
        before.Now += TimeSpan.FromSeconds(1);
        World world = Restarted(before);
        world.Start();
        Replay(world, ("10.0.0.1:5000", "10.0.0.1:40000"));
        world.Now += s_apart;
        world.Audit(null, ("10.0.0.1:5000", EndpointUse.Listening));
        Assert.Equal(TimeSpan.MaxValue, world.Mapper.NextDeadline);

        world = Restarted(before);
        world.Start();
        world.Hello(60);
        KernelReply replay = world.LastToKernel;
        world.MapInfo("10.0.0.1:6000", "10.0.0.1:40001");
        world.Acknowledge(replay); // incomplete: that it does not name the listener says nothing
        world.Now += s_apart;
        world.Audit(null, ("10.0.0.1:5000", EndpointUse.Listening), ("10.0.0.1:6000", EndpointUse.Listening));
        Assert.Equal(TimeSpan.MaxValue, world.Mapper.NextDeadline);
    }

    [Theory]
    [InlineData(9.999, true)]
    [InlineData(10, false)]
    public void For_ten_seconds_the_kernel_may_not_have_recorded_a_mapping(double seconds, bool stays)
    {
        var before = new World();
        before.Query("10.0.0.1:5000", "10.0.0.2:7174");
        before.Answer(PeerMessageType.Accept, 41000);
        before.Now += TimeSpan.FromSeconds(seconds);
        World world = Restarted(before);
        world.Start();
        Replay(world);
        Assert.Equal(stays, world.HasRow("10.0.0.1:5000"));
    }

    [Fact]
    public void A_connection_that_is_replayed_at_two_ports_keeps_the_first()
    {
        var world = new World(handshake: false);
        world.Start();
        Replay(world, ("10.0.0.1:5000", "10.0.0.1:41000"), ("10.0.0.1:5000", "10.0.0.1:41001"));
        Assert.Contains(world.ToKernel, reply => reply.Error == MappingError.Duplicate);
        Assert.Equal([41000], world.Ports.Held);
        Assert.Equal(2, world.Row("10.0.0.1:5000").References);
    }

    [Fact]
    public void A_row_in_fallback_that_is_replayed_with_a_port_gets_it()
    {
        var before = new World();
        before.Query("10.0.0.1:5000", "10.0.0.2:7174");
        before.Answer(PeerMessageType.Reject);
        Assert.Equal(MappingState.Fallback, before.Row("10.0.0.1:5000").State);
        World world = Restarted(before);
        world.Start();
        Replay(world, ("10.0.0.1:5000", "10.0.0.1:5000"), ("10.0.0.1:5000", "10.0.0.1:41000"));
        Assert.Equal([41000], world.Ports.Held);
        Assert.Equal(MappingState.Held, world.Row("10.0.0.1:5000").State);
    }

    [Fact]
    public void A_replayed_row_is_the_one_that_was_there()
    {
        var before = new World();
        before.Add("10.0.0.1:5000", flags: RdmaNetlink.IWPM_FLAGS_NO_PORT_MAP);
        before.Now += s_settled;
        World world = Restarted(before);
        world.Start();
        TimeSpan created = world.Row("10.0.0.1:5000").CreatedAt;
        Replay(world, ("10.0.0.1:5000", "10.0.0.1:5000"));
        Assert.Equal(created, world.Row("10.0.0.1:5000").CreatedAt);
    }

    [Fact]
    public void A_replayed_port_that_finds_no_row_is_refused_and_counted()
    {
        var world = new World(mappings: 16, handshake: false);
        world.Start();
        Replay(world, [.. Enumerable.Range(1, 17).Select(i => ($"10.0.0.1:{i}", $"10.0.0.1:{41000 + i}"))]);
        Assert.Equal((16, 1ul), (world.Mapper.Mappings.Count, world.Counter(Counter.TableFull)));
        Assert.False(world.HasRow("10.0.0.1:17"));
    }

    [Fact]
    public void Unmapped_connections_of_a_replay_that_was_broken_off_get_no_row()
    {
        var world = new World(handshake: false);
        world.Start();
        world.Hello(60);
        KernelReply broken = world.LastToKernel;
        world.MapInfo("10.0.0.1:5000", "10.0.0.1:5000");
        world.Overrun();
        world.Hello(70);
        KernelReply replay = world.LastToKernel;
        world.Acknowledge(broken); // of the one before: it ends nothing
        Assert.Equal(HandshakeState.MapInfoSent, world.Mapper.Kernel);
        world.MapInfo("10.0.0.1:5001", "10.0.0.1:5001");
        world.MapInfoNumber(1);
        world.Acknowledge(replay);
        Assert.Equal(HandshakeState.Ready, world.Mapper.Kernel);
        Assert.Equal((false, true), (world.HasRow("10.0.0.1:5000"), world.HasRow("10.0.0.1:5001")));
    }

    /// <summary>A kernel before 5.1 names two clients; one that came in its place names one.</summary>
    [Fact]
    public void A_replay_of_a_client_that_was_not_asked_claims_nothing_and_is_not_answered()
    {
        var world = new World(handshake: false);
        world.Start();
        world.FromKernel(
            new KernelRequest
            {
                Operation = KernelOperation.Error, Sequence = world.LastToKernel.Sequence, Result = -22,
            });
        KernelReply[] asked = [.. world.ToKernel.Skip(1)];
        void Named(byte client, string local, string mapped) => world.FromKernel(
            new KernelRequest
            {
                Operation = KernelOperation.MapInfo,
                Client = client,
                Local = InetEndpoint.Parse(local),
                Mapped = InetEndpoint.Parse(mapped),
            });
        void Number(byte client) => world.FromKernel(
            new KernelRequest { Operation = KernelOperation.MapInfoNumber, Client = client, Sequence = 9, Number = 1 });
        int sent = world.Sent.Count;
        Named(4, "10.0.0.1:5000", "10.0.0.1:41000");
        Number(4);
        Assert.Equal(sent, world.Sent.Count);
        Named(3, "10.0.0.1:5001", "10.0.0.1:41001");
        Number(3);
        Assert.Equal(
            ((byte)3, 1u, KernelReplyKind.MapInfoNumber),
            (world.LastToKernel.Client, world.LastToKernel.Accepted, world.LastToKernel.Kind));
        world.Acknowledge(asked[1]);
        world.Acknowledge(asked[1]); // once is enough
        Assert.Equal(HandshakeState.MapInfoSent, world.Mapper.Kernel);
        Assert.Equal([41001], world.Ports.Held);
        world.Acknowledge(asked[0]);
        Assert.Equal(HandshakeState.Ready, world.Mapper.Kernel);

        world.Overrun();
        world.Hello(60); // the same module, newer
        sent = world.Sent.Count;
        Named(3, "10.0.0.1:5002", "10.0.0.1:41002");
        Number(3);
        Assert.Equal(sent, world.Sent.Count);
        Assert.Equal([41001], world.Ports.Held);
    }

    [Theory]
    [InlineData(Delivery.Unknown, -110)]
    [InlineData(Delivery.Unsent, -105)]
    internal void A_replay_without_an_ACK_is_asked_for_again_and_what_it_names_is_protected(
        Delivery delivery, int code)
    {
        var world = new World();
        world.Overrun();
        world.Hello(60);
        world.Add("10.0.0.1:5000", sequence: 50);
        KernelReply replay = world.ToKernel.Last(reply => reply.Kind == KernelReplyKind.MapInfo);
        world.Mapper.OnSent(replay, new SendResult(delivery, code), world.Now);
        world.Drain();
        Assert.Equal(
            (HandshakeState.Unanswered, code, false),
            (world.Mapper.Kernel, world.Mapper.KernelResult, world.Mapper.HasFailed));
        Assert.Equal(50u, world.LastToKernel.RequestSequence); // served all the same
        world.MapInfo("10.0.0.1:5001", "10.0.0.1:41001"); // late
        Assert.Contains(41001, world.Ports.Held);
        int said = world.ToKernel.Count(reply => reply.Kind == KernelReplyKind.Hello);
        world.Pass(TimeSpan.FromSeconds(9.99));
        Assert.Equal(said, world.ToKernel.Count(reply => reply.Kind == KernelReplyKind.Hello));
        world.Pass(TimeSpan.FromSeconds(0.01));
        Assert.Equal(said + 1, world.ToKernel.Count(reply => reply.Kind == KernelReplyKind.Hello));
    }

    [Fact]
    public void Once_the_kernel_was_ready_no_missing_answer_is_a_failed_start()
    {
        var world = new World();
        Assert.False(Unanswered(world).HasFailed);
        var before = new World();
        World resumed = Restarted(before);
        Assert.True(resumed.Mapper.TryResume(PredecessorExit.Clean, resumed.Now));
        Assert.False(Unanswered(resumed).HasFailed);
        world.Pass(s_apart);
        Replay(world);
        Assert.Equal(HandshakeState.Ready, world.Mapper.Kernel);
        Assert.False(Unanswered(world).HasFailed);

        static PortMapper Unanswered(World world)
        {
            world.Pass(s_apart);
            world.Overrun();
            KernelReply hello = world.ToKernel.Last(reply => reply.Kind == KernelReplyKind.Hello);
            world.Mapper.OnSent(hello, new SendResult(Delivery.Unknown, -110), world.Now);
            Assert.Equal(HandshakeState.Unanswered, world.Mapper.Kernel);
            return world.Mapper;
        }
    }

    [Fact]
    public void Ten_seconds_after_an_overrun_the_next_one_brings_HELLO_at_once()
    {
        var world = new World();
        world.Overrun();
        world.Now += s_apart;
        world.Overrun();
        Assert.Equal(2, world.ToKernel.Count(reply => reply.Kind == KernelReplyKind.Hello));
    }

    [Fact]
    public void An_audit_that_an_earlier_process_owed_is_not_made_for_an_empty_table()
    {
        var before = new World();
        before.Add("10.0.0.1:5000");
        before.Mapper.Audit.Schedule(before.Now);
        before.Remove("10.0.0.1:5000");
        World world = Restarted(before);
        Assert.True(world.Mapper.TryResume(PredecessorExit.Clean, world.Now));
        Assert.False(world.Mapper.Audit.IsDue(world.Now + s_apart));
    }

    [Fact]
    public void Where_the_only_row_was_lost_HELLO_comes_a_moment_later_and_an_audit_behind_it()
    {
        var before = new World();
        before.Add("0.0.0.0:5000");
        before.State.Mappings[0].Sequence |= 1;
        World world = Restarted(before);
        world.Mapper.Start(world.Now);
        world.Pass(TimeSpan.FromMilliseconds(99));
        Assert.Empty(world.ToKernel);
        world.Pass(TimeSpan.FromMilliseconds(1));
        Assert.Equal(KernelReplyKind.Hello, Assert.Single(world.ToKernel).Kind);
        Assert.False(world.Mapper.Audit.IsDue(world.Now + s_apart - TimeSpan.FromTicks(1)));
        Assert.True(world.Mapper.Audit.IsDue(world.Now + s_apart));
    }

    [Theory]
    [InlineData(350, 0)]
    [InlineData(351, 1)]
    public void Registrations_of_one_start_come_within_a_third_of_a_second(int milliseconds, int hijacks)
    {
        var world = new World();
        world.Register(70);
        world.Now += TimeSpan.FromMilliseconds(milliseconds);
        world.Register(71);
        Assert.Equal((ulong)hijacks, world.Counter(Counter.RegistrationHijacks));
        Assert.False(world.Mapper.Audit.IsDue(world.Now + s_apart)); // there is no row that could be wrong
    }

    [Fact]
    public void A_registration_that_was_lost_brings_HELLO_again_after_ten_seconds()
    {
        var world = new World();
        for (int i = 0; i < 2; i++)
        {
            world.Mapper.OnSent(
                new KernelReply { Kind = KernelReplyKind.RegisterPid, Client = 2 },
                new SendResult(Delivery.Refused, -22), world.Now);
            world.Drain();
            world.Now += s_apart;
        }
        Assert.Equal(2, world.ToKernel.Count(reply => reply.Kind == KernelReplyKind.Hello));
    }

    [Fact]
    public void What_was_answered_to_an_iw_cm_that_is_gone_is_not_waited_for()
    {
        var world = new World();
        world.Register(70);
        Assert.Equal(world.Now + Registrations.Delay, world.Mapper.NextDeadline);
        world.Register(1); // a new one, which counts from 1
        Assert.Equal(TimeSpan.MaxValue, world.Mapper.NextDeadline);
    }

    [Fact]
    public void A_registration_too_many_is_a_loss()
    {
        var world = new World();
        for (uint i = 0; i <= 16384; i++)
        {
            world.Mapper.Handle(
                new KernelRequest
                {
                    Operation = KernelOperation.RegisterPid,
                    Client = 2,
                    Sequence = 70 + i,
                    Library = new FixedName("iWarpPortMapperUser"),
                },
                world.Now, world.Now);
            Assert.Equal(i < 16384 ? 0ul : 1, world.Counter(Counter.DeferredDropped));
        }
        Assert.Equal(1ul, world.State.Health.Losses[(int)LossCause.Deferred].Count);
        world.Now += Registrations.Delay;
        world.Mapper.Expire(world.Now);
        Assert.Equal(16384, world.Mapper.Outbox.Count);
    }

    /// <summary>Rows whose ports another program has, in a table without a free row.</summary>
    private static World Unprotected(params ushort[] taken)
    {
        var before = new World(mappings: 16);
        for (int port = 1; port <= 16; port++)
        {
            before.Add($"10.0.0.1:{port}"); // 40000 to 40015
        }
        var world = new World(state: before.State, handshake: false) { Now = before.Now };
        world.Ports.Taken.UnionWith(taken);
        world.Mapper.Restore(world.Now);
        Assert.True(world.Mapper.TryResume(PredecessorExit.Clean, world.Now));
        Assert.Equal((uint)taken.Length, world.State.Health.Unprotected);
        return world;
    }

    [Fact]
    public void An_unprotected_port_is_claimed_every_two_seconds()
    {
        World world = Unprotected(40003, 40015);
        world.Ports.Taken.Remove(40015);
        world.Pass(TimeSpan.FromSeconds(1.99));
        Assert.Equal(2u, world.State.Health.Unprotected);
        world.Pass(TimeSpan.FromSeconds(0.01));
        Assert.Equal(1u, world.State.Health.Unprotected);
        world.Ports.Taken.Clear();
        world.Pass(TimeSpan.FromSeconds(2));
        Assert.Equal((0u, 16), (world.State.Health.Unprotected, world.Ports.Held.Count));
        Assert.Equal(TimeSpan.MaxValue, world.Mapper.NextDeadline);
    }

    [Fact]
    public void A_row_that_ends_unprotected_is_not_claimed_any_more_and_a_fallback_is_none()
    {
        World world = Unprotected(40003);
        world.Remove("10.0.0.1:1");
        world.Query("10.0.0.1:17", "10.0.0.2:7174");
        world.Answer(PeerMessageType.Reject); // a row in fallback
        world.Remove("10.0.0.1:17");
        Assert.Equal(1u, world.State.Health.Unprotected);
        world.Remove("10.0.0.1:4");
        Assert.Equal((0u, TimeSpan.MaxValue), (world.State.Health.Unprotected, world.Mapper.NextDeadline));
        Assert.Equal(14, world.Ports.Held.Count);
    }

    [Fact]
    public void A_port_that_no_row_waits_for_is_given_to_a_new_mapping()
    {
        World world = Unprotected(40003, 40007);
        world.Remove("10.0.0.1:1");
        world.Ports.Chosen.Enqueue(41000);
        world.Add("10.0.0.1:17");
        Assert.Equal(41000, world.LastToKernel.MappedLocal.Port);
        Assert.Equal(2u, world.State.Health.Unprotected);

        world.Remove("10.0.0.1:2");
        world.Ports.Taken.Remove(40007);
        world.Ports.Chosen.Enqueue(40007); // free, and the kernel uses it for the eighth row
        world.Ports.Chosen.Enqueue(41001);
        world.Add("10.0.0.1:18");
        Assert.Equal((41001, 1u), (world.LastToKernel.MappedLocal.Port, world.State.Health.Unprotected));
        Assert.Equal(MappingState.Held, world.Row("10.0.0.1:8").State);
    }

    /// <summary>A host that hands out a port and then refuses it, again and again.</summary>
    [Fact]
    public void A_new_mapping_claims_one_port_more_than_there_are_unprotected_rows_and_gives_up()
    {
        World world = Unprotected(40003, 40007);
        world.Remove("10.0.0.1:1");
        world.Ports.Taken.Clear();
        world.Ports.Privileged.UnionWith([40003, 40007]);
        foreach (ushort port in (ushort[])[40003, 40007, 40003, 40007, 40003])
        {
            world.Ports.Chosen.Enqueue(port);
        }
        world.Add("10.0.0.1:17");
        Assert.Equal((KernelReplyKind.HandleError, MappingError.CannotCreate), (
            world.LastToKernel.Kind, world.LastToKernel.Error));
        Assert.Equal((2, 13), (world.Ports.Chosen.Count, world.Ports.Held.Count));
    }

    [Fact]
    public void Two_connections_are_not_protected_by_one_claim_of_the_same_port()
    {
        var world = new World(handshake: false);
        world.Start();
        Replay(world, ("10.0.0.1:5000", "10.0.0.1:41000"), ("10.0.0.1:5001", "10.0.0.1:41000"));
        Assert.Equal(
            (MappingState.Held, MappingState.Unprotected),
            (world.Row("10.0.0.1:5000").State, world.Row("10.0.0.1:5001").State));
    }

    [Fact]
    public void Rows_whose_REMOVE_no_audit_could_judge_are_released_also_in_a_full_table()
    {
        var before = new World(mappings: 16);
        for (int port = 1; port <= 16; port++)
        {
            before.Add($"0.0.0.0:{port}");
        }
        World world = Restarted(before);
        Assert.True(world.Mapper.TryResume(PredecessorExit.Crash, world.Now));
        world.Remove("0.0.0.0:2");
        world.Remove("0.0.0.0:16");
        for (int tries = 0; tries < 30; tries++)
        {
            world.Now += s_apart;
            world.Audit("other namespaces");
        }
        Assert.Equal((14, false, false), (
            world.Mapper.Mappings.Count, world.HasRow("0.0.0.0:2"), world.HasRow("0.0.0.0:16")));
    }
}

// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.State;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;
using Xunit;

namespace Iwpmd.Tests.Core;

/// <summary>HELLO, registration, replay.</summary>
public class HandshakeRulesTests
{
    /// <summary>
    /// A daemon that starts with the state another one left, and a kernel that replays what <paramref name="replay"/>
    /// says.
    /// </summary>
    private static World Restart(
        World before, Action<World> replay, Action<World>? prepare = null, ILogger? log = null)
    {
        var world = new World(handshake: false, state: before.State, log: log) { Now = before.Now };
        prepare?.Invoke(world);
        world.Mapper.Restore(world.Now);
        Replay(world, replay);
        return world;
    }

    private static void Replay(World world, Action<World> replay)
    {
        world.Start();
        world.Hello(sequence: 100);
        KernelReply request = world.LastToKernel;
        replay(world);
        world.Acknowledge(request);
    }

    [Fact]
    public void Where_too_many_wait_for_the_replay_the_next_is_refused_at_once_and_counts_for_its_row()
    {
        var before = new World();
        before.Add("10.0.0.1:5000");
        before.Add("10.0.0.1:5001");
        var log = new RecordedLog { MinimumLevel = LogLevel.Debug };
        World world = Restart(before, _ => { }, log: log);
        world.Start();
        for (uint i = 0; i < 16384; i++)
        {
            world.FromKernel(
                new KernelRequest { Operation = KernelOperation.Malformed, Client = 2, Sequence = 1000 + i });
        }
        Assert.Equal(KernelReplyKind.Hello, world.LastToKernel.Kind); // they wait
        world.Add("10.0.0.1:5000", sequence: 7);
        Assert.Equal(
            (KernelReplyKind.HandleError, 7u, MappingError.CannotCreate),
            (world.LastToKernel.Kind, world.LastToKernel.RequestSequence, world.LastToKernel.Error));
        Assert.Contains(log.Lines, line => line.EndsWith(": too many requests wait for the replay"));
        Assert.Equal(2, world.Row("10.0.0.1:5000").References);
        world.Remove("10.0.0.1:5001");
        Assert.Equal(1, world.Mapper.Mappings.Count);
        Assert.Equal(1ul, world.Counter(Counter.DeferredDropped)); // a REMOVE before the replay does not wait
    }

    /// <summary>A process that was stopped during its end has no time left to serve them.</summary>
    [Fact]
    public void What_still_waits_when_the_daemon_ends_is_refused_and_counted()
    {
        var world = new World();
        world.Register(3);
        world.Overrun();
        world.Query("10.0.0.1:5000", "10.0.0.2:80", sequence: 4);
        world.Remove("10.0.0.1:5000");
        world.Sent.Clear();

        world.Mapper.End(world.Now);
        world.Drain();
        Assert.Equal(
            [(KernelReplyKind.HandleError, 4u), (KernelReplyKind.HandleError, 3u)],
            world.ToKernel.Select(reply => (reply.Kind, reply.RequestSequence)));
        Assert.Equal(3ul, world.Counter(Counter.DeferredDropped));
        Assert.Equal(3ul, world.State.Health.Losses[(int)LossCause.Deferred].Count);
        Assert.False(world.State.Clients[2].IsRegistered); // the kernel asks again
    }

    [Theory]
    [InlineData(0, 3)]
    [InlineData(2, 3)]
    [InlineData(5, 4)]
    [InlineData(65535, 4)]
    public void A_version_that_is_not_known_is_taken_for_the_nearest(int said, int taken)
    {
        var world = new World(handshake: false);
        world.Mapper.Start(world.Now);
        world.Hello(abi: (uint)said);
        Assert.Equal((KernelReplyKind.MapInfo, (ushort)taken), (world.LastToKernel.Kind, world.LastToKernel.Abi));
    }

    [Fact]
    public void The_agreed_version_is_asked_for_and_is_in_the_registration()
    {
        var world = new World(handshake: false);
        world.Start();
        Assert.Equal((KernelReplyKind.Hello, (ushort)4), (world.LastToKernel.Kind, world.LastToKernel.Abi));
        world.Hello(abi: 3);
        Assert.Equal((KernelReplyKind.MapInfo, (ushort)3), (world.LastToKernel.Kind, world.LastToKernel.Abi));
        Assert.Equal(HandshakeState.MapInfoSent, world.Mapper.Kernel);

        world.Acknowledge(world.LastToKernel);
        Assert.Equal(HandshakeState.Ready, world.Mapper.Kernel);
        world.Register(2);
        world.Pass(Registrations.Delay);
        Assert.Equal((KernelReplyKind.RegisterPid, (ushort)3), (world.LastToKernel.Kind, world.LastToKernel.Abi));
    }

    [Fact]
    public void A_registration_is_answered_250_ms_after_it_came_and_holds_nothing_else_up()
    {
        var world = new World();
        world.Register(3);
        Assert.Empty(world.ToKernel);
        world.Pass(TimeSpan.FromMilliseconds(200));
        world.Add("10.0.0.1:5000", sequence: 4); // of a connection whose registration was answered before
        Assert.Equal([4u], world.ToKernel.Select(reply => reply.RequestSequence));
        world.Register(5); // of one that began meanwhile
        world.Pass(TimeSpan.FromMilliseconds(49));
        Assert.Single(world.ToKernel);
        world.Pass(TimeSpan.FromMilliseconds(1));
        Assert.Equal(2, world.ToKernel.Count());
        Assert.Equal(
            (KernelReplyKind.RegisterPid, 3u, "siw0"),
            (world.LastToKernel.Kind, world.LastToKernel.RequestSequence, world.LastToKernel.Device.ToString()));
    }

    [Fact]
    public void A_second_registration_with_another_library_is_refused()
    {
        var world = new World();
        world.Register(3, "somethingElse");
        Assert.Equal(MappingError.UserLibrary, world.LastToKernel.Error);
    }

    [Fact]
    public void A_kernel_that_does_not_know_HELLO_is_asked_in_version_3_for_both_clients()
    {
        var world = new World(handshake: false);
        world.Start();
        world.Acknowledge(world.LastToKernel, -22);
        KernelReply[] asked = [.. world.ToKernel.Skip(1)];
        Assert.Equal([(2, 3), (3, 3)], asked.Select(reply => ((int)reply.Client, (int)reply.Abi)));

        world.Acknowledge(asked[1], -22);
        Assert.Equal(HandshakeState.MapInfoSent, world.Mapper.Kernel);
        world.Acknowledge(asked[0]);
        Assert.Equal(HandshakeState.Ready, world.Mapper.Kernel);
    }

    [Fact]
    public void A_first_HELLO_without_an_answer_is_no_refusal()
    {
        var world = new World(handshake: false);
        world.Start();
        KernelReply hello = world.LastToKernel;
        world.Add("10.0.0.1:5000"); // it waits
        world.Mapper.OnSent(hello, new SendResult(Delivery.Unknown, -110), world.Now);
        world.Drain();
        Assert.Equal(
            (HandshakeState.Unanswered, -110, true),
            (world.Mapper.Kernel, world.Mapper.KernelResult, world.Mapper.HasFailed));
        Assert.Single(world.ToKernel); // and no other protocol is tried
        Assert.True(world.Mapper.HasDeferredRequests);

        world.Mapper.OnOverrun(world.Now); // the reason of it
        world.Drain();
        world.Hello(abi: 4);
        world.Acknowledge(world.LastToKernel);
        Assert.Equal(HandshakeState.Ready, world.Mapper.Kernel);
    }

    [Fact]
    public void A_HELLO_of_which_only_the_ACK_came_is_unanswered_and_no_old_kernels()
    {
        var world = new World(handshake: false);
        world.Start();
        world.Acknowledge(world.LastToKernel);
        Assert.Equal(HandshakeState.Unanswered, world.Mapper.Kernel);
        Assert.Single(world.ToKernel);
    }

    [Fact]
    public void A_later_HELLO_that_is_not_answered_is_sent_again_and_requests_are_served_meanwhile()
    {
        var world = new World();
        world.Overrun();
        world.Add("10.0.0.1:5000", sequence: 55);
        world.Mapper.OnSent(
            world.ToKernel.Last(reply => reply.Kind == KernelReplyKind.Hello), new SendResult(Delivery.Unknown, -110),
            world.Now);
        world.Drain();
        Assert.Equal(
            (KernelReplyKind.AddMapping, 55u, false),
            (world.LastToKernel.Kind, world.LastToKernel.RequestSequence, world.Mapper.HasFailed));
        world.Add("10.0.0.1:5001", sequence: 56);
        Assert.Equal(56u, world.LastToKernel.RequestSequence);
        world.Pass(TimeSpan.FromSeconds(10));
        Assert.Equal((KernelReplyKind.Hello, HandshakeState.HelloSent), (world.LastToKernel.Kind, world.Mapper.Kernel));
    }

    [Fact]
    public void A_registration_whose_ACK_is_lost_is_no_hijack()
    {
        var world = new World();
        world.Register(50);
        world.Pass(Registrations.Delay);
        world.Mapper.OnSent(world.LastToKernel, new SendResult(Delivery.Unknown, -110), world.Now);
        Assert.Equal(0ul, world.Counter(Counter.RegistrationHijacks));
    }

    [Fact]
    public void A_kernel_that_refuses_everything_is_unusable()
    {
        var world = new World(handshake: false);
        world.Start();
        world.Acknowledge(world.LastToKernel, -22);
        foreach (KernelReply asked in world.ToKernel.Skip(1).ToArray())
        {
            world.Acknowledge(asked, -22);
        }
        Assert.Equal((HandshakeState.Unusable, -22), (world.Mapper.Kernel, world.Mapper.KernelResult));
    }

    [Fact]
    public void What_is_asked_during_the_replay_waits_for_its_end_since_replayed_ports_come_first()
    {
        var world = new World(handshake: false);
        world.Ports.Chosen.Enqueue(41000);
        Replay(world, w =>
        {
            w.Add("10.0.0.1:6000", sequence: 50);
            w.MapInfo("10.0.0.1:5000", "10.0.0.1:41000");
            w.MapInfoNumber(1);
            Assert.DoesNotContain(w.ToKernel, reply => reply.Kind == KernelReplyKind.AddMapping);
        });
        Assert.Equal(41000, world.Row("10.0.0.1:5000").MappedPort);
        Assert.Equal((KernelReplyKind.AddMapping, 50u), (world.LastToKernel.Kind, world.LastToKernel.RequestSequence));
        Assert.NotEqual(41000, world.Row("10.0.0.1:6000").MappedPort);
    }

    [Fact]
    public void The_replay_claims_the_ports_and_answers_how_many_were_accepted()
    {
        var world = new World(handshake: false);
        world.Ports.Taken.Add(41002);
        Replay(world, w =>
        {
            w.MapInfo("10.0.0.1:5000", "10.0.0.1:41000");
            w.MapInfo("0.0.0.0:5001", "0.0.0.0:41001");
            w.MapInfo("0.0.0.0:5001", "0.0.0.0:41001");
            w.MapInfo("10.0.0.1:5002", "10.0.0.1:41002"); // somebody has it
            w.MapInfo("10.0.0.1:5003", "10.0.0.1:5003", RdmaNetlink.IWPM_FLAGS_NO_PORT_MAP);
            w.MapInfo("10.0.0.1:5004", "10.0.0.1:5004"); // its ADD was refused
            w.MapInfoNumber(6);
        });
        KernelReply number = world.ToKernel.Single(reply => reply.Kind == KernelReplyKind.MapInfoNumber);
        Assert.Equal((40u, 6u, 5u), (number.RequestSequence, number.Sent, number.Accepted));
        Assert.Equal(
            MappingError.CannotCreate, world.ToKernel.Single(reply => reply.Kind == KernelReplyKind.HandleError).Error);
        Assert.Equal(
            [
                (MappingState.Held, 1), (MappingState.Held, 2), (MappingState.Unprotected, 1),
                (MappingState.Advertised, 1), (MappingState.Fallback, 1),
            ],
            new[] { "10.0.0.1:5000", "0.0.0.0:5001", "10.0.0.1:5002", "10.0.0.1:5003", "10.0.0.1:5004" }.Select(
                local => (world.Row(local).State, world.Row(local).References)));
    }

    [Fact]
    public void An_overlapping_replayed_mapping_is_a_duplicate_whose_port_is_protected_all_the_same()
    {
        var world = new World(handshake: false);
        Replay(world, w =>
        {
            w.MapInfo("0.0.0.0:5000", "0.0.0.0:41000");
            w.MapInfo("10.0.0.1:5000", "10.0.0.1:41001");
            w.MapInfoNumber(2);
        });
        Assert.Contains(world.ToKernel, reply => reply.Error == MappingError.Duplicate);
        Assert.Equal([41000, 41001], world.Ports.Held);
    }

    [Fact]
    public void An_unprotected_port_is_claimed_as_soon_as_it_is_free()
    {
        var world = new World(handshake: false);
        world.Ports.Taken.Add(41000);
        Replay(world, w =>
        {
            w.MapInfo("10.0.0.1:5000", "10.0.0.1:41000");
            w.MapInfoNumber(1);
        });
        world.Pass(TimeSpan.FromSeconds(5));
        Assert.Equal(
            (MappingState.Unprotected, 1u), (world.Row("10.0.0.1:5000").State, world.State.Health.Unprotected));

        world.Ports.Taken.Clear();
        world.Pass(TimeSpan.FromSeconds(2));
        Assert.Equal((MappingState.Held, 0u), (world.Row("10.0.0.1:5000").State, world.State.Health.Unprotected));
        Assert.Equal(TimeSpan.MaxValue, world.Mapper.NextDeadline);
    }

    [Fact]
    public void After_a_restart_the_ports_of_the_state_are_claimed_again_and_references_come_from_the_complete_replay()
    {
        var before = new World();
        before.Add("0.0.0.0:5000");
        before.Add("0.0.0.0:5000");
        before.Add("0.0.0.0:5000");
        before.Add("10.0.0.1:6000");
        before.Pass(TimeSpan.FromSeconds(60));

        World world = Restart(before, w =>
        {
            Assert.Equal([40000, 40001], w.Ports.Held);
            w.MapInfo("0.0.0.0:5000", "0.0.0.0:40000");
            w.MapInfo("0.0.0.0:5000", "0.0.0.0:40000");
            w.MapInfoNumber(2);
        });
        Assert.Equal(2, world.Row("0.0.0.0:5000").References);
        Assert.False(world.HasRow("10.0.0.1:6000"));
        Assert.Equal([40000], world.Ports.Held);
    }

    [Fact]
    public void A_row_that_is_younger_than_the_kernels_record_can_be_is_kept()
    {
        var before = new World();
        before.Add("0.0.0.0:5000");
        before.Pass(TimeSpan.FromSeconds(9));
        World world = Restart(before, w => { });
        Assert.True(world.HasRow("0.0.0.0:5000"));
    }

    [Fact]
    public void An_incomplete_replay_releases_nothing()
    {
        var before = new World();
        before.Add("0.0.0.0:5000");
        before.Add("10.0.0.1:6000");
        before.Pass(TimeSpan.FromSeconds(60));
        // no MAPINFO_NUM: the kernel knows more than it sent
        World world = Restart(before, w => w.MapInfo("0.0.0.0:5000", "0.0.0.0:40000"));
        Assert.Equal([40000, 40001], world.Ports.Held);
    }

    [Fact]
    public void A_port_that_was_taken_during_the_outage_stays_in_sight()
    {
        var before = new World();
        before.Add("10.0.0.1:5000");
        before.Pass(TimeSpan.FromSeconds(60));
        World world = Restart(
            before,
            w =>
            {
                w.MapInfo("10.0.0.1:5000", "10.0.0.1:40000");
                w.MapInfoNumber(1);
            },
            w => w.Ports.Taken.Add(40000));
        Assert.Equal(
            (MappingState.Unprotected, 40000),
            (world.Row("10.0.0.1:5000").State, world.Row("10.0.0.1:5000").MappedPort));
        Assert.Equal(0u, world.ToKernel.Last(reply => reply.Kind == KernelReplyKind.MapInfoNumber).Accepted);
    }

    [Fact]
    public void The_kernel_is_right_about_which_port_it_uses()
    {
        var before = new World();
        before.Add("10.0.0.1:5000");
        before.Pass(TimeSpan.FromSeconds(60));
        World world = Restart(before, w =>
        {
            w.MapInfo("10.0.0.1:5000", "10.0.0.1:41234");
            w.MapInfoNumber(1);
        });
        Assert.Equal([41234], world.Ports.Held);
        Assert.Equal(41234, world.Row("10.0.0.1:5000").MappedPort);
    }

    [Fact]
    public void After_lost_messages_HELLO_is_sent_again_and_requests_meanwhile_are_served_after_it()
    {
        var world = new World();
        world.Add("0.0.0.0:5000");
        world.Pass(TimeSpan.FromSeconds(60));
        world.Overrun();
        Assert.Equal(KernelReplyKind.Hello, world.LastToKernel.Kind);
        world.Add("0.0.0.0:5001", sequence: 55);
        world.Hello(60);
        KernelReply request = world.LastToKernel;
        world.MapInfo("0.0.0.0:5000", "0.0.0.0:40000");
        world.MapInfoNumber(1);
        world.Acknowledge(request);
        Assert.Equal((KernelReplyKind.AddMapping, 55u), (world.LastToKernel.Kind, world.LastToKernel.RequestSequence));
        Assert.Equal(1, world.Row("0.0.0.0:5000").References);
    }

    [Fact]
    public void A_registration_from_a_reloaded_iw_cm_is_answered_after_a_new_HELLO()
    {
        var world = new World();
        world.Register(1); // the first number of a new iw_cm
        Assert.Equal(KernelReplyKind.Hello, world.LastToKernel.Kind);
        world.Hello(2);
        world.Acknowledge(world.LastToKernel);
        world.Pass(Registrations.Delay);
        Assert.Equal((KernelReplyKind.RegisterPid, 1u), (world.LastToKernel.Kind, world.LastToKernel.RequestSequence));
    }

    [Fact]
    public void What_waits_for_an_iw_cm_that_was_reloaded_is_not_answered_to_the_new_one()
    {
        var world = new World();
        world.Register(50);
        world.Register(1); // the first number of a new iw_cm
        world.Hello(2);
        world.Acknowledge(world.LastToKernel);
        world.Pass(Registrations.Delay);
        Assert.Equal([1u], world.ToKernel.Where(reply => reply.Kind == KernelReplyKind.RegisterPid)
            .Select(reply => reply.RequestSequence));
    }

    [Fact]
    public void A_registration_that_came_before_the_HELLO_does_not_count_as_a_reload()
    {
        var world = new World(handshake: false);
        world.Start();
        world.Register(5);
        world.Hello(6);
        world.Acknowledge(world.LastToKernel);
        world.Pass(Registrations.Delay);
        Assert.Equal((KernelReplyKind.RegisterPid, 5u), (world.LastToKernel.Kind, world.LastToKernel.RequestSequence));
        Assert.Single(world.ToKernel, reply => reply.Kind == KernelReplyKind.Hello);
    }

    [Fact]
    public void A_registration_hijack_is_noticed_at_the_next_registration_and_brings_an_audit()
    {
        var world = new World();
        world.Add("0.0.0.0:5000");
        world.Pass(TimeSpan.FromSeconds(5));
        world.Register(50);
        world.Pass(Registrations.Delay);
        Assert.Equal((KernelReplyKind.RegisterPid, 50u), (world.LastToKernel.Kind, world.LastToKernel.RequestSequence));
        Assert.Equal(1ul, world.Counter(Counter.RegistrationHijacks));
        Assert.True(world.Mapper.Audit.IsDue(world.Now + TimeSpan.FromSeconds(10)));
    }

    [Fact]
    public void Registrations_of_connections_that_begin_together_are_no_hijack()
    {
        var world = new World();
        world.Register(50);
        world.Register(51);
        world.Pass(Registrations.Delay);
        Assert.Equal([50u, 51u], world.ToKernel.Where(reply => reply.Kind == KernelReplyKind.RegisterPid).Select(
            reply => reply.RequestSequence));
        Assert.Equal(0ul, world.Counter(Counter.RegistrationHijacks));
    }

    [Fact]
    public void A_registration_that_another_process_answered_first_brings_HELLO_but_not_too_often()
    {
        var world = new World();
        for (uint i = 0; i < 3; i++)
        {
            world.Register(50 + (20 * i));
            world.Pass(Registrations.Delay);
            world.Mapper.OnSent(
                world.ToKernel.Last(reply => reply.Kind == KernelReplyKind.RegisterPid),
                new SendResult(Delivery.Refused, -22), world.Now);
            world.Drain();
            if (world.Mapper.Kernel == HandshakeState.HelloSent)
            {
                world.Hello(60);
                world.Acknowledge(world.LastToKernel);
            }
            world.Pass(TimeSpan.FromSeconds(4));
        }
        Assert.Single(world.ToKernel, reply => reply.Kind == KernelReplyKind.Hello);
        Assert.InRange(world.Counter(Counter.RegistrationHijacks), 3ul, 5ul);
    }

    [Fact]
    public void A_row_that_was_being_written_when_the_process_crashed_is_dropped()
    {
        var before = new World();
        before.Add("10.0.0.1:5000");
        before.Add("10.0.0.1:6000");
        before.State.Mappings[0].MappedPort ^= 1;
        var table = new MappingTable(before.State);
        Assert.Equal((1, 1), (table.Dropped, table.Count));
        Assert.Equal(-1, table.FindExactLocal(InetEndpoint.Parse("10.0.0.1:5000")));
    }
}

// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.State;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Core;

/// <summary>ADD, QUERY and REMOVE: one fact a rule.</summary>
public class KernelRulesTests
{
    private const uint NoPortMap = RdmaNetlink.IWPM_FLAGS_NO_PORT_MAP;
    private static readonly TimeSpan TooOld = TimeSpan.FromSeconds(9.6);

    [Fact]
    public void An_add_claims_a_port_and_answers_with_it()
    {
        var world = new World();
        world.Add("10.0.0.1:5000", sequence: 7);

        KernelReply reply = Assert.Single(world.ToKernel);
        Assert.Equal(
            (KernelReplyKind.AddMapping, 7u, MappingError.None), (reply.Kind, reply.RequestSequence, reply.Error));
        Assert.Equal(InetEndpoint.Parse("10.0.0.1:5000"), reply.Local);
        Assert.Equal(InetEndpoint.Parse("10.0.0.1:40000"), reply.MappedLocal);
        Assert.Equal([40000], world.Ports.Held);
    }

    [Fact]
    public void A_claimed_port_is_never_the_local_one()
    {
        var world = new World();
        world.Add("10.0.0.1:40000");
        Assert.Equal(40001, world.LastToKernel.MappedLocal.Port);
    }

    [Fact]
    public void NO_PORT_MAP_is_recorded_and_binds_nothing()
    {
        var world = new World();
        world.Add("10.0.0.1:5000", flags: NoPortMap);

        Assert.Equal(InetEndpoint.Parse("10.0.0.1:5000"), world.LastToKernel.MappedLocal);
        Assert.Equal(MappingState.Advertised, world.Row("10.0.0.1:5000").State);
        Assert.Empty(world.Ports.Held);
    }

    [Fact]
    public void The_same_wildcard_twice_shares_one_port_until_the_last_remove()
    {
        var world = new World();
        world.Add("0.0.0.0:5000");
        world.Add("0.0.0.0:5000");
        Assert.All(world.ToKernel, reply => Assert.Equal(40000, reply.MappedLocal.Port));

        world.Remove("0.0.0.0:5000");
        Assert.Equal([40000], world.Ports.Held);
        world.Remove("0.0.0.0:5000");
        Assert.Empty(world.Ports.Held);
        Assert.False(world.HasRow("0.0.0.0:5000"));
    }

    [Theory]
    [InlineData("10.0.0.1:5000", "10.0.0.1:5000")]
    [InlineData("0.0.0.0:5000", "10.0.0.1:5000")]
    [InlineData("10.0.0.1:5000", "0.0.0.0:5000")]
    [InlineData("[::]:5000", "[fd00::1]:5000")]
    public void An_add_that_overlaps_another_mapping_is_a_duplicate(string first, string second)
    {
        var world = new World();
        world.Add(first);
        world.Add(second);
        Assert.Equal(
            (KernelReplyKind.HandleError, MappingError.Duplicate), (world.LastToKernel.Kind, world.LastToKernel.Error));
        Assert.Equal(1, world.Mapper.Mappings.Count);
    }

    [Theory]
    [InlineData("10.0.0.1:5000", "10.0.0.2:5000")]
    [InlineData("[::]:5000", "0.0.0.0:5000")]
    [InlineData("[fd00::1]:5000", "10.0.0.1:5000")]
    [InlineData("[fe80::1%2]:5000", "[fe80::1%3]:5000")]
    public void One_port_on_two_addresses_or_in_two_families_is_two_mappings(string first, string second)
    {
        var world = new World();
        world.Add(first);
        world.Add(second);
        Assert.Equal([40000, 40001], world.ToKernel.Select(reply => (int)reply.MappedLocal.Port));
    }

    [Fact]
    public void The_remove_of_a_refused_duplicate_does_not_free_the_owners_port()
    {
        var world = new World();
        world.Add("10.0.0.1:5000");
        world.Add("10.0.0.1:5000");
        world.Remove("10.0.0.1:5000");
        Assert.Equal([40000], world.Ports.Held);
        world.Remove("10.0.0.1:5000");
        Assert.Empty(world.Ports.Held);
    }

    [Fact]
    public void A_refused_add_without_a_row_of_its_own_leaves_nothing_and_its_remove_finds_nothing()
    {
        var world = new World();
        world.Add("0.0.0.0:5000");
        world.Add("10.0.0.1:5000");
        world.Remove("10.0.0.1:5000");
        Assert.Equal(1, world.Row("0.0.0.0:5000").References);
    }

    [Fact]
    public void An_add_that_may_have_waited_too_long_is_counted_but_not_answered()
    {
        var world = new World();
        world.Add("0.0.0.0:5000");
        world.Sent.Clear();
        world.Add("0.0.0.0:5000", age: TooOld);
        world.Add("0.0.0.0:6000", age: TooOld);

        Assert.Empty(world.Sent);
        Assert.Equal(2, world.Row("0.0.0.0:5000").References);
        Assert.False(world.HasRow("0.0.0.0:6000"));
        Assert.Equal(2ul, world.Counter(Counter.TooOld));
    }

    [Fact]
    public void A_remove_is_carried_out_however_old_it_is()
    {
        var world = new World();
        world.Add("0.0.0.0:5000");
        world.FromKernel(
            new KernelRequest
            {
                Operation = KernelOperation.RemoveMapping,
                Client = 2,
                Local = InetEndpoint.Parse("0.0.0.0:5000"),
            },
            TimeSpan.FromHours(1));
        Assert.Empty(world.Ports.Held);
    }

    [Fact]
    public void Only_the_owning_client_removes()
    {
        var world = new World();
        world.Add("10.0.0.1:5000");
        world.Remove("10.0.0.1:5000", client: 3);
        Assert.Equal([40000], world.Ports.Held);
    }

    [Fact]
    public void An_unknown_remove_is_fine()
    {
        var world = new World();
        world.Remove("10.0.0.1:5000");
        Assert.Empty(world.Sent);
    }

    [Fact]
    public void A_client_that_did_not_register_is_served()
    {
        var world = new World();
        world.Add("10.0.0.1:5000", client: 7);
        Assert.Equal((KernelReplyKind.AddMapping, (byte)7), (world.LastToKernel.Kind, world.LastToKernel.Client));
    }

    [Fact]
    public void Without_a_free_port_the_kernel_is_answered_at_once()
    {
        var world = new World { Ports = { IsExhausted = true } };
        world.Add("10.0.0.1:5000");
        Assert.Equal(MappingError.CannotCreate, world.LastToKernel.Error);
        Assert.Equal(0, world.Mapper.Mappings.Count);
    }

    [Fact]
    public void A_full_table_refuses_and_claims_nothing_and_serves_again_when_a_row_is_free()
    {
        var world = new World(mappings: 16);
        for (int port = 1; port <= 16; port++)
        {
            world.Add($"10.0.0.1:{port}");
        }
        world.Add("10.0.0.1:17");
        Assert.Equal(MappingError.CannotCreate, world.LastToKernel.Error);
        Assert.Equal(16, world.Ports.Held.Count);

        world.Remove("10.0.0.1:3");
        world.Add("10.0.0.1:17");
        Assert.Equal(KernelReplyKind.AddMapping, world.LastToKernel.Kind);
    }

    [Theory]
    [InlineData("0.0.0.0:5000", "10.0.0.2:7174")]
    [InlineData("10.0.0.1:5000", "[fd00::2]:7174")]
    public void A_query_from_the_wildcard_or_between_families_is_refused(string local, string remote)
    {
        var world = new World();
        world.Query(local, remote);
        Assert.Equal(
            (KernelReplyKind.HandleError, MappingError.CannotCreate),
            (world.LastToKernel.Kind, world.LastToKernel.Error));
        Assert.Empty(world.ToPeers);
        Assert.Equal(0, world.Mapper.Mappings.Count);
    }

    [Fact]
    public void A_query_under_a_wildcard_mapping_of_its_port_is_refused_without_a_reference()
    {
        var world = new World();
        world.Add("0.0.0.0:5000");
        world.Query("10.0.0.1:5000", "10.0.0.2:7174");
        Assert.Equal(MappingError.CannotCreate, world.LastToKernel.Error);
        Assert.Equal(1, world.Row("0.0.0.0:5000").References);
    }

    [Fact]
    public void Queries_from_one_address_share_its_port()
    {
        var world = new World();
        world.Query("10.0.0.1:5000", "10.0.0.2:7174");
        world.Query("10.0.0.1:5000", "10.0.0.3:7174");
        Assert.Equal(2, world.Row("10.0.0.1:5000").References);
        Assert.All(world.ToPeers, effect => Assert.Equal(40000, effect.Message.MappedConnecting.Port));
    }

    [Fact]
    public void A_malformed_request_is_refused_by_its_number_unless_it_is_too_old()
    {
        var world = new World();
        world.FromKernel(new KernelRequest { Operation = KernelOperation.Malformed, Client = 2, Sequence = 9 });
        Assert.Equal((9u, MappingError.InvalidMessage), (world.LastToKernel.RequestSequence, world.LastToKernel.Error));
        world.FromKernel(
            new KernelRequest { Operation = KernelOperation.Malformed, Client = 2, Sequence = 10 }, TooOld);
        Assert.Single(world.ToKernel);
    }

    [Fact]
    public void An_answer_that_was_not_delivered_gives_the_port_back_but_waits_for_the_remove()
    {
        var world = new World();
        world.Add("10.0.0.1:5000");
        world.Mapper.OnSent(world.LastToKernel, new SendResult(Delivery.Unsent), world.Now);
        Assert.Equal(MappingState.Fallback, world.Row("10.0.0.1:5000").State);
        Assert.Empty(world.Ports.Held);

        world.Remove("10.0.0.1:5000");
        Assert.False(world.HasRow("10.0.0.1:5000"));
    }

    [Fact]
    public void An_undelivered_answer_leaves_the_port_of_another_reference_alone()
    {
        var world = new World();
        world.Add("0.0.0.0:5000");
        world.Add("0.0.0.0:5000");
        world.Mapper.OnSent(world.LastToKernel, new SendResult(Delivery.Refused, -22), world.Now);
        Assert.Equal([40000], world.Ports.Held);
    }

    [Fact]
    public void A_row_in_fallback_is_mapped_again_by_the_next_add()
    {
        var world = new World();
        world.Add("10.0.0.1:5000");
        world.Mapper.OnSent(world.LastToKernel, new SendResult(Delivery.Unsent), world.Now);
        world.Add("10.0.0.1:5000");

        Assert.Equal(40001, world.LastToKernel.MappedLocal.Port);
        Assert.Equal((2, MappingState.Held), (world.Row("10.0.0.1:5000").References, world.Row("10.0.0.1:5000").State));
    }

    [Fact]
    public void Every_answer_carries_the_last_moment_at_which_it_may_be_sent()
    {
        var world = new World();
        world.Add("10.0.0.1:5000", age: TimeSpan.FromSeconds(2));
        world.Add("10.0.0.1:5000", age: TimeSpan.FromSeconds(2));
        Assert.All(world.Sent, effect => Assert.Equal(world.Now + TimeSpan.FromSeconds(7.5), effect.AnswerBy));
    }

    /// <summary>The limit of the protocol: a REMOVE and a peer's Request name an address, never a device.</summary>
    [Theory]
    [InlineData(0, 1, 40000)]
    [InlineData(1, 0, 5000)]
    public void A_wildcard_of_two_device_classes_is_mapped_as_the_first_one_asked_and_that_is_logged(
        uint first, uint second, int mapped)
    {
        var log = new RecordedLog();
        var world = new World(log: log);
        world.Add("0.0.0.0:5000", flags: first);
        world.Add("0.0.0.0:5000", flags: first);
        Assert.DoesNotContain(log.Lines, line => line.StartsWith("mapping: shared: ", StringComparison.Ordinal));
        world.Add("0.0.0.0:5000", flags: second);
        Assert.Equal(mapped, world.LastToKernel.MappedLocal.Port);
        Assert.True(world.Row("0.0.0.0:5000").IsOfTwoClasses);
        Assert.Contains(log.Lines, line => line.StartsWith(
            $"mapping: shared: 0.0.0.0:5000 -> 0.0.0.0:{mapped} belongs to a device with mapped ports and to one "
                + "without",
            StringComparison.Ordinal));
        world.Remove("0.0.0.0:5000");
        world.Remove("0.0.0.0:5000");
        Assert.Equal(mapped, world.Row("0.0.0.0:5000").MappedPort);
        world.Remove("0.0.0.0:5000");
        Assert.False(world.HasRow("0.0.0.0:5000"));
    }

    [Fact]
    public void A_row_in_fallback_is_mapped_again_also_in_a_full_table()
    {
        var world = new World(mappings: 16);
        for (int port = 1; port <= 16; port++)
        {
            world.Add($"10.0.0.1:{port}");
        }
        world.Mapper.OnSent(world.ToKernel.First(), new SendResult(Delivery.Unsent), world.Now);
        Assert.Equal((0, MappingState.Fallback), (world.Mapper.Mappings.FindExactLocal(
            InetEndpoint.Parse("10.0.0.1:1")), world.Row("10.0.0.1:1").State));
        world.Add("10.0.0.1:1");
        Assert.Equal((KernelReplyKind.AddMapping, MappingState.Held), (
            world.LastToKernel.Kind, world.Row("10.0.0.1:1").State));
    }

    [Fact]
    public void What_was_released_leaves_nothing_in_its_row()
    {
        var world = new World();
        world.Add("10.0.0.1:5000");
        world.Now += TimeSpan.FromSeconds(1);
        world.Remove("10.0.0.1:5000");
        MappingRow row = world.State.Mappings[0];
        Assert.Equal(
            (MappingState.Free, default, TimeSpan.Zero, TimeSpan.Zero, 0),
            (row.State, row.Local, row.CreatedAt, row.LastChangedAt, row.MappedPort));
    }

    [Fact]
    public void Every_message_to_the_kernel_has_the_next_number()
    {
        var world = new World(handshake: false);
        world.Introduce();
        world.Add("10.0.0.1:5000");
        world.Add("10.0.0.1:5000"); // refused
        world.Mapper.Probe();
        world.Drain();
        world.Query("10.0.0.1:5001", "10.0.0.2:7174");
        world.Answer(PeerMessageType.Reject);
        uint[] numbers = [.. world.ToKernel.Select(reply => reply.Sequence)];
        Assert.Equal(7, numbers.Length);
        Assert.Equal(Enumerable.Range((int)numbers[0], 7), numbers.Select(number => (int)number));
    }

    [Fact]
    public void Only_the_ACKs_of_HELLO_and_replay_wait_for_what_the_kernel_sent_before_them()
    {
        var world = new World(handshake: false);
        world.Introduce();
        world.Add("10.0.0.1:5000");
        Assert.Equal(
            [
                (KernelReplyKind.Hello, true), (KernelReplyKind.MapInfo, true), (KernelReplyKind.RegisterPid, false),
                (KernelReplyKind.AddMapping, false),
            ],
            world.Sent.Where(effect => effect.IsToKernel).Select(effect => (effect.Reply.Kind, effect.IsAckInOrder)));
    }
}

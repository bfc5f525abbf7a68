// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.State;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;
using Xunit;

namespace Iwpmd.Tests.Core;

/// <summary>Queries to peers and Requests of peers: one fact a rule.</summary>
public class PeerRulesTests
{
    private static readonly InetEndpoint s_remote = InetEndpoint.Parse("10.0.0.2:7174");

    /// <summary>A world that asked 10.0.0.2 for 7174 from 10.0.0.1:5000, which is mapped to 40000.</summary>
    private static World Asked(PortMapperSettings? settings = null, ILogger? log = null)
    {
        var world = new World(settings: settings, log: log);
        world.Query("10.0.0.1:5000", "10.0.0.2:7174", sequence: 20);
        return world;
    }

    /// <summary>A world that serves 0.0.0.0:7174, mapped to 40000.</summary>
    private static World Listening(string local = "0.0.0.0:7174")
    {
        var world = new World();
        world.Add(local);
        world.Sent.Clear();
        return world;
    }

    private static PeerMessage LinkLocalRequest => new(
        PeerMessageType.Request, 7, InetEndpoint.Parse("[fe80::2]:5001"), InetEndpoint.Parse("[fe80::1]:7174"),
        default);

    private static IEnumerable<PeerMessageType> Types(World world) =>
        world.ToPeers.Select(effect => effect.Message.Type);

    private static int RequestsIn(World world) => Types(world).Count(type => type == PeerMessageType.Request);

    [Fact]
    public void A_query_asks_the_remote_hosts_port_mapper_with_both_of_our_ports()
    {
        Effect asked = Assert.Single(Asked().ToPeers);
        Assert.Equal((PeerSocket.Asking, InetEndpoint.Parse("10.0.0.2:3935")), (asked.Via, asked.To));
        Assert.Equal(
            new PeerMessage(
                PeerMessageType.Request, 1, InetEndpoint.Parse("10.0.0.1:5000"), s_remote,
                InetEndpoint.Parse("10.0.0.1:40000")),
            asked.Message);
    }

    [Fact]
    public void An_Accept_answers_the_kernel_and_is_Acked()
    {
        World world = Asked();
        world.Answer(PeerMessageType.Accept, mappedPort: 45000);
        KernelReply reply = Assert.Single(world.ToKernel);
        Assert.Equal(
            (KernelReplyKind.QueryMapping, 20u, MappingError.None), (reply.Kind, reply.RequestSequence, reply.Error));
        Assert.Equal(s_remote.WithPort(45000), reply.MappedRemote);
        Assert.Equal(InetEndpoint.Parse("10.0.0.1:40000"), reply.MappedLocal);
        Effect ack = world.ToPeers.Last();
        Assert.Equal(
            (PeerMessageType.Ack, 45000, PeerSocket.Asking), (ack.Message.Type, ack.Message.Accepting.Port, ack.Via));
    }

    [Fact]
    public void Every_copy_of_the_Accept_is_Acked_for_10_s_and_answers_the_kernel_once()
    {
        World world = Asked();
        world.Answer(PeerMessageType.Accept, 45000);
        world.Pass(TimeSpan.FromSeconds(9));
        world.Answer(PeerMessageType.Accept, 45000);
        Assert.Single(world.ToKernel);
        Assert.Equal(2, Types(world).Count(type => type == PeerMessageType.Ack));

        world.Pass(TimeSpan.FromSeconds(11));
        world.Answer(PeerMessageType.Accept, 45000);
        Assert.Equal(2, Types(world).Count(type => type == PeerMessageType.Ack));
        Assert.Equal(0, world.Mapper.Conversations.Count);
    }

    [Fact]
    public void A_Reject_is_ERR_16_with_the_original_remote_and_gives_the_port_back()
    {
        World world = Asked();
        world.Answer(PeerMessageType.Reject);
        Assert.Equal(
            (MappingError.RejectedByPeer, s_remote), (world.LastToKernel.Error, world.LastToKernel.MappedRemote));
        Assert.Equal(MappingState.Fallback, world.Row("10.0.0.1:5000").State);
        Assert.Empty(world.Ports.Held);

        world.Remove("10.0.0.1:5000");
        Assert.Equal(0, world.Mapper.Mappings.Count);
    }

    [Fact]
    public void A_Reject_keeps_the_port_that_another_connection_uses()
    {
        World world = Asked();
        world.Query("10.0.0.1:5000", "10.0.0.3:7174", sequence: 21);
        world.Answer(PeerMessageType.Reject);
        Assert.Equal([40000], world.Ports.Held);
    }

    [Fact]
    public void Without_an_answer_the_same_Request_is_sent_again_until_the_deadline()
    {
        World world = Asked();
        world.Pass(TimeSpan.FromMilliseconds(2999));
        Assert.Empty(world.ToKernel);
        Assert.Equal(6, world.ToPeers.Count());
        Assert.Single(world.ToPeers.Select(effect => effect.Message).Distinct());

        world.Pass(TimeSpan.FromMilliseconds(1));
        Assert.Equal(
            (KernelReplyKind.QueryMapping, MappingError.None, s_remote),
            (world.LastToKernel.Kind, world.LastToKernel.Error, world.LastToKernel.MappedRemote));
        Assert.Equal([40000], world.Ports.Held);
        world.Pass(TimeSpan.FromSeconds(2));
        Assert.Equal(0, world.Mapper.Conversations.Count);
    }

    [Fact]
    public void The_deadline_is_never_later_than_the_kernels()
    {
        var world = new World(settings: new PortMapperSettings { QueryDeadline = TimeSpan.FromSeconds(9) });
        world.Query("10.0.0.1:5000", "10.0.0.2:7174", age: TimeSpan.FromSeconds(2));
        TimeSpan asked = world.Now;
        world.Pass(TimeSpan.FromSeconds(7.45));
        Assert.Single(world.ToKernel);
        Assert.True(world.Sent.Last().AnswerBy - asked <= TimeSpan.FromSeconds(7.5));
    }

    [Fact]
    public void An_ICMP_unreachable_answers_the_kernel_at_once()
    {
        World world = Asked();
        world.Unreachable("10.0.0.2:3935", handle: 1);
        Assert.Equal((MappingError.None, s_remote), (world.LastToKernel.Error, world.LastToKernel.MappedRemote));
        Assert.Equal([40000], world.Ports.Held);
        Assert.Equal(FallbackCause.Unreachable, world.State.Health.LastFallbackCause);
        Assert.Equal(0, world.Mapper.Conversations.Count);
    }

    [Theory]
    [InlineData(nameof(FallbackCause.Unreachable))]
    [InlineData(nameof(FallbackCause.Prohibited))]
    [InlineData(nameof(FallbackCause.LocalRule))]
    [InlineData(nameof(FallbackCause.NoRoute))]
    [InlineData(nameof(FallbackCause.HostUnreachable))]
    public void The_cause_of_a_fallback_is_kept_and_the_negative_memory_says_the_same(string name)
    {
        var log = new RecordedLog();
        World world = Asked(log: log);
        FallbackCause cause = Enum.Parse<FallbackCause>(name);
        world.Unreachable("10.0.0.2:3935", handle: 1, cause, source: "10.0.0.254:0");
        Assert.Equal(
            (cause, FallbackCause.None), (world.State.Health.LastFallbackCause, world.State.Health.RememberedCause));
        world.Query("10.0.0.1:5001", "10.0.0.2:7174", sequence: 21);
        Assert.Equal(
            (FallbackCause.Remembered, cause),
            (world.State.Health.LastFallbackCause, world.State.Health.RememberedCause));
        Assert.Equal(2ul, world.Counter(Counter.FallbacksUnreachable + Array.IndexOf(FallbackWords.Reasons, cause)));
        string[] lines = [.. log.Lines.Where(line => line.StartsWith("query: fallback"))];
        Assert.EndsWith(
            $"10.0.0.2 {FallbackWords.Describe(cause)}, says 10.0.0.254: {FallbackWords.Remedy(cause)}", lines[0]);
        Assert.EndsWith(
            $"10.0.0.2 {FallbackWords.Describe(cause)} (a moment before; it is not asked again yet): "
                + $"{FallbackWords.Remedy(cause)}",
            lines[1]);

        world.Pass(TimeSpan.FromSeconds(5));
        world.Query("10.0.0.1:5002", "10.0.0.2:7174", sequence: 22);
        world.Answer(PeerMessageType.Accept, 45000);
        Assert.Equal(
            FallbackCause.None,
            world.State.Peers.ToArray().Single(peer => peer.Address.Family != IpFamily.None).LastCause);
    }

    [Fact]
    public void An_answer_that_was_dropped_is_the_cause_and_not_silence()
    {
        World world = Asked(new PortMapperSettings { AnswersFrom = AnswerSource.Asked });
        world.Answer(PeerMessageType.Accept, 45000, from: "10.0.0.9:3935");
        world.Pass(TimeSpan.FromSeconds(3));
        Assert.Equal(FallbackCause.AnswerDropped, world.State.Health.LastFallbackCause);
    }

    /// <summary>Where nobody answers ARP, ICMP comes a moment after the default deadline.</summary>
    [Fact]
    public void An_ICMP_error_after_the_deadline_corrects_the_cause_and_sends_nothing()
    {
        World world = Asked();
        world.Pass(TimeSpan.FromSeconds(3));
        Assert.Equal(FallbackCause.NoAnswer, world.State.Health.LastFallbackCause);
        world.Pass(TimeSpan.FromMilliseconds(100));
        world.Unreachable("10.0.0.2:3935", handle: 1, FallbackCause.HostUnreachable);
        Assert.Equal(FallbackCause.HostUnreachable, world.State.Health.LastFallbackCause);
        Assert.Single(world.ToKernel);
        world.Query("10.0.0.1:5001", "10.0.0.2:7174", sequence: 21);
        Assert.Equal(FallbackCause.HostUnreachable, world.State.Health.RememberedCause);
    }

    [Fact]
    public void An_ICMP_that_quotes_another_handle_or_host_changes_nothing()
    {
        World world = Asked();
        world.Unreachable("10.0.0.2:3935", handle: 2);
        world.Unreachable("10.0.0.3:3935", handle: 1);
        world.Unreachable("10.0.0.3:3935", handle: 0);
        Assert.Empty(world.ToKernel);
    }

    [Fact]
    public void An_ICMP_error_that_quotes_no_handle_is_ignored_and_the_deadline_ends_the_query()
    {
        World world = Asked();
        world.Unreachable("10.0.0.2:3935", handle: 0);
        Assert.Empty(world.ToKernel);
        world.Pass(TimeSpan.FromSeconds(3));
        Assert.Equal(20u, Assert.Single(world.ToKernel).RequestSequence);
    }

    [Fact]
    public void A_host_without_a_port_mapper_is_remembered_for_a_while()
    {
        World world = Asked();
        world.Unreachable("10.0.0.2:3935", 1);
        world.Query("10.0.0.1:5001", "10.0.0.2:7174", sequence: 21);
        Assert.Equal(21u, world.LastToKernel.RequestSequence);
        Assert.Equal(1, RequestsIn(world));

        world.Pass(TimeSpan.FromSeconds(5));
        world.Query("10.0.0.1:5002", "10.0.0.2:7174", sequence: 22);
        Assert.Equal(2, RequestsIn(world));
    }

    [Fact]
    public void A_query_that_waits_ends_with_its_next_turn_once_its_host_is_known_to_have_none()
    {
        World world = Asked();
        world.Query("10.0.0.1:5001", "10.0.0.2:7175", sequence: 21);
        world.Unreachable("10.0.0.2:3935", handle: 1);
        world.Pass(TimeSpan.FromMilliseconds(500));
        Assert.Equal([20u, 21u], world.ToKernel.Select(reply => reply.RequestSequence));
    }

    [Fact]
    public void A_host_that_asks_us_has_a_port_mapper_again()
    {
        World world = Asked();
        world.Unreachable("10.0.0.2:3935", 1);
        world.Request("10.0.0.2:40001", "10.0.0.2:6000", "10.0.0.1:9999");
        world.Query("10.0.0.1:5001", "10.0.0.2:7174", sequence: 21);
        Assert.Equal(2, RequestsIn(world));
    }

    [Theory]
    [InlineData(nameof(PeerMessageType.Accept), 0)]
    [InlineData(nameof(PeerMessageType.Reject), 16)]
    public void The_asked_host_may_answer_from_another_address(string type, int code)
    {
        World world = Asked();
        var error = (MappingError)code;
        world.Answer(Enum.Parse<PeerMessageType>(type), 45000, from: "10.9.9.9:3935");
        Assert.Equal((20u, error), (Assert.Single(world.ToKernel).RequestSequence, world.LastToKernel.Error));
        Assert.Equal(error == MappingError.None ? s_remote.WithPort(45000) : s_remote, world.LastToKernel.MappedRemote);
    }

    [Fact]
    public void The_Ack_goes_from_where_the_Accept_went_to_to_where_it_came_from()
    {
        World world = Asked();
        world.Answer(PeerMessageType.Accept, 45000, from: "10.9.9.9:4000", to: "10.0.0.77:41000");
        Effect ack = world.ToPeers.Last();
        Assert.Equal((PeerMessageType.Ack, PeerSocket.Asking), (ack.Message.Type, ack.Via));
        Assert.Equal(("10.9.9.9:4000", "10.0.0.77:41000"), (ack.To.ToString(), ack.From.ToString()));

        world.Answer(PeerMessageType.Accept, 45000, to: "10.0.0.1:3935"); // kept: as rdma-core's, by the same socket
        Assert.Equal(PeerSocket.Answering, world.ToPeers.Last().Via);
    }

    [Fact]
    public void An_answer_from_another_address_validates_the_asked_one_only()
    {
        World world = Asked();
        world.Answer(PeerMessageType.Accept, 45000, from: "10.9.9.9:3935");
        Assert.True(world.Mapper.Admission.IsValidated(s_remote));
        Assert.False(world.Mapper.Admission.IsValidated(InetEndpoint.Parse("10.9.9.9:3935")));
    }

    [Theory]
    [InlineData(nameof(PeerMessageType.Accept))]
    [InlineData(nameof(PeerMessageType.Reject))]
    public void With_answers_from_asked_only_the_asked_address_answers_and_a_dropped_answer_is_logged_once(string type)
    {
        var log = new RecordedLog();
        World world = Asked(new PortMapperSettings { AnswersFrom = AnswerSource.Asked }, log);
        for (int i = 0; i < 20; i++)
        {
            world.Answer(Enum.Parse<PeerMessageType>(type), 45000, from: "10.0.0.9:3935");
        }
        Assert.Empty(world.ToKernel);
        Assert.Single(world.ToPeers);
        string line = Assert.Single(log.Lines, line => line.Contains("answer dropped"));
        Assert.Contains($"{type} from 10.0.0.9:3935, for a query to 10.0.0.2:3935: answers_from=asked", line);
        world.Answer(PeerMessageType.Accept, 45000);
        Assert.Single(world.ToKernel);
    }

    [Fact]
    public void An_answer_that_names_another_address_is_dropped_and_logged()
    {
        var log = new RecordedLog();
        World world = Asked(log: log);
        PeerMessage accept = world.ToPeers.Single().Message.AsAccept(45000);
        world.FromPeer("10.0.0.2:3935", accept with { Accepting = InetEndpoint.Parse("10.0.0.3:45000") });
        world.FromPeer("10.0.0.2:3935", accept with { Connecting = InetEndpoint.Parse("10.0.0.7:5000") });
        Assert.Empty(world.ToKernel);
        Assert.Single(world.ToPeers);
        Assert.Contains("another accepting address", Assert.Single(log.Lines, line => line.Contains("answer dropped")));
        world.Query("10.0.0.1:5001", "10.0.0.2:7174");
        accept = world.ToPeers.Last().Message.AsAccept(45000);
        world.FromPeer("10.0.0.2:3935", accept with { Connecting = InetEndpoint.Parse("10.0.0.7:5001") });
        Assert.EndsWith(": it names another connecting address", log.Lines[^1]);
    }

    [Fact]
    public void An_Accept_with_another_handle_or_port_or_without_a_mapped_port_changes_nothing()
    {
        World world = Asked();
        PeerMessage request = world.ToPeers.Single().Message;
        world.FromPeer("10.0.0.2:3935", request.AsAccept(45000) with { Handle = 2 });
        world.FromPeer(
            "10.0.0.2:3935", request.AsAccept(45000) with { Connecting = request.Connecting.WithPort(5001) });
        world.FromPeer("10.0.0.2:3935", request.AsAccept(0));
        Assert.Empty(world.ToKernel);
        Assert.Equal(3ul, world.Counter(Counter.PeerDropped));
    }

    [Fact]
    public void An_answer_after_the_deadline_changes_nothing()
    {
        World world = Asked();
        world.Pass(TimeSpan.FromSeconds(3));
        world.Answer(PeerMessageType.Accept, 45000);
        Assert.Single(world.ToKernel);
    }

    [Fact]
    public void The_removal_of_a_mapping_ends_its_query_without_an_answer()
    {
        World world = Asked();
        world.Remove("10.0.0.1:5000");
        world.Answer(PeerMessageType.Accept, 45000);
        world.Pass(TimeSpan.FromSeconds(10));
        Assert.Empty(world.ToKernel);
        Assert.Single(world.ToPeers);
        Assert.Equal(0, world.Mapper.Conversations.Count);
    }

    [Fact]
    public void A_new_mapping_of_the_same_address_does_not_inherit_the_query_of_the_old_one()
    {
        World world = Asked();
        world.Remove("10.0.0.1:5000");
        world.Add("10.0.0.1:5000");
        world.Sent.RemoveAll(effect => effect.IsToKernel);
        world.Answer(PeerMessageType.Accept, 45000);
        Assert.Empty(world.ToKernel);
    }

    [Fact]
    public void Handles_are_never_0_and_never_used_twice_at_a_time()
    {
        var world = new World();
        foreach (ulong handle in (ulong[])[0, 5, 5, 0, 6])
        {
            world.Handles.Enqueue(handle);
        }
        world.Query("10.0.0.1:5000", "10.0.0.2:7174");
        world.Query("10.0.0.1:5001", "10.0.0.2:7174");
        Assert.Equal([5ul, 6ul], world.ToPeers.Select(effect => effect.Message.Handle));
    }

    [Fact]
    public void A_Request_for_a_mapping_sends_REMOTE_INFO_and_is_accepted_from_the_address_that_was_asked()
    {
        World world = Listening();
        world.Request(
            "10.0.0.2:41111", "10.0.0.2:5001", "10.0.0.1:7174", mapped: "10.0.0.2:42222", to: "10.0.0.1:3935");
        KernelReply info = Assert.Single(world.ToKernel);
        Assert.Equal(
            ("0.0.0.0:7174", "10.0.0.2:5001", "0.0.0.0:40000", "10.0.0.2:42222"),
            (info.Local.ToString(), info.Remote.ToString(), info.MappedLocal.ToString(), info.MappedRemote.ToString()));
        Effect accept = Assert.Single(world.ToPeers);
        Assert.Equal(
            (PeerSocket.Answering, "10.0.0.2:41111", "10.0.0.1:3935"),
            (accept.Via, accept.To.ToString(), accept.From.ToString()));
        Assert.Equal("10.0.0.1:40000", accept.Message.Accepting.ToString());
        Assert.False(accept.Message.IsLong);
    }

    [Fact]
    public void A_48_byte_Request_means_that_the_peer_is_not_mapped()
    {
        World world = Listening();
        world.Request("10.0.0.2:41111", "10.0.0.2:5001", "10.0.0.1:7174");
        Assert.Equal("10.0.0.2:5001", Assert.Single(world.ToKernel).MappedRemote.ToString());
    }

    [Theory]
    [InlineData("0.0.0.0:7174", "10.0.0.1:7175")] // nobody maps it
    [InlineData("0.0.0.0:7174", "0.0.0.0:7174")] // a wildcard discloses nothing
    [InlineData("10.0.0.1:7174", "10.0.0.3:7174")] // another address of ours
    [InlineData("[::]:7174", "10.0.0.1:7174")] // families are never mixed
    public void A_Request_for_what_is_not_mapped_is_rejected_and_leaves_nothing(string local, string asked)
    {
        World world = Listening(local);
        world.Request("10.0.0.2:41111", "10.0.0.2:5001", asked);
        Assert.Equal([PeerMessageType.Reject], Types(world));
        Assert.Empty(world.ToKernel);
        Assert.Equal(0, world.Mapper.Conversations.Count);
    }

    [Fact]
    public void A_Request_for_a_row_in_fallback_is_rejected()
    {
        World world = Asked();
        world.Answer(PeerMessageType.Reject);
        world.Request("10.0.0.2:41111", "10.0.0.2:5001", "10.0.0.1:5000");
        Assert.Equal(PeerMessageType.Reject, Types(world).Last());
    }

    [Fact]
    public void A_copy_of_a_Request_is_answered_again_after_a_quarter_of_a_second_and_sends_no_REMOTE_INFO()
    {
        World world = Listening();
        void Ask() => world.Request("10.0.0.2:41111", "10.0.0.2:5001", "10.0.0.1:7174");
        Ask();
        world.Pass(TimeSpan.FromMilliseconds(249));
        Ask();
        Assert.Single(world.ToPeers);
        world.Pass(TimeSpan.FromMilliseconds(1));
        Ask();
        Assert.Equal(2, world.ToPeers.Count());
        world.Pass(TimeSpan.FromMilliseconds(249));
        Ask();
        Assert.Equal(2, world.ToPeers.Count());
        Assert.Single(world.ToKernel);
    }

    [Fact]
    public void An_Accept_is_never_sent_unasked()
    {
        World world = Listening();
        world.Request("10.0.0.2:41111", "10.0.0.2:5001", "10.0.0.1:7174");
        world.Pass(TimeSpan.FromSeconds(20));
        Assert.Single(world.ToPeers);
        Assert.Equal(0, world.Mapper.Conversations.Count);
    }

    [Fact]
    public void Equal_handles_of_two_hosts_and_of_both_our_roles_are_told_apart()
    {
        World world = Listening();
        world.Handles.Enqueue(77);
        world.Query("10.0.0.1:5000", "10.0.0.2:7000");
        world.Request("10.0.0.2:41111", "10.0.0.2:5001", "10.0.0.1:7174", handle: 77);
        world.Request("10.0.0.3:41111", "10.0.0.2:5001", "10.0.0.1:7174", handle: 77);
        Assert.Equal(2, world.ToKernel.Count(reply => reply.Kind == KernelReplyKind.RemoteInfo));
        world.FromPeer("10.0.0.2:3935", world.ToPeers.First().Message.AsAccept(45000));
        Assert.Equal(KernelReplyKind.QueryMapping, world.LastToKernel.Kind);
    }

    [Fact]
    public void A_handle_that_its_host_uses_again_for_another_connection_is_a_new_conversation()
    {
        World world = Listening();
        world.Request("10.0.0.2:41111", "10.0.0.2:5001", "10.0.0.1:7174", mapped: "10.0.0.2:42222");
        world.Request("10.0.0.2:41111", "10.0.0.2:5001", "10.0.0.1:7174", mapped: "10.0.0.2:42223");
        Assert.Equal([42222, 42223], world.ToKernel.Select(reply => (int)reply.MappedRemote.Port));
        Assert.Equal(1, world.Mapper.Conversations.Count);
        world.Request("10.0.0.2:41111", "10.0.0.2:5001", "10.0.0.3:7174", mapped: "10.0.0.2:42223"); // another address
        Assert.Equal(3, world.ToKernel.Count());
        Assert.Equal("10.0.0.3:40000", world.ToPeers.Last().Message.Accepting.ToString());
        world.Remove("0.0.0.0:7174");
        world.Add("0.0.0.0:7174"); // another listener
        world.Request("10.0.0.2:41111", "10.0.0.2:5001", "10.0.0.3:7174", mapped: "10.0.0.2:42223");
        Assert.Equal(KernelReplyKind.RemoteInfo, world.LastToKernel.Kind);
    }

    [Fact]
    public void Accepts_are_bounded_the_oldest_makes_room_and_queries_have_rows_of_their_own()
    {
        var world = new World(mappings: 16); // 32 accepts, 32 queries
        world.Add("0.0.0.0:7174");
        for (int port = 1; port <= 38; port++)
        {
            world.Request("10.0.0.2:41111", $"10.0.0.2:{port}", "10.0.0.1:7174", handle: (ulong)port);
        }
        Assert.Equal((32, 38), (world.Mapper.Conversations.Count, world.ToPeers.Count()));
        InetEndpoint peer = InetEndpoint.Parse("10.0.0.2:41111");
        Assert.Equal(-1, world.Mapper.Conversations.FindAccept(peer, 6, InetEndpoint.Parse("10.0.0.2:6")));
        Assert.NotEqual(-1, world.Mapper.Conversations.FindAccept(peer, 7, InetEndpoint.Parse("10.0.0.2:7")));

        world.Query("10.0.0.1:5000", "10.0.0.3:7174");
        Assert.Equal(PeerMessageType.Request, world.ToPeers.Last().Message.Type);
    }

    [Fact]
    public void A_query_too_many_is_refused_and_its_port_given_back()
    {
        var world = new World(mappings: 64); // 32 queries
        for (int port = 1; port <= 33; port++)
        {
            world.Query($"10.0.0.1:{port}", "10.0.0.3:7174", sequence: (uint)port);
        }
        Assert.Equal(
            (KernelReplyKind.HandleError, MappingError.CannotCreate, 33u),
            (world.LastToKernel.Kind, world.LastToKernel.Error, world.LastToKernel.RequestSequence));
        Assert.Equal((32, MappingState.Fallback), (world.Ports.Held.Count, world.Row("10.0.0.1:33").State));
    }

    [Fact]
    public void An_Ack_that_comes_after_the_removal_of_the_mapping_ends_the_conversation()
    {
        World world = Listening();
        world.Request("10.0.0.2:41111", "10.0.0.2:5001", "10.0.0.1:7174");
        world.Remove("0.0.0.0:7174");
        world.FromPeer("10.0.0.2:41111", world.ToPeers.Single().Message.AsAck());
        Assert.Equal((0, 0ul), (world.Mapper.Conversations.Count, world.Counter(Counter.PeerDropped)));
    }

    [Fact]
    public void Link_local_addresses_mean_the_interface_they_came_in_by()
    {
        World world = Listening("[fe80::1%2]:7174");
        PeerMessage request = LinkLocalRequest;
        world.FromPeer("[fe80::2%3]:41111", request, "[fe80::1%3]:3935", by: 3);
        Assert.Equal([PeerMessageType.Reject], Types(world));
        world.FromPeer("[fe80::2%2]:41111", request, "[fe80::1%2]:3935", by: 2);
        Assert.Equal(PeerMessageType.Accept, Types(world).Last());
        Assert.Equal(2u, Assert.Single(world.ToKernel).Remote.Scope);
        Assert.Equal(2u, world.ToPeers.Last().To.Scope);
    }

    [Fact]
    public void A_link_local_listener_is_found_for_a_Request_from_a_global_address()
    {
        World world = Listening("[fe80::1%2]:7174");
        PeerMessage request = LinkLocalRequest;
        world.FromPeer("[fd00::2]:41111", request, "[fe80::1%2]:3935", by: 2);
        Assert.Equal([PeerMessageType.Accept], Types(world));
        Assert.Equal("[fe80::2%2]:5001", Assert.Single(world.ToKernel).Remote.ToString());
        // another link's fe80::1
        world.FromPeer("[fd00::2]:41111", request with { Handle = 8 }, "[fd00::1]:3935", by: 3);
        Assert.Equal(PeerMessageType.Reject, Types(world).Last());
    }

    [Fact]
    public void A_message_of_another_ip_version_than_its_packet_is_dropped()
    {
        World world = Listening();
        world.Request("[fd00::2]:41111", "10.0.0.2:5001", "10.0.0.1:7174");
        Assert.Empty(world.Sent);
    }

    [Fact]
    public void Both_ends_on_one_host_agree()
    {
        var world = new World();
        world.Add("0.0.0.0:7174");
        world.Query("10.0.0.1:5000", "10.0.0.1:7174");
        PeerMessage request = world.ToPeers.Last().Message;
        world.FromPeer("10.0.0.1:41111", request);
        world.FromPeer("10.0.0.1:3935", world.ToPeers.Last().Message);
        world.FromPeer("10.0.0.1:41111", world.ToPeers.Last().Message);
        Assert.Equal(
            (KernelReplyKind.QueryMapping, 40000, 40001),
            (world.LastToKernel.Kind, world.LastToKernel.MappedRemote.Port, world.LastToKernel.MappedLocal.Port));
        Assert.Equal(0ul, world.Counter(Counter.PeerDropped));
    }

    [Fact]
    public void Listeners_that_are_removed_before_the_Ack_do_not_use_up_the_credit_of_REMOTE_INFO()
    {
        var world = new World();
        for (int i = 0; i < 1000; i++)
        {
            world.Sent.Clear();
            world.Add("10.0.0.1:5000");
            world.Request("10.0.0.2:40000", "10.0.0.2:6000", "10.0.0.1:5000", handle: (ulong)i + 1);
            Assert.Equal(KernelReplyKind.RemoteInfo, world.LastToKernel.Kind);
            PeerMessage accept = world.ToPeers.Last().Message;
            world.Remove("10.0.0.1:5000");
            world.FromPeer("10.0.0.2:40000", accept.AsAck());
            world.Now += TimeSpan.FromMilliseconds(1);
        }
    }

    /// <summary>Only a fallback that nothing explained yet, and only in what is said about its host.</summary>
    [Fact]
    public void A_late_ICMP_error_corrects_only_the_fallback_that_it_explains()
    {
        World world = Asked(); // handle 1
        world.Now += TimeSpan.FromMilliseconds(1);
        world.Query("10.0.0.1:5001", "10.0.0.3:7174", sequence: 21); // 2
        world.Now += TimeSpan.FromMilliseconds(1);
        world.Query("10.0.0.1:5002", "10.0.0.4:7174", sequence: 22); // 3
        world.Pass(TimeSpan.FromSeconds(3)); // no answer of any, the last of them is 10.0.0.4
        Assert.Equal("10.0.0.4:3935", world.State.Health.LastFallbackPeer.ToString());
        world.Unreachable("10.0.0.2:3935", handle: 1, FallbackCause.NoRoute);
        Assert.Equal(FallbackCause.NoAnswer, world.State.Health.LastFallbackCause);
        world.Query("10.0.0.1:5003", "10.0.0.4:7174", sequence: 23);
        Assert.Equal(FallbackCause.Remembered, world.State.Health.LastFallbackCause);
        world.Unreachable("10.0.0.4:3935", handle: 3, FallbackCause.NoRoute);
        Assert.Equal(FallbackCause.Remembered, world.State.Health.LastFallbackCause);
    }

    [Fact]
    public void An_ICMP_error_behind_the_Accept_changes_nothing()
    {
        World world = Asked();
        world.Pass(TimeSpan.FromSeconds(3)); // no answer
        world.Pass(TimeSpan.FromSeconds(5));
        world.Query("10.0.0.1:5001", "10.0.0.2:7174", sequence: 21); // handle 2
        world.Answer(PeerMessageType.Accept, 45000);
        int sent = world.Sent.Count;
        world.Unreachable("10.0.0.2:3935", handle: 2, FallbackCause.NoRoute);
        Assert.Equal(sent, world.Sent.Count);
        Assert.Equal(FallbackCause.NoAnswer, world.State.Health.LastFallbackCause);
    }

    [Fact]
    public void A_round_trip_begins_with_the_last_Request_and_a_Reject_ends_it_too()
    {
        World world = Asked();
        world.Pass(TimeSpan.FromMilliseconds(1040));
        world.Answer(PeerMessageType.Reject);
        PeerRow row = world.State.Peers[PeerSet.First(world.State, s_remote)];
        Assert.Equal((0u, 1u, 1u, 40_000u), (row.Accepts, row.Rejects, row.RoundTripCount, row.RoundTrips[0]));
    }

    [Theory]
    [InlineData("[fe80::1%2]:5000", "[fe80::2]:7174", "[fe80::2%2]:3935")] // the kernel names no interface
    [InlineData("[fe80::1%2]:5000", "[fe80::2%3]:7174", "[fe80::2%3]:3935")]
    [InlineData("[fe80::1%2]:5000", "[fd00::2]:7174", "[fd00::2]:3935")]
    public void A_link_local_host_is_asked_by_the_interface_of_its_address_or_of_ours(
        string local, string remote, string asked)
    {
        var world = new World();
        world.Query(local, remote);
        Assert.Equal(asked, Assert.Single(world.ToPeers).To.ToString());
    }

    [Fact]
    public void Global_addresses_of_a_message_have_no_interface()
    {
        World world = Listening("[fd00::1]:7174");
        var request = new PeerMessage(
            PeerMessageType.Request, 7, InetEndpoint.Parse("[fd00::2]:5001"), InetEndpoint.Parse("[fd00::1]:7174"),
            InetEndpoint.Parse("[fd00::2]:42222"));
        world.FromPeer("[fd00::2]:41111", request, "[fd00::1]:3935", by: 3);
        Assert.Equal(PeerMessageType.Accept, Types(world).Last());
        KernelReply info = Assert.Single(world.ToKernel);
        Assert.Equal((0u, 0u), (info.Remote.Scope, info.MappedRemote.Scope));
    }
}

// SPDX-License-Identifier: MIT
using System.Text.RegularExpressions;
using Iwpmd.Core;
using Iwpmd.State;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;
using Xunit;

namespace Iwpmd.Tests.Core;

/// <summary>
/// What an event leaves for those who look: every counter that it changes, every loss, and every line of the log, with
/// those of Debug but for the copies of messages.
/// </summary>
public class ReportRulesTests
{
    private readonly RecordedLog _log = new() { MinimumLevel = LogLevel.Debug };

    private World Begin(
        int mappings = 256, PortMapperSettings? settings = null, bool handshake = true, StateLayout? state = null) =>
        new(mappings, settings, handshake, state, _log);

    /// <summary>A line of counters, one of losses if there are any, and those of the log.</summary>
    private string Told(World world, Action act)
    {
        ulong[] before = world.State.Counters.ToArray();
        ulong[] lost = Losses(world);
        _log.Lines.Clear();
        act();
        string counted = Changes<Counter>(before, world.State.Counters.ToArray());
        string losses = Changes<LossCause>(lost, Losses(world));
        string[] lines =
        [
            $"counted: {(counted.Length > 0 ? counted : "none")}",
            .. losses.Length > 0 ? (string[])[$"lost: {losses}"] : [],
            .. _log.Lines.Where(line => !Regex.IsMatch(line, @"^kernel: \w+ \d+: local |^peer: \w+ from ")),
        ];
        return string.Join('\n', lines);
    }

    private static ulong[] Losses(World world) =>
        [.. Enum.GetValues<LossCause>().Select(cause => world.State.Health.Losses[(int)cause].Count)];

    private static string Changes<T>(ulong[] before, ulong[] after)
        where T : struct, Enum =>
        string.Join(
            ", ", Enum.GetValues<T>().Where(one => after[Convert.ToInt32(one)] != before[Convert.ToInt32(one)]).Select(
                one => (after[Convert.ToInt32(one)] - before[Convert.ToInt32(one)]) is var more and not 1
                    ? $"{one} {more}" : $"{one}"));

    private static KernelReply LastOf(World world, KernelReplyKind kind) =>
        world.ToKernel.Last(reply => reply.Kind == kind);

    [Fact]
    public void At_Debug_each_message_is_logged()
    {
        World world = Begin();
        world.Query("10.0.0.1:5000", "10.0.0.2:7174");
        world.Answer(PeerMessageType.Reject);
        Assert.Equal(
            [
                "kernel: QueryMapping 20: local 10.0.0.1:5000 remote 10.0.0.2:7174 flags 0",
                "peer: Reject from 10.0.0.2:3935: connecting 10.0.0.1:5000 accepting 10.0.0.2:7174 "
                    + "handle 0000000000000001",
            ],
            _log.Lines.Where(line => line.Contains("local 10.0.0.1:5000 remote") || line.StartsWith("peer:")));
    }

    [Fact]
    public void Of_a_mapping_its_ADD_its_port_and_its_end_are_told()
    {
        World world = Begin();
        Assert.Equal(
            """
            counted: Adds
            mapping: added: 10.0.0.1:5000 -> 10.0.0.1:40000 (client 2, Held)
            """,
            Told(world, () => world.Add("10.0.0.1:5000")));
        Assert.Equal(
            """
            counted: Removes
            mapping: removed: 10.0.0.1:5000 -> 10.0.0.1:40000
            """,
            Told(world, () => world.Remove("10.0.0.1:5000")));
    }

    [Theory]
    [InlineData(ClaimResult.NoneFree, "NoFreePort")]
    [InlineData(ClaimResult.NoDescriptor, "NoDescriptor")]
    [InlineData(ClaimResult.Failed, "NoSocket")]
    internal void A_port_that_cannot_be_claimed_is_a_loss_with_its_cause(ClaimResult result, string loss)
    {
        World world = Begin();
        world.Ports.Refusal = result;
        Assert.Equal(
            $"""
            counted: Adds, Refused, ClaimsFailed
            lost: {loss}
            kernel: refused: AddMapping 10: code CannotCreate: no port could be claimed
            """,
            Told(world, () => world.Add("10.0.0.1:5000")));
        Assert.Equal(
            $"""
            counted: Queries, Refused, ClaimsFailed
            lost: {loss}
            kernel: refused: QueryMapping 20: code CannotCreate: no port could be claimed
            """,
            Told(world, () => world.Query("10.0.0.1:5000", "10.0.0.2:7174")));
        Assert.Empty(world.ToPeers);
    }

    [Fact]
    public void A_full_table_is_a_loss_and_says_what_to_raise()
    {
        World world = Begin(mappings: 16);
        for (int port = 1; port <= 16; port++)
        {
            world.Add($"10.0.0.1:{port}");
        }
        Assert.Equal(
            """
            counted: Adds, Refused, TableFull
            lost: TableFull
            mapping: table full: 10.0.0.1:17 is not mapped: raise max_mappings (now 16)
            kernel: refused: AddMapping 10: code CannotCreate: no port could be claimed
            """,
            Told(world, () => world.Add("10.0.0.1:17")));
    }

    [Theory]
    [InlineData("10.0.0.1:5000", null, "AddMapping 10", "Duplicate: another mapping has this address and port")]
    [InlineData("0.0.0.0:5001", "10.0.0.2:7174", "QueryMapping 20", "CannotCreate: local address is the wildcard")]
    [InlineData("10.0.0.1:5001", "[fd00::2]:7174", "QueryMapping 20", "CannotCreate: address families differ")]
    [InlineData("10.0.0.1:6000", "10.0.0.2:7174", "QueryMapping 20", "CannotCreate: a wildcard mapping has this port")]
    public void What_the_kernel_cannot_have_is_refused_with_a_reason_and_no_loss(
        string local, string? remote, string request, string reason)
    {
        World world = Begin();
        world.Add("10.0.0.1:5000");
        world.Add("0.0.0.0:6000");
        Assert.Equal(
            $"""
            counted: {(remote is null ? "Adds" : "Queries")}, Refused
            kernel: refused: {request}: code {reason}
            """,
            Told(world, () =>
            {
                if (remote is null)
                {
                    world.Add(local);
                }
                else
                {
                    world.Query(local, remote);
                }
            }));
    }

    [Fact]
    public void A_malformed_request_is_a_loss()
    {
        World world = Begin();
        Assert.Equal(
            """
            counted: Refused, Malformed
            lost: Malformed
            kernel: refused: Malformed 9: code InvalidMessage: malformed
            """,
            Told(world, () => world.FromKernel(
                new KernelRequest { Operation = KernelOperation.Malformed, Client = 2, Sequence = 9 })));
    }

    /// <summary>The kernel waits 10 s; the answer must be sent within 9.5.</summary>
    [Fact]
    public void A_request_is_answered_while_it_is_no_older_than_nine_and_a_half_seconds()
    {
        World world = Begin();
        world.Add("10.0.0.1:5000", age: TimeSpan.FromSeconds(9.5));
        Assert.Equal(KernelReplyKind.AddMapping, world.LastToKernel.Kind);
        world.Sent.Clear();
        string old = "kernel: {0} not answered: it may have waited longer than the kernel does, and an answer after "
            + "that can crash it: see what keeps the daemon from running (host overloaded, suspended)";
        Assert.Equal(
            $"""
            counted: Queries, TooOld
            lost: TooOld
            {string.Format(old, "QueryMapping")}
            """,
            Told(world, () => world.Query("10.0.0.1:5001", "10.0.0.2:7174", age: TimeSpan.FromSeconds(9.51))));
        Assert.False(world.HasRow("10.0.0.1:5001"));
        world.FromKernel(
            new KernelRequest { Operation = KernelOperation.RegisterPid, Client = 2, Sequence = 70 },
            TimeSpan.FromSeconds(9.51));
        world.Pass(Registrations.Delay);
        Assert.Empty(world.Sent);
    }

    [Fact]
    public void Of_a_query_that_is_accepted_each_message_is_counted()
    {
        World world = Begin();
        Assert.Equal(
            """
            counted: Queries, RequestsSent
            mapping: added: 10.0.0.1:5000 -> 10.0.0.1:40000 (client 2, Held)
            """,
            Told(world, () => world.Query("10.0.0.1:5000", "10.0.0.2:7174")));
        Assert.Equal("counted: RequestsResent", Told(world, () => world.Pass(TimeSpan.FromSeconds(0.5))));
        Assert.Equal(
            "counted: PeerAccepts, QueriesAccepted", Told(world, () => world.Answer(PeerMessageType.Accept, 45000)));
        Assert.Equal("counted: PeerAccepts", Told(world, () => world.Answer(PeerMessageType.Accept, 45000))); // a copy
        Assert.Equal(
            """
            counted: PeerRejects, PeerDropped
            peer: dropped: message from 10.0.0.2:3935: no query waits for this Reject
            """,
            Told(world, () => world.Answer(PeerMessageType.Reject)));
        Assert.Equal(
            """
            counted: PeerAccepts, PeerDropped
            peer: dropped: message from 10.0.0.2:3935: no query waits for this Accept
            """,
            Told(world, () => world.FromPeer(
                "10.0.0.2:3935", world.ToPeers.First().Message.AsAccept(45000) with { Handle = 99 })));
    }

    [Fact]
    public void A_Reject_is_counted_and_a_copy_of_it_dropped()
    {
        World world = Begin();
        world.Query("10.0.0.1:5000", "10.0.0.2:7174");
        Assert.Equal(
            "counted: PeerRejects, QueriesRejected", Told(world, () => world.Answer(PeerMessageType.Reject)));
        Assert.Equal(0, world.Mapper.Conversations.Count);
        Assert.Equal(
            """
            counted: PeerRejects, PeerDropped
            peer: dropped: message from 10.0.0.2:3935: no query waits for this Reject
            """,
            Told(world, () => world.Answer(PeerMessageType.Reject)));
    }

    [Fact]
    public void A_fallback_is_counted_by_how_it_came_and_by_its_cause()
    {
        World world = Begin();
        world.Query("10.0.0.1:5000", "10.0.0.2:7174");
        string told = Told(world, () => world.Pass(TimeSpan.FromSeconds(3)));
        Assert.StartsWith(
            """
            counted: RequestsResent 5, QueriesUnanswered, FallbacksNoAnswer
            query: fallback: 10.0.0.1:5000 -> 10.0.0.2:7174 continues without the peer's port mapper: 
            """.TrimEnd(),
            told);
        told = Told(world, () => world.Query("10.0.0.1:5001", "10.0.0.2:7174"));
        Assert.StartsWith("counted: Queries, QueriesRemembered, FallbacksNoAnswer\n", told);
        world.Query("10.0.0.1:5002", "10.0.0.3:7174");
        ulong handle = world.ToPeers.Last().Message.Handle;
        told = Told(world, () => world.Unreachable("10.0.0.3:3935", handle));
        Assert.StartsWith("counted: QueriesUnreachable, FallbacksUnreachable\nquery: fallback:", told);
    }

    [Fact]
    public void A_query_too_many_is_a_loss()
    {
        World world = Begin(mappings: 64); // 32 queries
        for (int port = 1; port <= 32; port++)
        {
            world.Query($"10.0.0.1:{port}", "10.0.0.3:7174");
        }
        Assert.Equal(
            """
            counted: Queries, Refused, ConversationsRefused
            lost: TooManyQueries
            mapping: added: 10.0.0.1:33 -> 10.0.0.1:40032 (client 2, Held)
            kernel: refused: QueryMapping 20: code CannotCreate: too many queries are waiting for peers
            """,
            Told(world, () => world.Query("10.0.0.1:33", "10.0.0.3:7174")));
    }

    [Fact]
    public void Of_a_Request_each_message_is_counted()
    {
        World world = Begin();
        world.Add("0.0.0.0:7174");
        void Ask(string asked) => world.Request("10.0.0.2:41111", "10.0.0.2:5001", asked, mapped: "10.0.0.2:42222");
        Assert.Equal("counted: PeerRequests, AcceptsSent", Told(world, () => Ask("10.0.0.1:7174")));
        PeerMessage ack = world.ToPeers.Last().Message.AsAck();
        Assert.Equal("counted: PeerRequests, RequestCopies", Told(world, () => Ask("10.0.0.1:7174")));
        world.Pass(TimeSpan.FromMilliseconds(250));
        Assert.Equal("counted: PeerRequests, AcceptsSent", Told(world, () => Ask("10.0.0.1:7174")));
        Assert.Equal("counted: PeerAcks", Told(world, () => world.FromPeer("10.0.0.2:41111", ack)));
        Assert.Equal("counted: PeerRequests, RejectsSent", Told(world, () => Ask("10.0.0.1:7175")));
        Assert.Equal("counted: PeerRequests, RequestCopies", Told(world, () => Ask("10.0.0.1:7175")));
        Assert.Equal(
            """
            counted: PeerAcks, PeerDropped
            peer: dropped: message from 10.0.0.2:41111: no Accept waits for this Ack
            """,
            Told(world, () => world.FromPeer("10.0.0.2:41111", ack with { Handle = 99 })));
        Assert.Equal(
            """
            counted: PeerAcks, PeerDropped
            peer: dropped: message from 10.0.0.2:41111: the Ack does not name the mapped port
            """,
            Told(world, () => world.FromPeer(
                "10.0.0.2:41111", ack with { Accepting = ack.Accepting.WithPort(40001) })));
        Assert.Equal(
            """
            counted: PeerRequests, PeerDropped
            peer: dropped: message from [fd00::2]:41111: ip version is not that of its packet
            """,
            Told(world, () => world.Request("[fd00::2]:41111", "10.0.0.2:5001", "10.0.0.1:7174")));
    }

    [Fact]
    public void A_REMOTE_INFO_over_the_rate_is_a_loss()
    {
        World world = Begin(
            settings: new PortMapperSettings { Admission = new AdmissionSettings { RemoteInfoRate = 1 } });
        world.Add("0.0.0.0:7174");
        for (ulong handle = 1; handle <= 10; handle++)
        {
            world.Request("10.0.0.2:41111", "10.0.0.2:5001", "10.0.0.1:7174", handle);
        }
        Assert.Equal(
            """
            counted: PeerRequests, AcceptsSent, RemoteInfosDropped
            lost: PeersNotTold
            """,
            Told(world, () => world.Request("10.0.0.2:41111", "10.0.0.2:5001", "10.0.0.1:7174", 11)));
    }

    /// <summary>Also of several seconds: the line has the sums of all. Who may not ask loses nothing.</summary>
    [Fact]
    public void Requests_that_are_not_served_are_counted_by_cause_and_summed_up_in_one_line()
    {
        Assert.True(InetNetwork.TryParse("10.0.0.9", out InetNetwork denied));
        World world = Begin(settings: new PortMapperSettings
        {
            Admission = new AdmissionSettings
            {
                RequestRate = 10,
                SourceRate = 2,
                Access = new AccessList([], [denied]),
            },
        });
        void Ask(string from, ulong handle) => world.Request($"{from}:41111", $"{from}:5001", "10.0.0.1:99", handle);
        Assert.Equal(
            "counted: PeerRequests, RequestsDenied",
            Told(world, () =>
            {
                Ask("10.0.0.9", 1);
                world.Pass(TimeSpan.FromSeconds(1));
            }));
        Assert.False(world.State.Health.Losses[(int)LossCause.PeersNotServed].IsRecent(world.Now));
        for (int second = 1; second <= 2; second++)
        {
            world.Pass(TimeSpan.FromSeconds(3));
            Assert.Equal(
                """
                counted: PeerRequests 23, RejectsSent 10, RequestsOverRate 3, RequestsOverSourceRate 4, RequestsDenied 7
                lost: PeersNotServed 7
                """,
                Told(world, () =>
                {
                    for (ulong i = 1; i <= 6; i++)
                    {
                        Ask("10.0.0.2", i); // its own rate has two
                    }
                    for (ulong i = 1; i <= 11; i++)
                    {
                        Ask($"10.0.1.{i}", i);
                    }
                    for (ulong i = 1; i <= 6; i++)
                    {
                        Ask("10.0.0.9", i);
                    }
                    world.Mapper.Deny(world.Now); // from an interface that is not listened to
                    world.Pass(TimeSpan.FromSeconds(1));
                }));
        }
        Assert.Equal(
            "counted: none\npeer: rate limit: 29 Requests dropped in 10 s (request_rate 6, source_rate 8, "
                + "access list 15): see who sends (tcpdump udp port 3935)",
            Told(world, () => world.Pass(TimeSpan.FromSeconds(3))));
        Assert.Equal("counted: none", Told(world, () => world.Pass(TimeSpan.FromMinutes(1))));
    }

    /// <summary>An interface from which no message is taken.</summary>
    [Fact]
    public void A_denied_interface_is_counted_a_second_later()
    {
        World world = Begin();
        Assert.Equal("counted: none", Told(world, () => world.Mapper.Deny(world.Now)));
        Assert.Equal("counted: RequestsDenied", Told(world, () => world.Pass(TimeSpan.FromSeconds(1))));
    }

    [Fact]
    public void A_handshake_is_logged_and_its_replayed_mappings_are_counted()
    {
        World world = Begin(handshake: false);
        world.Start();
        Assert.Equal("counted: none\nkernel: hello: ABI 4", Told(world, () => world.Hello(1)));
        KernelReply asked = world.LastToKernel;
        Assert.Equal(
            """
            counted: Replayed 2
            kernel: replay: 2 mappings of client 2, 2 applied, 0 released
            """,
            Told(world, () =>
            {
                world.MapInfo("10.0.0.1:5000", "10.0.0.1:41000");
                world.MapInfo("10.0.0.1:5001", "10.0.0.1:41001");
                world.MapInfoNumber(2);
                world.Acknowledge(asked);
            }));
        Assert.Equal(
            "counted: none\nkernel: registered: device siw0 (eth0), client 2, ABI 4",
            Told(world, () => world.Register(5)));
        Assert.Equal("counted: none", Told(world, () => world.Register(6)));
    }

    [Fact]
    public void A_replay_says_how_many_rows_it_released_or_that_it_was_incomplete()
    {
        var settings = new PortMapperSettings { MaxReplayed = 17 };
        World world = Begin(settings: settings);
        world.Add("10.0.0.1:5000");
        world.Add("10.0.0.1:5001");
        world.Add("10.0.0.1:5002");
        world.Pass(TimeSpan.FromSeconds(60));
        Assert.Equal(
            """
            counted: KernelOverruns
            lost: Overrun
            kernel: messages lost (receive buffer overflow): registering again; raise nl_sock_rbuf_size if this recurs
            """,
            Told(world, () => world.Mapper.OnOverrun(world.Now)));
        world.Drain();
        world.Hello(60);
        KernelReply asked = world.LastToKernel;
        world.MapInfo("10.0.0.1:5000", "10.0.0.1:40000");
        Assert.Equal(
            "counted: none\nkernel: replay: 1 mappings of client 2, 1 applied, 0 released\n"
                + "kernel: replay incomplete: 1 mappings of client 2 received, of which the kernel can send 17: "
                + "mappings missing from the state file stay unprotected until closed",
            Told(world, () => world.Acknowledge(asked)));

        world.Pass(TimeSpan.FromSeconds(60));
        world.Overrun();
        world.Hello(80);
        asked = world.LastToKernel;
        world.MapInfo("10.0.0.1:5000", "10.0.0.1:40000");
        world.MapInfoNumber(1);
        string told = Told(world, () => world.Acknowledge(asked));
        Assert.EndsWith("\nkernel: replay: 1 mappings of client 2, 1 applied, 2 released", told);
        Assert.StartsWith("counted: none\nmapping: removed: 10.0.0.1:5001", told);
    }

    [Fact]
    public void A_HELLO_that_is_refused_or_not_answered_is_logged()
    {
        World world = Begin();
        world.Overrun();
        KernelReply hello = LastOf(world, KernelReplyKind.Hello);
        Assert.Equal(
            "counted: none\nkernel: HELLO not answered (Connection timed out (ETIMEDOUT)): sent again in 10 s",
            Told(world, () => world.Mapper.OnSent(hello, new SendResult(Delivery.Unknown, -110), world.Now)));
        world.Pass(TimeSpan.FromSeconds(10));
        hello = LastOf(world, KernelReplyKind.Hello);
        Assert.Equal(
            "counted: none\nkernel: hello: refused (Invalid argument (EINVAL)): trying the protocol of kernels "
                + "before 5.1 (ABI 3)",
            Told(world, () => world.Acknowledge(hello, -22)));
    }

    [Fact]
    public void A_reloaded_iw_cm_and_another_port_mapper_are_logged()
    {
        World world = Begin();
        Assert.Equal(
            "counted: Refused\nkernel: client 2 registers library other, but it registered iWarpPortMapperUser before: "
                + "refused: restart the daemon, which forgets that one\n"
                + "kernel: refused: RegisterPid 7: code UserLibrary: another library name is registered",
            Told(world, () => world.Register(7, "other")));
        world.Sent.Clear();
        world.Pass(Registrations.Delay);
        Assert.Empty(world.Sent); // one answer is enough
        string hijacked = "counted: RegistrationHijacks\nlost: RegistrationHijack\nkernel: another process "
            + "registered as port mapper; registration reclaimed: find it with ss -f netlink";
        world.Pass(TimeSpan.FromSeconds(1));
        Assert.Equal(hijacked, Told(world, () => world.Register(8)));
        Assert.Equal(
            "counted: none\nkernel: iw_cm was reloaded: registering again", Told(world, () => world.Register(1)));
    }

    [Theory]
    [InlineData(Delivery.Refused, -22, "rejected (Invalid argument (EINVAL))")]
    [InlineData(Delivery.Unsent, 0, "rejected (not sent)")]
    internal void An_answer_that_the_kernel_did_not_take_is_a_loss(Delivery delivery, int code, string what)
    {
        World world = Begin();
        world.Add("10.0.0.1:5000");
        Assert.Equal(
            $"""
            counted: Undelivered
            lost: Undelivered
            kernel: AddMapping to request 10 {what}: 10.0.0.1:5000 continues unmapped: see dmesg
            """,
            Told(world, () => world.Mapper.OnSent(world.LastToKernel, new SendResult(delivery, code), world.Now)));
        var refusal = new KernelReply { Kind = KernelReplyKind.HandleError, Client = 2, RequestSequence = 9 };
        Assert.Equal(
            delivery == Delivery.Unsent ? "counted: Undelivered\nlost: Undelivered" : "counted: none",
            Told(world, () => world.Mapper.OnSent(refusal, new SendResult(delivery, code), world.Now)));
    }

    [Fact]
    public void Where_it_is_not_known_whether_the_kernel_took_a_port_it_is_kept_until_an_audit()
    {
        World world = Begin();
        world.Add("10.0.0.1:5000");
        Assert.Equal(
            "counted: none\nkernel: AddMapping to request 10 not acknowledged (Connection timed out (ETIMEDOUT)): "
                + "10.0.0.1:5000 keeps its port until reconciled",
            Told(world, () => world.Mapper.OnSent(
                world.LastToKernel, new SendResult(Delivery.Unknown, -110), world.Now)));
        Assert.Equal([40000], world.Ports.Held);
        Assert.True(world.Mapper.Audit.IsDue(world.Now + TimeSpan.FromSeconds(10)));
    }

    [Fact]
    public void What_was_restored_and_what_another_program_has_is_logged()
    {
        var before = new World();
        before.Add("10.0.0.1:5000");
        before.Add("10.0.0.1:5001");
        before.Add("10.0.0.1:5002", flags: 1);
        before.Add("10.0.0.1:5003");
        before.State.Mappings[3].Sequence |= 1; // a crash in the middle of it
        World world = Begin(state: before.State, handshake: false);
        world.Ports.Taken.Add(40000);
        Assert.Equal(
            "counted: none\nstate: 1 damaged rows dropped\n"
                + "mapping: unprotected: 10.0.0.1:5000 -> 10.0.0.1:40000: TCP port 40000 is in use by another program, "
                + "which may receive RDMA traffic: it is claimed as soon as it is free\n"
                + "mapping: restored: 1 ports claimed again, 1 in use by other programs, 1 without a port",
            Told(world, () => world.Mapper.Restore(world.Now)));
        world.Ports.Taken.Clear();
        Assert.Equal(
            "counted: none\nmapping: protected again: 10.0.0.1:5000 -> 10.0.0.1:40000",
            Told(world, () => world.Pass(TimeSpan.FromSeconds(2))));
        World empty = Begin(handshake: false);
        Assert.Equal("counted: none", Told(empty, () => empty.Mapper.Restore(empty.Now)));
    }

    [Fact]
    public void A_restored_port_that_the_host_refuses_is_a_loss_and_one_that_is_taken_is_none()
    {
        var before = new World();
        before.Add("10.0.0.1:5000");
        World world = Begin(state: before.State, handshake: false);
        world.Ports.Privileged.Add(40000);
        Assert.StartsWith(
            "counted: none\nlost: NotProtected\nmapping: unprotected: 10.0.0.1:5000",
            Told(world, () => world.Mapper.Restore(world.Now)));
    }

    [Theory]
    [InlineData(true, "is in use by another program")]
    [InlineData(false, "could not be claimed")]
    public void A_port_of_keep_ports_that_is_not_kept_is_a_loss_with_the_reason(bool isTaken, string reason)
    {
        World world = Begin(settings: new PortMapperSettings { KeptPorts = new PortSet([(4420, 4429)]) });
        (isTaken ? world.Ports.Taken : world.Ports.Privileged).Add(4429);
        Assert.Equal(
            $"counted: Adds\nlost: NotKept\nmapping: not kept: 10.0.0.1:4429 -> 10.0.0.1:40000: TCP port 4429 "
                + $"{reason}: hosts without a port mapper cannot reach it: see who has the port (ss -tlnp)\n"
                + "mapping: added: 10.0.0.1:4429 -> 10.0.0.1:40000 (client 2, Held)",
            Told(world, () => world.Add("10.0.0.1:4429")));
    }

    [Fact]
    public void An_audit_says_how_many_rows_it_corrected_or_why_it_cannot()
    {
        World world = Begin();
        world.Add("10.0.0.1:5000");
        world.Add("10.0.0.1:5001");
        world.Add("10.0.0.1:5002");
        string Audited(string? why = null) => Told(world, () =>
        {
            world.Now += TimeSpan.FromSeconds(10);
            Assert.True(world.Mapper.Audit.IsDue(world.Now));
            world.Audit(why, ("10.0.0.1:5001", EndpointUse.Listening));
        });
        world.Mapper.Audit.Schedule(world.Now);
        Assert.Equal("counted: none", Audited());
        Assert.EndsWith(
            "\nmapping: reconciled: 2 mappings corrected after kernel messages were lost", Audited());

        world.Mapper.Audit.Schedule(world.Now);
        for (int tries = 1; tries < 30; tries++)
        {
            Assert.Equal("counted: none", Audited("other namespaces"));
        }
        Assert.Equal(
            "counted: none\nmapping: reconciliation not possible (other namespaces): mappings that ended in the "
                + "meantime keep their ports",
            Audited("other namespaces"));
        Assert.Equal(TimeSpan.MaxValue, world.Mapper.NextDeadline);
    }

    [Fact]
    public void The_table_is_written_to_the_log_row_by_row()
    {
        World world = Begin(mappings: 16);
        for (int port = 1; port <= 16; port++)
        {
            world.Add($"10.0.0.1:{port}");
        }
        for (int port = 1; port <= 14; port++)
        {
            world.Remove($"10.0.0.1:{port}");
        }
        world.Add("10.0.0.1:15"); // refused, and a reference
        Assert.Equal(
            """
            counted: none
            mapping: 2 mappings
            mapping: 0: 10.0.0.1:15 -> 10.0.0.1:40014 (client 2, references 2, flags 0, Held)
            mapping: 1: 10.0.0.1:16 -> 10.0.0.1:40015 (client 2, references 1, flags 0, Held)
            """,
            Told(world, world.Mapper.DumpMappings));
    }

    [Fact]
    public void What_still_waits_when_the_daemon_ends_is_a_loss()
    {
        World world = Begin();
        world.Register(3);
        world.Overrun();
        world.Query("10.0.0.1:5000", "10.0.0.2:80", sequence: 4);
        Assert.True(world.Mapper.HasDeferredRequests);
        Assert.Equal(
            """
            counted: Refused 2, DeferredDropped 2
            lost: Deferred 2
            kernel: refused: QueryMapping 4: code CannotCreate: the daemon ends
            kernel: refused: RegisterPid 3: code CannotCreate: the daemon ends
            """,
            Told(world, () => world.Mapper.End(world.Now)));
        world.Drain();
        Assert.Equal(world.Now + PortMapper.AnswerWithin, world.Sent[^2].AnswerBy);
        Assert.Equal(TimeSpan.MaxValue, world.Mapper.NextDeadline);
    }
}

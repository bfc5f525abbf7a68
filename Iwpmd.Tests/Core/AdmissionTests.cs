// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.State;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Core;

/// <summary>What unvalidated hosts can have: one fact a rule. The worlds serve 0.0.0.0:7174, mapped to 40000.</summary>
public class AdmissionTests
{
    private static readonly InetEndpoint s_peer = InetEndpoint.Parse("10.0.0.2:41111");

    private static World Listening(
        AdmissionSettings? admission = null, string local = "0.0.0.0:7174", uint flags = 0, int mappings = 65536)
    {
        var world = new World(mappings, new PortMapperSettings { Admission = admission ?? new AdmissionSettings() });
        world.Add(local, flags: flags);
        world.Sent.Clear();
        return world;
    }

    private static void Ask(World world, string source, ulong handle = 77, string asked = "10.0.0.1:7174") =>
        world.Request($"{source}:41111", $"{source}:5001", asked, handle, mapped: $"{source}:42222");

    private static void Ack(World world, ushort port = 40000)
    {
        Effect accept = world.ToPeers.Last(e => e.Message.Type == PeerMessageType.Accept);
        world.FromPeer(
            accept.To.ToString(), accept.Message.AsAck() with { Accepting = accept.Message.Accepting.WithPort(port) });
    }

    /// <summary>The host asks and Acks.</summary>
    private static void MarkValidated(World world, string source)
    {
        Ask(world, source, handle: 1);
        Ack(world);
    }

    private static string OtherHost(int number) => $"11.{number >> 16}.{(number >> 8) & 255}.{number & 255}";

    private static int Accepts(World world) => world.ToPeers.Count(e => e.Message.Type == PeerMessageType.Accept);

    private static int RemoteInfos(World world) =>
        world.ToKernel.Count(reply => reply.Kind == KernelReplyKind.RemoteInfo);

    /// <summary>Those who look at the state need not wait for the line of the log.</summary>
    [Fact]
    public void Refusals_are_counted_after_a_second_and_logged_after_ten()
    {
        var log = new RecordedLog();
        var settings = new PortMapperSettings { Admission = new AdmissionSettings { RequestRate = 100 } };
        var world = new World(settings: settings, log: log);
        for (int second = 0; second < 10; second++)
        {
            for (int i = 0; i < 300; i++)
            {
                Ask(world, OtherHost(i), handle: (ulong)((300 * second) + i + 1));
            }
            world.Pass(TimeSpan.FromSeconds(1));
            ulong refused = world.Counter(Counter.RequestsOverRate);
            Assert.Equal(200ul * (ulong)(second + 1), refused);
            Assert.Equal(refused, world.State.Health.Losses[(int)LossCause.PeersNotServed].Count);
            Assert.Equal(second == 9, log.Lines.Exists(line => line.Contains("2000 Requests dropped in 10 s")));
        }
    }

    [Fact]
    public void Unvalidated_hosts_share_one_rate()
    {
        World world = Listening(new AdmissionSettings { RequestRate = 100 });
        for (int i = 0; i < 1000; i++)
        {
            Ask(world, OtherHost(i), handle: (ulong)i + 1);
        }
        Assert.Equal(100, Accepts(world));

        world.Now += TimeSpan.FromSeconds(0.5);
        for (int i = 0; i < 1000; i++)
        {
            Ask(world, OtherHost(i), handle: (ulong)i + 5000);
        }
        Assert.Equal(150, Accepts(world));
    }

    [Fact]
    public void A_validated_host_is_served_whatever_unvalidated_hosts_send()
    {
        World world = Listening(new AdmissionSettings { RequestRate = 100 });
        MarkValidated(world, "10.0.0.2");
        for (int i = 0; i < 100_000; i++)
        {
            Ask(world, OtherHost(i), handle: (ulong)i + 5000);
        }
        int before = Accepts(world);
        Ask(world, "10.0.0.2", handle: 2);
        Assert.Equal(before + 1, Accepts(world));
        Assert.Equal(s_peer, world.ToPeers.Last().To);
    }

    [Fact]
    public void An_Ack_that_does_not_name_the_mapped_port_validates_nothing_and_is_the_only_try()
    {
        World world = Listening(new AdmissionSettings { RequestRate = 1 });
        Ask(world, "10.0.0.2");
        Ack(world, port: 40001);
        Ack(world, port: 40000);
        Ask(world, "10.0.0.2", handle: 2);
        Assert.Equal((1, 2ul), (Accepts(world), world.Counter(Counter.PeerDropped)));
    }

    [Fact]
    public void An_Ack_that_names_a_port_that_was_in_the_Request_validates_nothing()
    {
        World world = Listening(new AdmissionSettings { RequestRate = 1 }, flags: 1); // NO_PORT_MAP: mapped to itself
        Ask(world, "10.0.0.2");
        Ack(world, port: 7174);
        Ask(world, "10.0.0.2", handle: 2);
        Assert.Equal(1, Accepts(world));
    }

    [Theory]
    [InlineData(nameof(PeerMessageType.Accept))]
    [InlineData(nameof(PeerMessageType.Reject))]
    public void A_host_that_knows_the_handle_of_our_query_is_validated(string answer)
    {
        World world = Listening(new AdmissionSettings { RequestRate = 1 });
        world.Query("10.0.0.1:5000", "10.0.0.2:7000");
        world.Answer(Enum.Parse<PeerMessageType>(answer), 45000);
        Ask(world, "10.0.0.3");
        Ask(world, "10.0.0.3", handle: 78);
        Assert.Equal(1, Accepts(world));
        Ask(world, "10.0.0.2");
        Assert.Equal(2, Accepts(world));
    }

    [Fact]
    public void One_host_has_one_rate_validated_or_not()
    {
        World world = Listening(new AdmissionSettings { SourceRate = 10 });
        MarkValidated(world, "10.0.0.2");
        for (ulong i = 0; i < 50; i++)
        {
            Ask(world, "10.0.0.2", handle: 100 + i);
            Ask(world, "10.0.0.3", handle: 100 + i);
        }
        Assert.Equal(20, Accepts(world));
        world.Now += TimeSpan.FromSeconds(0.5);
        for (ulong i = 0; i < 50; i++)
        {
            Ask(world, "10.0.0.2", handle: 200 + i);
            Ask(world, "10.0.0.3", handle: 200 + i);
        }
        Assert.Equal(30, Accepts(world));
    }

    [Fact]
    public void Of_IPv6_a_network_of_64_bits_is_one_host()
    {
        World world = Listening(new AdmissionSettings { SourceRate = 10 }, local: "[::]:7174");
        for (ulong i = 1; i <= 50; i++)
        {
            world.Request(
                $"[fd00::{i:x}]:41111", $"[fd00::{i:x}]:5001", "[fd00::ffff]:7174", i, to: "[fd00::ffff]:3935");
        }
        Assert.Equal(10, Accepts(world));
        world.Request("[fd00:0:0:1::1]:41111", "[fd00:0:0:1::1]:5001", "[fd00::ffff]:7174", 1, to: "[fd00::ffff]:3935");
        Assert.Equal(11, Accepts(world));
    }

    [Fact]
    public void Ten_thousand_hosts_can_start_a_job_at_once()
    {
        World world = Listening();
        for (int i = 0; i < 10_000; i++)
        {
            Ask(world, OtherHost(i), handle: (ulong)i + 1);
            Ack(world); // a round trip is shorter than what 256 Requests need
        }
        Assert.Equal((10_000, 10_000), (Accepts(world), RemoteInfos(world)));
        for (int i = 0; i < 10_000; i++)
        {
            Ask(world, OtherHost(i), handle: (ulong)i + 50_000);
        }
        Assert.Equal(20_000, Accepts(world));
    }

    [Fact]
    public void A_flood_displaces_no_validated_host()
    {
        World world = Listening(new AdmissionSettings { RequestRate = 10_000 });
        for (int i = 0; i < 5000; i++)
        {
            MarkValidated(world, OtherHost(i));
        }
        for (int i = 5000; i < 200_000; i++)
        {
            Ask(world, OtherHost(i), handle: (ulong)i);
        }
        int before = Accepts(world);
        for (int i = 0; i < 5000; i++)
        {
            Ask(world, OtherHost(i), handle: 2);
        }
        Assert.Equal(before + 5000, Accepts(world));
    }

    [Fact]
    public void The_kernel_hears_of_few_peers_before_their_Ack_and_of_the_others_with_it()
    {
        World world = Listening();
        for (int i = 0; i < 1000; i++)
        {
            Ask(world, OtherHost(i), handle: (ulong)i + 1);
        }
        Assert.Equal(
            (1000, 256, 744ul), (Accepts(world), RemoteInfos(world), world.Counter(Counter.RemoteInfosDeferred)));
        Ack(world);
        Assert.Equal(257, RemoteInfos(world));
        Assert.Equal($"{OtherHost(999)}:42222", world.ToKernel.Last().MappedRemote.ToString());
        Ack(world);
        Assert.Equal(257, RemoteInfos(world));
    }

    [Fact]
    public void A_validated_host_that_sends_no_Acks_has_the_credit_of_a_few()
    {
        World world = Listening();
        MarkValidated(world, "10.0.0.2");
        for (int i = 0; i < 256; i++)
        {
            Ask(world, OtherHost(i), handle: (ulong)i + 1);
        }
        int before = RemoteInfos(world);
        for (ulong i = 2; i < 500; i++)
        {
            Ask(world, "10.0.0.2", handle: i);
        }
        Assert.Equal(before + 64, RemoteInfos(world));
        Ack(world);
        Ask(world, "10.0.0.2", handle: 1000);
        Assert.Equal(before + 66, RemoteInfos(world));
    }

    [Fact]
    public void The_kernel_hears_of_so_many_peers_of_one_mapping_a_second()
    {
        World world = Listening(new AdmissionSettings { RemoteInfoRate = 10 });
        for (int i = 0; i < 300; i++)
        {
            Ask(world, OtherHost(i), handle: (ulong)i + 1);
            Ack(world);
        }
        Assert.Equal(
            (300, 100, 200ul), (Accepts(world), RemoteInfos(world), world.Counter(Counter.RemoteInfosDropped)));
    }

    [Fact]
    public void A_copy_of_a_rejected_Request_gets_nothing_for_a_quarter_of_a_second()
    {
        World world = Listening();
        for (int i = 0; i < 6; i++)
        {
            Ask(world, "10.0.0.2", asked: "10.0.0.1:9999");
            world.Now += TimeSpan.FromMilliseconds(60);
        }
        Assert.Equal((2, 4ul), (world.ToPeers.Count(), world.Counter(Counter.RequestCopies)));
        Ask(world, "10.0.0.3", asked: "10.0.0.1:9999");
        Assert.Equal(3, world.ToPeers.Count());
    }

    [Fact]
    public void No_message_of_an_unvalidated_host_is_answered_by_more_bytes_than_it_has()
    {
        foreach (PeerMessageType type in Enum.GetValues<PeerMessageType>())
        {
            foreach (string asked in (string[])["10.0.0.1:7174", "10.0.0.1:9999", "0.0.0.0:7174"])
            {
                World world = Listening();
                // the short form
                var message = new PeerMessage(type, 77, s_peer.WithPort(5001), InetEndpoint.Parse(asked), default);
                int sent = message.Write(new byte[PeerMessage.RequestSize]);
                world.SentBytes.Clear();
                world.FromPeer("10.0.0.2:41111", message);
                world.Pass(TimeSpan.FromSeconds(30));
                Assert.InRange(
                    world.Sent.Zip(world.SentBytes).Where(e => !e.First.IsToKernel).Sum(e => e.Second.Length), 0, sent);
            }
        }
    }

    [Fact]
    public void A_host_that_may_not_ask_gets_nothing()
    {
        Assert.True(InetNetwork.TryParse("10.0.0.2", out InetNetwork denied));
        World world = Listening(new AdmissionSettings { Access = new AccessList([], [denied]) });
        Ask(world, "10.0.0.2");
        Ask(world, "10.0.0.2", asked: "10.0.0.1:9999");
        Assert.Empty(world.Sent);
        Ask(world, "10.0.0.3");
        Assert.Equal(1, Accepts(world));
    }

    [Fact]
    public void Refused_Requests_are_counted_and_logged_once_a_period()
    {
        World world = Listening(new AdmissionSettings { RequestRate = 1 });
        Assert.Equal(TimeSpan.MaxValue, world.Mapper.NextDeadline);
        for (int i = 0; i < 11; i++)
        {
            Ask(world, OtherHost(i), asked: "10.0.0.1:9999");
        }
        Assert.Equal(world.Now + TimeSpan.FromSeconds(1), world.Mapper.NextDeadline);
        world.Pass(TimeSpan.FromSeconds(10));
        Assert.Equal((10ul, 11ul), (world.Counter(Counter.RequestsOverRate), world.Counter(Counter.PeerRequests)));
        Assert.Equal(TimeSpan.MaxValue, world.Mapper.NextDeadline);
    }

    [Fact]
    public void Handles_that_other_hosts_choose_do_not_collide()
    {
        IEnumerable<ulong> keys = Enumerable.Range(0, 4096).Select(i => (ulong)i << 52);
        uint[] Hashes(ulong secret) => [.. keys.Select(key => SecretHash.Of(secret, key) & 8191)];

        foreach (ulong secret in (ulong[])[1, 0x123456789abcdef, ulong.MaxValue - 4])
        {
            foreach (IEnumerable<uint> hashes in (IEnumerable<uint>[])
                [
                    Hashes(secret),
                    keys.Select(key => SecretHash.Of(secret, key, 0) & 8191),
                    keys.Select(key => SecretHash.Of(secret, 0, 0, key) & 8191),
                ])
            {
                Assert.InRange(hashes.GroupBy(hash => hash).Max(group => group.Count()), 1, 12);
            }
        }
        Assert.NotEqual(Hashes(1), Hashes(2));
    }

    /// <summary>What decides whether a flood is filtered: hosts that were validated do not count.</summary>
    [Fact]
    public void Datagrams_of_unvalidated_hosts_that_are_not_served_are_counted_once()
    {
        Assert.True(InetNetwork.TryParse("10.0.0.9", out InetNetwork denied));
        var access = new AccessList([], [denied]);
        var admission = new Admission(
            new AdmissionSettings { RequestRate = 1, SourceRate = 3, Access = access }, secret: 1);
        InetEndpoint validated = InetEndpoint.Parse("10.0.0.3:1");
        TimeSpan now = TimeSpan.FromSeconds(100);
        admission.MarkValidated(validated, now);
        long Unserved(Action act)
        {
            act();
            return admission.DrainUnservedCount();
        }
        Assert.Equal(0, Unserved(() => Assert.True(admission.TryAdmit(s_peer, now))));
        Assert.Equal(2, Unserved(() => // over the rate of all
        {
            Assert.False(admission.TryAdmit(s_peer, now));
            Assert.False(admission.TryAdmit(s_peer, now));
        }));
        Assert.Equal(1, Unserved(() => Assert.False(admission.TryAdmit(s_peer, now)))); // over that of one
        Assert.Equal(0, Unserved(() =>
        {
            Assert.True(admission.TryAdmit(validated, now));
            Assert.True(admission.TryAdmit(validated, now));
            Assert.True(admission.TryAdmit(validated, now));
            Assert.False(admission.TryAdmit(validated, now));
        }));
        Assert.Equal(1, Unserved(() => Assert.False(admission.TryAdmit(InetEndpoint.Parse("10.0.0.9:1"), now))));
        Assert.Equal(1, Unserved(admission.Deny));
        Assert.Equal(1, Unserved(() => admission.CountUnserved(s_peer)));
        Assert.Equal(0, Unserved(() => admission.CountUnserved(validated)));
        Assert.Equal(new Refusals(OverAll: 2, OverSource: 2, Denied: 2), admission.TakeRefusals());
        Assert.Equal(0, admission.TakeRefusals().Sum);
    }

    [Fact]
    public void A_datagram_that_is_dropped_counts_as_not_served()
    {
        World world = Listening();
        Ask(world, "10.0.0.2");
        Ack(world, port: 40001);
        Assert.Equal(1, world.Mapper.Admission.DrainUnservedCount());
    }

    [Fact]
    public void A_host_is_validated_once_until_its_row_could_be_replaced()
    {
        var admission = new Admission(new AdmissionSettings { SourceRate = 10 }, secret: 1);
        TimeSpan now = TimeSpan.FromSeconds(100);
        Assert.False(admission.IsValidated(s_peer));
        admission.MarkValidated(s_peer, now);
        admission.MarkValidated(s_peer, now);
        Assert.Equal(1, admission.ValidatedTotal);
        Assert.True(admission.TryAdmit(s_peer, now));
        admission.MarkValidated(s_peer, now + TimeSpan.FromMilliseconds(100));
        Assert.Equal(1, admission.ValidatedTotal);
        admission.MarkValidated(s_peer, now + TimeSpan.FromMilliseconds(101));
        Assert.Equal(2, admission.ValidatedTotal);
    }

    [Fact]
    public void A_host_that_may_not_ask_is_not_validated_by_its_answer()
    {
        Assert.True(InetNetwork.TryParse("10.0.0.2", out InetNetwork denied));
        World world = Listening(new AdmissionSettings { Access = new AccessList([], [denied]) });
        world.Query("10.0.0.1:5000", "10.0.0.2:7000");
        world.Answer(PeerMessageType.Accept, 45000);
        Assert.False(world.Mapper.Admission.IsValidated(s_peer));
        Assert.Equal(0, world.Mapper.Admission.ValidatedTotal);
    }

    [Fact]
    public void An_Ack_returns_the_credit_of_its_mapping()
    {
        World world = Listening();
        for (int i = 0; i < 300; i++)
        {
            Ask(world, OtherHost(i), handle: (ulong)i + 1);
            Ack(world);
        }
        Assert.Equal((300, 0ul), (RemoteInfos(world), world.Counter(Counter.RemoteInfosDeferred)));
    }

    [Fact]
    public void Each_mapping_has_its_credit_and_its_rate_of_REMOTE_INFOs()
    {
        World world = Listening(new AdmissionSettings { RemoteInfoRate = 30 });
        world.Add("0.0.0.0:7175");
        for (int i = 0; i < 600; i++)
        {
            Ask(world, OtherHost(i), handle: (ulong)i + 1, asked: $"10.0.0.1:{7174 + (i % 2)}");
        }
        Assert.Equal(2 * 256, RemoteInfos(world));
        world.Now += TimeSpan.FromSeconds(100);
        world.Sent.Clear();
        for (int i = 0; i < 800; i++)
        {
            Ask(world, OtherHost(i), handle: (ulong)i + 1001, asked: $"10.0.0.1:{7174 + (i % 2)}");
            Ack(world, port: (ushort)(40000 + (i % 2)));
        }
        Assert.Equal(2 * 300, RemoteInfos(world));
    }

    /// <summary>Returned without an Ack: the mapping was removed before it came.</summary>
    [Fact]
    public void The_credit_of_a_validated_host_is_returned_up_to_what_it_has()
    {
        var admission = new Admission(new AdmissionSettings(), secret: 1);
        TimeSpan now = TimeSpan.FromSeconds(100);
        InetEndpoint unknown = InetEndpoint.Parse("10.0.0.3:1");
        admission.MarkValidated(s_peer, now);
        int Credits()
        {
            int taken = 0;
            while (admission.CreditRemoteInfo(1, s_peer, now) == RemoteInfoCredit.OfHost)
            {
                taken++;
            }
            admission.GiveBack(RemoteInfoCredit.OfMapping, 1, s_peer); // the last one was not of the host
            return taken;
        }
        Assert.Equal(64, Credits());
        admission.GiveBack(RemoteInfoCredit.None, 1, s_peer);
        admission.GiveBack(RemoteInfoCredit.OfHost, 1, unknown);
        Assert.Equal(0, Credits());
        admission.GiveBack(RemoteInfoCredit.OfHost, 1, s_peer);
        admission.GiveBack(RemoteInfoCredit.OfHost, 1, s_peer);
        Assert.Equal(2, Credits());
        admission.MarkValidated(s_peer, now);
        admission.GiveBack(RemoteInfoCredit.OfHost, 1, s_peer); // of before: it has all
        Assert.Equal(64, Credits());
        Assert.Equal(RemoteInfoCredit.OfMapping, admission.CreditRemoteInfo(1, unknown, now));
    }

    [Fact]
    public void Requests_that_differ_in_a_port_an_address_or_the_handle_are_no_copies()
    {
        InetEndpoint connecting = InetEndpoint.Parse("10.0.0.2:5001"), accepting = InetEndpoint.Parse("10.0.0.1:9999");
        var request = new PeerMessage(PeerMessageType.Request, 77, connecting, accepting, default);
        (InetEndpoint From, PeerMessage Message)[] all =
        [
            (s_peer, request),
            (s_peer.WithPort(41112), request),
            (InetEndpoint.Parse("10.0.0.3:41111"), request),
            (InetEndpoint.Parse("[fd00::2]:41111"), request),
            (s_peer, request with { Handle = 78 }),
            (s_peer, request with { Connecting = connecting.WithPort(5002) }),
            (s_peer, request with { Connecting = InetEndpoint.Parse("10.0.0.3:5001") }),
            (s_peer, request with { Connecting = InetEndpoint.Parse("[fd00::2]:5001") }),
            (s_peer, request with { Accepting = accepting.WithPort(9998) }),
            (s_peer, request with { Accepting = InetEndpoint.Parse("10.0.0.3:9999") }),
            (s_peer, request with { Accepting = InetEndpoint.Parse("[fd00::2]:9999") }),
        ];
        foreach (ulong secret in (ulong[])[1, 0x123456789abcdef])
        {
            var admission = new Admission(new AdmissionSettings(), secret);
            TimeSpan within = TimeSpan.FromMilliseconds(250), now = TimeSpan.FromSeconds(100);
            Assert.All(all, one => Assert.False(admission.IsRejectedAlready(one.From, one.Message, within, now)));
            now += TimeSpan.FromMilliseconds(249);
            Assert.All(all, one => Assert.True(admission.IsRejectedAlready(one.From, one.Message, within, now)));
            now += TimeSpan.FromMilliseconds(1);
            Assert.All(all, one => Assert.False(admission.IsRejectedAlready(one.From, one.Message, within, now)));
        }
    }

    [Fact]
    public void Other_limits_hold_from_the_next_Request_on()
    {
        World world = Listening();
        foreach (int rate in (int[])[1, 5])
        {
            world.Sent.Clear();
            world.Mapper.Apply(new PortMapperSettings { Admission = new AdmissionSettings { RequestRate = rate } });
            Assert.Equal(rate, world.Mapper.Admission.RequestRate);
            for (ulong handle = 1; handle <= 8; handle++)
            {
                Ask(world, "10.0.0.2", handle + (10 * (ulong)rate));
            }
            Assert.Equal(rate, Accepts(world));
            world.Now += TimeSpan.FromSeconds(1);
        }
    }

    [Fact]
    public void The_addresses_of_validated_hosts_are_told_by_family()
    {
        var admission = new Admission(new AdmissionSettings(), secret: 1);
        string[] hosts = ["10.0.0.2:1", "255.255.255.254:1", "[fd00::5]:1", "[::1]:1", "[fd00:0:0:1::5]:1"];
        Assert.All(hosts, host => Assert.False(admission.IsValidated(InetEndpoint.Parse(host))));
        Assert.All(hosts, host => admission.MarkValidated(InetEndpoint.Parse(host), TimeSpan.FromSeconds(1)));
        Assert.All(hosts, host => Assert.True(admission.IsValidated(InetEndpoint.Parse(host))));
        Assert.False(admission.IsValidated(InetEndpoint.Parse("[0:0:a00:2::]:1"))); // the number of 10.0.0.2
        Assert.Equal(hosts.Length, admission.ValidatedTotal);
        ulong[] Copied(IpFamily family)
        {
            var copy = new ulong[Admission.ValidatedHosts];
            return [.. copy.Take(admission.CopyValidated(family, copy)).Order()];
        }
        Assert.Equal([0x0a000002ul, 0xfffffffe], Copied(IpFamily.V4));
        Assert.Equal([1ul, 0xfd00_0000_0000_0000, 0xfd00_0000_0000_0001], Copied(IpFamily.V6));
    }
}

// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Core;

/// <summary>What the endpoints that the host really has say about rows that may have missed a REMOVE.</summary>
public class EndpointAuditTests
{
    private static readonly TimeSpan s_apart = TimeSpan.FromSeconds(10);

    /// <summary>A daemon that came after one which crashed, with these listeners in its state.</summary>
    private static World AfterCrash(params string[] locals)
    {
        var before = new World();
        foreach (string local in locals)
        {
            before.Add(local);
        }
        var world = new World(state: before.State, handshake: false) { Now = before.Now + TimeSpan.FromSeconds(1) };
        world.Mapper.Restore(world.Now);
        Assert.True(world.Mapper.TryResume(PredecessorExit.Crash, world.Now));
        return world;
    }

    [Fact]
    public void It_is_wanted_after_a_crash_and_not_after_an_orderly_end()
    {
        World world = AfterCrash("10.0.0.1:5000");
        Assert.False(world.Mapper.Audit.IsDue(world.Now));
        Assert.True(world.Mapper.Audit.IsDue(world.Now + s_apart));
        Assert.Equal(world.Now + s_apart, world.Mapper.NextDeadline);

        var before = new World();
        before.Add("10.0.0.1:5000");
        Assert.False(Resumed(before).Mapper.Audit.IsDue(TimeSpan.MaxValue - TimeSpan.FromTicks(1)));
    }

    [Fact]
    public void One_that_is_not_finished_outlives_an_orderly_end()
    {
        World world = AfterCrash("10.0.0.1:5000");
        World next = Resumed(world);
        Assert.True(next.Mapper.Audit.IsDue(next.Now + s_apart));

        for (int look = 0; look < 2; look++)
        {
            next.Pass(s_apart);
            next.Audit(null, ("10.0.0.1:5000", EndpointUse.Listening));
        }
        Assert.False(Resumed(next).Mapper.Audit.IsDue(TimeSpan.MaxValue - TimeSpan.FromTicks(1)));
    }

    private static World Resumed(World before)
    {
        var next = new World(state: before.State, handshake: false) { Now = before.Now };
        next.Mapper.Restore(next.Now);
        Assert.True(next.Mapper.TryResume(PredecessorExit.Clean, next.Now));
        return next;
    }

    [Fact]
    public void It_is_wanted_after_messages_were_lost()
    {
        var world = new World();
        world.Add("10.0.0.1:5000");
        world.Mapper.OnOverrun(world.Now);
        Assert.True(world.Mapper.Audit.IsDue(world.Now + s_apart));
    }

    [Fact]
    public void A_row_without_an_endpoint_is_removed_after_two_counts_and_the_others_stay()
    {
        World world = AfterCrash("10.0.0.1:5000", "10.0.0.1:5001");
        world.Pass(s_apart);
        world.Audit(null, ("10.0.0.1:5000", EndpointUse.Listening));
        Assert.True(world.HasRow("10.0.0.1:5001"));
        world.Now += s_apart;
        Assert.True(world.Mapper.Audit.IsDue(world.Now));
        world.Audit(null, ("10.0.0.1:5000", EndpointUse.Listening));
        Assert.False(world.HasRow("10.0.0.1:5001"));
        Assert.True(world.HasRow("10.0.0.1:5000"));
        Assert.Single(world.Ports.Held);
        Assert.False(world.Mapper.Audit.IsDue(world.Now + TimeSpan.FromHours(1)));
    }

    [Fact]
    public void One_count_changes_nothing_when_a_message_about_the_row_came_in_between()
    {
        World world = AfterCrash("10.0.0.1:5000");
        world.Pass(s_apart);
        world.Audit(null);
        world.Now += s_apart / 2;
        world.Add("10.0.0.1:5000"); // refused as a copy, but its REMOVE will come
        world.Now += s_apart / 2;
        world.Audit(null);
        Assert.True(world.HasRow("10.0.0.1:5000"));
        Assert.True(world.Mapper.Audit.IsDue(world.Now + s_apart));
    }

    [Fact]
    public void An_incomplete_count_changes_nothing()
    {
        World world = AfterCrash("10.0.0.1:5000");
        world.Pass(s_apart);
        world.Audit(null);
        world.Now += s_apart;
        world.Audit("hidden");
        world.Now += s_apart;
        Assert.True(world.Mapper.Audit.IsDue(world.Now));
        world.Audit(null);
        Assert.True(world.HasRow("10.0.0.1:5000"));
        world.Now += s_apart;
        world.Audit(null);
        Assert.False(world.HasRow("10.0.0.1:5000"));
    }

    [Fact]
    public void It_is_given_up_when_it_is_never_complete()
    {
        World world = AfterCrash("10.0.0.1:5000");
        for (int i = 0; world.Mapper.Audit.IsDue(world.Now += s_apart); i++)
        {
            Assert.True(i < 100);
            world.Audit("hidden");
        }
        Assert.True(world.HasRow("10.0.0.1:5000"));
    }

    [Fact]
    public void Connections_that_a_listener_accepted_do_not_keep_its_row()
    {
        World world = AfterCrash("10.0.0.1:5000");
        world.AuditTwice(("10.0.0.1:5000", EndpointUse.Other), ("10.0.0.1:5000", EndpointUse.Other));
        Assert.False(world.HasRow("10.0.0.1:5000"));
    }

    [Fact]
    public void A_connection_keeps_its_row()
    {
        var before = new World();
        before.Query("10.0.0.1:6000", "10.0.0.2:7174");
        before.Answer(PeerMessageType.Accept, 41000);
        var world = new World(state: before.State, handshake: false) { Now = before.Now };
        world.Mapper.Restore(world.Now);
        Assert.True(world.Mapper.TryResume(PredecessorExit.Crash, world.Now));
        for (int i = 0; i < 2; i++)
        {
            world.Now += s_apart;
            world.Audit(null, ("10.0.0.1:6000", EndpointUse.Other));
        }
        Assert.True(world.HasRow("10.0.0.1:6000"));
    }

    [Fact]
    public void References_follow_the_number_of_endpoints()
    {
        World world = AfterCrash("0.0.0.0:5000", "0.0.0.0:5000", "0.0.0.0:5000");
        Assert.Equal(3, world.Row("0.0.0.0:5000").References);
        world.AuditTwice(("0.0.0.0:5000", EndpointUse.Listening), ("0.0.0.0:5000", EndpointUse.Listening));
        Assert.Equal(2, world.Row("0.0.0.0:5000").References);
    }

    [Fact]
    public void A_row_that_is_newer_than_the_gap_is_not_suspect()
    {
        World world = AfterCrash("10.0.0.1:5000");
        world.Now += TimeSpan.FromSeconds(1);
        world.Add("10.0.0.1:5001");
        world.AuditTwice();
        Assert.True(world.HasRow("10.0.0.1:5001"));
        Assert.False(world.HasRow("10.0.0.1:5000"));
    }

    [Fact]
    public void Two_counts_are_ten_seconds_apart_also_in_a_full_table()
    {
        var before = new World(mappings: 16);
        for (int port = 1; port <= 16; port++)
        {
            before.Add($"10.0.0.1:{port}");
        }
        var world = new World(state: before.State, handshake: false) { Now = before.Now };
        world.Mapper.Restore(world.Now);
        Assert.True(world.Mapper.TryResume(PredecessorExit.Crash, world.Now));
        world.Now += s_apart;
        world.Audit(null);
        Assert.False(world.Mapper.Audit.IsDue(world.Now + s_apart - TimeSpan.FromTicks(1)));
        Assert.True(world.Mapper.Audit.IsDue(world.Now + s_apart));
        world.Now += s_apart;
        world.Audit(null);
        Assert.Equal(0, world.Mapper.Mappings.Count);
        Assert.Equal(TimeSpan.MaxValue, world.Mapper.NextDeadline); // whose port it is nobody asks: no HELLO
    }

    [Fact]
    public void A_message_at_the_moment_of_the_first_count_makes_another_one_necessary()
    {
        World world = AfterCrash("10.0.0.1:5000");
        world.Pass(s_apart);
        world.Audit(null);
        world.Add("10.0.0.1:5000");
        world.Now += s_apart;
        world.Audit(null);
        Assert.True(world.HasRow("10.0.0.1:5000"));
        world.Now += s_apart;
        world.Audit(null);
        Assert.False(world.HasRow("10.0.0.1:5000"));
    }

    [Fact]
    public void Each_count_begins_at_zero()
    {
        World world = AfterCrash("0.0.0.0:5000", "0.0.0.0:5000");
        for (int look = 0; look < 3; look++)
        {
            world.Now += s_apart;
            world.Audit(null, ("0.0.0.0:5000", EndpointUse.Listening));
            if (look == 0)
            {
                world.Add("0.0.0.0:5000");
            }
            Assert.Equal(look == 0 ? 3 : look == 1 ? 3 : 1, world.Row("0.0.0.0:5000").References);
        }
    }

    [Fact]
    public void Messages_that_are_lost_during_an_audit_begin_another_one()
    {
        World world = AfterCrash("10.0.0.1:5000");
        world.Now += s_apart;
        world.Mapper.Audit.Begin(world.Now);
        world.Mapper.Audit.Schedule(world.Now);
        world.Mapper.Audit.Count(InetEndpoint.Parse("10.0.0.1:5000"), EndpointUse.Listening);
        world.Mapper.Audit.End(null, world.Now);
        Assert.True(world.Mapper.Audit.IsDue(world.Now + s_apart));
        world.Now += s_apart;
        world.Audit(null);
        Assert.True(world.HasRow("10.0.0.1:5000")); // that was the first count
        world.Now += s_apart;
        world.Audit(null);
        Assert.False(world.HasRow("10.0.0.1:5000"));
    }

    /// <summary>
    /// A replayed row is of a listener or of a connection, which is not known: more endpoints than references may be
    /// connections that the listener accepted. Of a wildcard they are all listeners.
    /// </summary>
    [Theory]
    [InlineData("10.0.0.1:5000", 1, 1)]
    [InlineData("10.0.0.1:5000", 2, 1)]
    [InlineData("10.0.0.1:5000", 0, 0)]
    [InlineData("0.0.0.0:5000", 2, 2)]
    public void Of_a_replayed_row_too_many_endpoints_say_something_only_of_a_wildcard(
        string local, int endpoints, int references)
    {
        var world = new World(handshake: false);
        world.Start();
        world.Hello();
        KernelReply replay = world.LastToKernel;
        world.MapInfo(local, local.Replace("5000", "40000"));
        world.MapInfoNumber(1);
        world.FromKernel(new KernelRequest { Operation = KernelOperation.Done, Sequence = replay.Sequence });
        world.Mapper.Audit.Schedule(world.Now);
        for (int look = 0; look < 2; look++)
        {
            world.Now += s_apart;
            world.Audit(null, [.. Enumerable.Repeat((local, EndpointUse.Listening), endpoints)]);
        }
        Assert.Equal(references, world.HasRow(local) ? world.Row(local).References : 0);
        Assert.Equal(TimeSpan.MaxValue, world.Mapper.NextDeadline);
    }

    [Theory]
    [InlineData(99, false)]
    [InlineData(100, true)]
    public void What_came_a_tenth_of_a_second_behind_the_gap_is_not_suspect(int milliseconds, bool stays)
    {
        World world = AfterCrash("10.0.0.1:5000");
        world.Now += TimeSpan.FromMilliseconds(milliseconds);
        world.Add("10.0.0.1:5001");
        world.Now += s_apart;
        for (int look = 0; look < 2; look++)
        {
            world.Audit(null);
            world.Now += s_apart;
        }
        Assert.Equal(stays, world.HasRow("10.0.0.1:5001"));
    }

    /// <summary>The kernel waits for the lost ADD of its second device for 10 s.</summary>
    [Fact]
    public void Of_a_wildcard_what_came_within_ten_seconds_of_a_crash_is_suspect()
    {
        World world = AfterCrash();
        world.Now += TimeSpan.FromSeconds(9.9);
        world.Add("0.0.0.0:5000");
        world.Now += TimeSpan.FromSeconds(0.1);
        world.Add("0.0.0.0:5001");
        world.Remove("0.0.0.0:5001"); // behind those ten seconds it may lack nothing
        Assert.False(world.HasRow("0.0.0.0:5001"));
        world.AuditTwice(("0.0.0.0:5000", EndpointUse.Listening), ("0.0.0.0:5000", EndpointUse.Listening));
        Assert.Equal(2, world.Row("0.0.0.0:5000").References);
    }

    [Fact]
    public void A_wildcard_is_protected_until_the_audit_behind_a_crash_ends_and_not_longer()
    {
        World world = AfterCrash("0.0.0.0:5000", "0.0.0.0:5001");
        world.Now += TimeSpan.FromSeconds(11);
        world.Add("0.0.0.0:5002");
        world.Now += TimeSpan.FromSeconds(1);
        world.Mapper.Audit.Schedule(world.Now); // messages were lost once more
        world.Remove("0.0.0.0:5002");
        Assert.True(world.HasRow("0.0.0.0:5002"));
        world.AuditTwice(
            ("0.0.0.0:5000", EndpointUse.Listening), ("0.0.0.0:5001", EndpointUse.Listening),
            ("0.0.0.0:5002", EndpointUse.Listening));
        Assert.Equal(1, world.Row("0.0.0.0:5002").References);
        world.Remove("0.0.0.0:5000");
        Assert.False(world.HasRow("0.0.0.0:5000"));

        world.Mapper.Audit.Schedule(world.Now);
        world.Remove("0.0.0.0:5001");
        Assert.False(world.HasRow("0.0.0.0:5001"));
    }
}

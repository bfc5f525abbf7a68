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
        for (int i = 0; i < 2; i++)
        {
            world.Now += s_apart;
            world.Audit(null, ("10.0.0.1:5000", EndpointUse.Other), ("10.0.0.1:5000", EndpointUse.Other));
        }
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
        for (int i = 0; i < 2; i++)
        {
            world.Now += s_apart;
            world.Audit(null, ("0.0.0.0:5000", EndpointUse.Listening), ("0.0.0.0:5000", EndpointUse.Listening));
        }
        Assert.Equal(2, world.Row("0.0.0.0:5000").References);
    }

    [Fact]
    public void A_row_that_is_newer_than_the_gap_is_not_suspect()
    {
        World world = AfterCrash("10.0.0.1:5000");
        world.Now += TimeSpan.FromSeconds(1);
        world.Add("10.0.0.1:5001");
        for (int i = 0; i < 2; i++)
        {
            world.Now += s_apart;
            world.Audit(null);
        }
        Assert.True(world.HasRow("10.0.0.1:5001"));
        Assert.False(world.HasRow("10.0.0.1:5000"));
    }
}

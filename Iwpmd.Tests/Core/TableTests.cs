// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.State;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Core;

/// <summary>The tables against naive lists, with random operations of fixed seeds.</summary>
public class TableTests
{
    private static readonly InetEndpoint[] s_addresses =
        Array.ConvertAll(
            ["0.0.0.0:0", "10.0.0.1:0", "10.0.0.2:0", "[::]:0", "[fd00::1]:0", "[fe80::1%2]:0", "[fe80::1%3]:0"],
            text => InetEndpoint.Parse(text));

    [Fact]
    public void The_mapping_table_finds_what_a_list_finds()
    {
        var random = new Random(1);
        StateLayout state = StateLayout.InMemory(StateCapacity.For(64), World.Identity);
        var table = new MappingTable(state);
        Dictionary<int, MappingRow> model = [];
        for (int step = 0; step < 50_000; step++)
        {
            InetEndpoint local = s_addresses[random.Next(s_addresses.Length)].WithPort((ushort)random.Next(1, 20));
            if (step % 10_000 == 9_999)
            {
                table = new MappingTable(state); // the chains are rebuilt from the rows
            }
            if (random.Next(2) == 0 && !model.Values.Any(row => row.Local == local))
            {
                AddBoth(table, model, local, random.Next(4) == 0 ? MappingState.Fallback : MappingState.Held);
            }
            else if (model.Count > 0)
            {
                int slot = model.Keys.ElementAt(random.Next(model.Count));
                table.Remove(slot);
                model.Remove(slot);
            }
            AssertFindsTheSame(
                table, model, s_addresses[random.Next(s_addresses.Length)].WithPort((ushort)random.Next(1, 20)));
        }
    }

    private static void AddBoth(
        MappingTable table, Dictionary<int, MappingRow> model, InetEndpoint local, MappingState state)
    {
        var row = new MappingRow { Local = local, MappedPort = 40000, State = state };
        int slot = table.Add(row, TimeSpan.Zero);
        Assert.Equal(model.Count == 64, slot < 0);
        if (slot >= 0)
        {
            model.Add(slot, row);
        }
    }

    private static void AssertFindsTheSame(MappingTable table, Dictionary<int, MappingRow> model, InetEndpoint asked)
    {
        Assert.Equal(model.Count, table.Count);
        int exact = model.Where(e => e.Value.Local == asked).Select(e => e.Key).SingleOrDefault(-1);
        Assert.Equal(exact, table.FindExactLocal(asked));
        int[] hits = [.. model.Where(e => Overlaps(e.Value, asked)).Select(e => e.Key)];
        int found = table.FindByLocal(asked);
        Assert.True(hits.Contains(exact) ? found == exact : hits.Length == 0 ? found == -1 : hits.Contains(found));
    }

    private static bool Overlaps(in MappingRow row, InetEndpoint asked)
    {
        InetEndpoint local = row.Local;
        return row.State != MappingState.Fallback && local.Port == asked.Port && local.Family == asked.Family
            && (local == asked || local.IsWildcard || asked.IsWildcard);
    }

    [Fact]
    public void A_row_that_is_used_again_has_another_generation()
    {
        var table = new MappingTable(StateLayout.InMemory(StateCapacity.For(16), World.Identity));
        InetEndpoint local = InetEndpoint.Parse("10.0.0.1:5000");
        int first = table.Add(new MappingRow { Local = local, State = MappingState.Held }, TimeSpan.Zero);
        uint generation = table[first].Generation;
        table.Remove(first);
        int second = table.Add(new MappingRow { Local = local, State = MappingState.Held }, TimeSpan.Zero);
        Assert.Equal((first, generation + 1), (second, table[second].Generation));
    }

    [Fact]
    public void The_deadline_queue_gives_what_is_due_in_order_of_time()
    {
        var random = new Random(2);
        var queue = new DeadlineQueue(100);
        Dictionary<int, long> model = [];
        for (int step = 0; step < 50_000; step++)
        {
            int slot = random.Next(100);
            if (random.Next(3) > 0)
            {
                model[slot] = step % 500 < 250 ? random.Next(1000) : 1000 + (step / 50); // also one behind the other
                queue.Set(slot, new TimeSpan(model[slot]));
            }
            else
            {
                model.Remove(slot);
                queue.Remove(slot);
            }
            Assert.Equal(model.Count, queue.Count);
            Assert.Equal(model.Count == 0 ? TimeSpan.MaxValue.Ticks : model.Values.Min(), queue.Next.Ticks);
            int due = queue.PeekDue(new TimeSpan(500));
            Assert.True(
                due < 0 ? model.Values.All(at => at > 500) : model[due] == model.Values.Min() && model[due] <= 500);
        }
    }

    [Fact]
    public void Conversations_are_found_by_handle_and_leave_nothing_behind()
    {
        var random = new Random(3);
        // 32 of each role
        var conversations = new Conversations(StateLayout.InMemory(StateCapacity.For(16), World.Identity), secret: 1);
        Dictionary<ulong, int> model = [];
        for (int step = 0; step < 50_000; step++)
        {
            ulong handle = (ulong)random.Next(1, 200) << 40;
            if (model.TryGetValue(handle, out int known))
            {
                Assert.Equal(known, conversations.FindQuery(handle));
                conversations.Close(known);
                model.Remove(handle);
            }
            else if (model.Count < 32)
            {
                model[handle] = Open(conversations, handle, step);
            }
            Assert.Equal(-1, conversations.FindQuery(handle ^ 1));
            Assert.Equal(model.Count, conversations.Count);
        }
    }

    [Fact]
    public void Of_the_complete_conversations_the_oldest_is_evicted_first()
    {
        var conversations = new Conversations(StateLayout.InMemory(StateCapacity.For(16), World.Identity), secret: 1);
        int[] slots = [.. Enumerable.Range(1, 32).Select(h => Open(conversations, (ulong)h))];
        Assert.Equal(-1, Open(conversations, 65));
        conversations.Complete(slots[5], TimeSpan.FromSeconds(9));
        conversations.Complete(slots[3], TimeSpan.FromSeconds(9));
        conversations.Complete(slots[7], TimeSpan.FromSeconds(9));
        conversations.Close(slots[3]);
        Assert.True(Open(conversations, 66) >= 0); // the row that was closed
        Assert.True(Open(conversations, 67) >= 0);
        Assert.Equal((-1, -1), (conversations.FindQuery(6), conversations.FindQuery(4)));
        Assert.Equal(slots[7], conversations.FindQuery(8));
        Assert.True(Open(conversations, 68) >= 0);
        Assert.Equal(-1, conversations.FindQuery(8));
        Assert.Equal(-1, Open(conversations, 69));
    }

    private static int Open(Conversations conversations, ulong handle, long due = 0)
    {
        int slot = conversations.Take(ConversationRole.Querying);
        if (slot >= 0)
        {
            using (var change = conversations.Change(slot))
            {
                Assert.False(StateRow.Content(ref change.Row).ContainsAnyExcept(0u));
                (change.Row.Handle, change.Row.Role) = (handle, ConversationRole.Querying);
            }
            conversations.Open(slot, new TimeSpan(due));
        }
        return slot;
    }

    [Fact]
    public void The_peer_table_forgets_the_host_that_was_seen_longest_ago()
    {
        StateLayout state = StateLayout.InMemory(StateCapacity.For(16), World.Identity);
        var peers = new PeerTable(state);
        for (uint host = 0; host < 1000; host++)
        {
            peers.Missed(
                new InetEndpoint(IpFamily.V4, 0, 0x0a000000 + host, 3935), FallbackCause.NoAnswer, new TimeSpan(5000),
                new TimeSpan(host));
        }
        Assert.True(peers.IsUnreachable(new InetEndpoint(IpFamily.V4, 0, 0x0a000000 + 999, 1), new TimeSpan(4999)));
        Assert.False(peers.IsUnreachable(new InetEndpoint(IpFamily.V4, 0, 0x0a000000 + 999, 1), new TimeSpan(5000)));
        Assert.Equal(-1, peers.Find(new InetEndpoint(IpFamily.V4, 0, 0x0a000000, 0)));
        Assert.All(state.Peers.ToArray(), row => Assert.True(row.LastSeenAt.Ticks > 200));
    }

    [Fact]
    public void A_queue_keeps_its_order_while_it_grows()
    {
        var random = new Random(4);
        var fifo = new Fifo<int>(2);
        Queue<int> model = new();
        for (int step = 0; step < 20_000; step++)
        {
            if (model.Count == 0 || random.Next(100) < (step / 5000 % 2 == 0 ? 60 : 40))
            {
                fifo.Enqueue() = -1;
                fifo.TakeBack();
                fifo.Enqueue() = step;
                model.Enqueue(step);
                Assert.Equal(step, fifo.Last);
            }
            else
            {
                Assert.Equal(model.Dequeue(), fifo.Peek());
                fifo.Dequeue();
            }
            Assert.Equal(model.Count, fifo.Count);
        }
    }

    /// <summary>Of 16 that share a set it is the one whose bucket is full the longest.</summary>
    [Fact]
    public void A_source_takes_the_place_of_the_one_that_loses_least()
    {
        var sources = new SourceTable(16, secret: 1);
        var rate = TokenRate.Of(perSecond: 1, burst: 100);
        static InetEndpoint Host(uint number) => new(IpFamily.V4, 0, 0x0a000000 + number, 1);
        for (uint host = 1; host <= 16; host++)
        {
            ref Source source = ref sources.FindOrAdd(Host(host));
            for (uint taken = 0; taken <= (host + 6) % 16; taken++) // least of the tenth
            {
                Assert.True(source.Bucket.TryTake(rate, TimeSpan.FromSeconds(1)));
            }
        }
        Assert.True(IsNull(sources, Host(17)));
        Assert.Equal(0, sources.FindOrAdd(Host(17)).Bucket.FullAt);
        Assert.False(IsNull(sources, Host(17)));
        Assert.True(IsNull(sources, Host(10)));
        Assert.All(
            (uint[])[1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16],
            host => Assert.False(IsNull(sources, Host(host))));

        static bool IsNull(SourceTable sources, in InetEndpoint host) =>
            System.Runtime.CompilerServices.Unsafe.IsNullRef(ref sources.Find(host));
    }

    [Fact]
    public void The_peer_table_keeps_what_is_known_of_each_host()
    {
        StateLayout state = StateLayout.InMemory(StateCapacity.For(16), World.Identity);
        var peers = new PeerTable(state);
        InetEndpoint[] hosts =
            [.. Enumerable.Range(0, 20).Select(i => new InetEndpoint(IpFamily.V4, 0, (ulong)i, 3935))];
        Assert.Contains(hosts, host => PeerSet.First(state, host) == 0);
        foreach (InetEndpoint host in hosts)
        {
            peers.Correct(host, FallbackCause.NoRoute);
            Assert.Equal((-1, FallbackCause.None), (peers.Find(host), peers.LastCause(host)));
            Assert.False(peers.IsUnreachable(host, TimeSpan.Zero));

            Missed(host, FallbackCause.NoAnswer);
            Assert.True(peers.IsUnreachable(host, new TimeSpan(99)));
            Assert.False(peers.IsUnreachable(host, new TimeSpan(100)));
            Assert.Equal(FallbackCause.NoAnswer, peers.LastCause(host));
            peers.Correct(host, FallbackCause.NoRoute);
            peers.Correct(host, FallbackCause.Prohibited); // only what was not known
            Assert.Equal(FallbackCause.NoRoute, peers.LastCause(host));
            Missed(host, FallbackCause.AnswerDropped);
            Missed(host, FallbackCause.HostUnreachable);
            Answered(host, PeerMessageType.Accept, 300);
            Answered(host, PeerMessageType.Accept, 500);
            Answered(host, PeerMessageType.Reject, 400);
            PeerRow row = state.Peers[peers.Find(host)];
            Assert.Equal((2u, 1u, 2u, 1u), (row.Accepts, row.Rejects, row.Timeouts, row.Unreachables));
            Assert.Equal(
                (500u, 3u, FallbackCause.None, TimeSpan.Zero),
                (row.RoundTripWorst, row.RoundTripCount, row.LastCause, row.UnreachableUntil));
            Assert.Equal([300u, 500u, 400u], [row.RoundTrips[0], row.RoundTrips[1], row.RoundTrips[2]]);
            Assert.Single(state.Peers.ToArray(), one => one.Address.SameAddress(host) && one.LastSeenAt != default);
        }
        void Missed(in InetEndpoint host, FallbackCause cause) =>
            peers.Missed(host, cause, until: new TimeSpan(100), now: new TimeSpan(50));
        void Answered(in InetEndpoint host, PeerMessageType answer, int microseconds) =>
            peers.Answered(host, answer, TimeSpan.FromMicroseconds(microseconds), now: new TimeSpan(60));
    }

    [Fact]
    public void Each_host_is_asked_again_at_its_own_time_also_by_the_next_process()
    {
        StateLayout state = StateLayout.InMemory(StateCapacity.For(16), World.Identity);
        InetEndpoint soon = InetEndpoint.Parse("10.0.0.1:1"), later = InetEndpoint.Parse("10.0.0.2:1");
        var peers = new PeerTable(state);
        peers.Missed(soon, FallbackCause.NoAnswer, new TimeSpan(100), TimeSpan.Zero);
        peers.Missed(later, FallbackCause.NoAnswer, new TimeSpan(200), TimeSpan.Zero);
        foreach (PeerTable table in (PeerTable[])[peers, new PeerTable(state)])
        {
            Assert.True(table.IsUnreachable(soon, new TimeSpan(99)));
            Assert.False(table.IsUnreachable(soon, new TimeSpan(100)));
            Assert.True(table.IsUnreachable(later, new TimeSpan(199)));
        }
    }

    [Fact]
    public void A_conversation_that_is_completed_again_is_evicted_in_its_first_order()
    {
        var conversations = new Conversations(StateLayout.InMemory(StateCapacity.For(16), World.Identity), secret: 1);
        int[] slots = [.. Enumerable.Range(1, 32).Select(h => Open(conversations, (ulong)h))];
        foreach (int completed in (int[])[4, 9, 4, 9, 4])
        {
            conversations.Complete(slots[completed], TimeSpan.FromSeconds(9));
        }
        foreach (ulong evicted in (ulong[])[5, 10])
        {
            Assert.NotEqual(-1, conversations.FindQuery(evicted));
            Assert.True(Open(conversations, 100 + evicted) >= 0);
            Assert.Equal(-1, conversations.FindQuery(evicted));
        }
        Assert.Equal(-1, Open(conversations, 200));
    }

    [Fact]
    public void An_accept_is_found_by_its_own_handle_only()
    {
        var world = new World(mappings: 16);
        world.Add("0.0.0.0:7174");
        for (ulong handle = 1; handle <= 32; handle++)
        {
            world.Request("10.0.0.2:41111", "10.0.0.2:5001", "10.0.0.1:7174", handle);
        }
        InetEndpoint peer = InetEndpoint.Parse("10.0.0.2:41111"), connecting = InetEndpoint.Parse("10.0.0.2:5001");
        for (ulong handle = 1; handle <= 500; handle++)
        {
            int slot = world.Mapper.Conversations.FindAccept(peer, handle, connecting);
            Assert.Equal(handle <= 32 ? handle : 0, slot < 0 ? 0 : world.Mapper.Conversations[slot].Handle);
        }
    }

    [Fact]
    public void The_highest_port_is_mapped_like_any_other()
    {
        var world = new World();
        world.Add("10.0.0.1:65535");
        world.Add("10.0.0.1:65534");
        world.Remove("10.0.0.1:65535");
        Assert.False(world.HasRow("10.0.0.1:65535"));
        Assert.True(world.HasRow("10.0.0.1:65534"));
    }
}

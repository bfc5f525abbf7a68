// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;
using Iwpmd.State;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.State;

/// <summary>What a daemon continues with after an upgrade, another max_mappings, or damage to the state file.</summary>
public class MigrationTests
{
    private readonly StateLayout _old = Fresh(new StateCapacity(8, 8, 64)), _new = Fresh(StateCapacity.For(16));

    private static StateLayout Fresh(StateCapacity capacity) => StateLayout.InMemory(capacity, World.Identity);

    [Fact]
    public void Mappings_move_together_and_their_conversations_follow_them()
    {
        AddMapping(0, "10.0.0.1:5000");
        AddMapping(1, null); // one that was removed
        AddMapping(2, "10.0.0.1:5002");
        AddMapping(3, "10.0.0.1:5003");
        _old.Mappings[3].References++; // damaged: without a change
        AddMapping(4, "10.0.0.1:5004");
        int[] slots = [0, 1, 2, 3, 4, -1, 8];
        for (int i = 0; i < slots.Length; i++)
        {
            AddConversation(i, ConversationRole.Querying, slots[i], handle: (ulong)i + 1);
        }
        AddConversation(7, ConversationRole.None, 0, handle: 8);

        Assert.Equal(1, Copy());

        Assert.Equal(
            ["10.0.0.1:5000", "10.0.0.1:5002", "10.0.0.1:5004"],
            _new.Mappings.ToArray().Where(row => row.IsUsed).Select(row => row.Local.ToString()));
        Assert.Equal(3, _new.Header.MappingsHighWater);
        Assert.Equal(
            [(1ul, 0), (3ul, 1), (5ul, 2)],
            _new.Conversations.ToArray().Where(row => row.Handle != 0).Select(row => (row.Handle, row.Slot)));
        Assert.Equal(3, _new.Header.ConversationsHighWater);
        Assert.All(_new.Conversations.ToArray(), row => Assert.True(StateRow.IsSound(ref row)));
    }

    [Fact]
    public void A_damaged_conversation_is_left_out_and_what_is_behind_the_last_one()
    {
        AddMapping(0, "10.0.0.1:5000");
        AddConversation(0, ConversationRole.Querying, 0, handle: 1);
        AddConversation(1, ConversationRole.Accepting, 0, handle: 2);
        AddConversation(3, ConversationRole.Accepting, 0, handle: 4); // behind one that was never written
        _old.Conversations[0].Handle++;

        Copy();

        Assert.Equal((2ul, 1), (_new.Conversations[0].Handle, (int)_new.Header.ConversationsHighWater));
    }

    /// <summary>None of the kernel's mappings may be lost: the damaged ones come again, by its replay.</summary>
    [Fact]
    public void The_new_state_needs_room_for_each_mapping_that_is_used_or_damaged()
    {
        Assert.Equal(0, StateMigration.CountMappings(_old.Bytes, _old.Geometry));
        AddMapping(0, "10.0.0.1:5000");
        AddMapping(1, null);
        AddMapping(2, "10.0.0.1:5002");
        _old.Mappings[2].References++;
        AddMapping(3, "10.0.0.1:5003");
        Assert.Equal(3, StateMigration.CountMappings(_old.Bytes, _old.Geometry));

        AddMapping(7, "10.0.0.1:5007"); // behind one that was never written, where none can be
        Assert.Equal(3, StateMigration.CountMappings(_old.Bytes, _old.Geometry));
        Copy();
        Assert.Equal(2, _new.Header.MappingsHighWater);
    }

    [Fact]
    public void What_a_smaller_state_has_no_room_for_is_left_out()
    {
        StateLayout small = Fresh(new StateCapacity(1, 1, 8));
        for (int i = 0; i < 8; i++)
        {
            AddMapping(i, $"10.0.0.1:{5000 + i}");
            AddConversation(i, ConversationRole.Querying, 0, handle: (ulong)i + 1);
        }

        Assert.Equal(0, StateMigration.Copy(_old.Bytes, _old.Geometry, small));

        Assert.Equal((5000, 1L), (small.Mappings[0].Local.Port, small.Header.MappingsHighWater));
        Assert.Equal((1ul, 1L), (small.Conversations[0].Handle, small.Header.ConversationsHighWater));
    }

    [Fact]
    public void Peers_are_found_again_in_a_table_of_another_size()
    {
        StateLayout large = Fresh(new StateCapacity(8, 8, 1024));
        InetEndpoint[] peers = [.. Enumerable.Range(1, 16).Select(host => InetEndpoint.Parse($"10.0.0.{host}:0"))];
        foreach (InetEndpoint peer in peers)
        {
            using var change = new RowChange<PeerRow>(ref _old.Peers[PeerSet.Oldest(_old, peer)]);
            (change.Row.Address, change.Row.LastSeenAt) = (peer, new TimeSpan(1));
        }
        PeerRow[] known = [.. _old.Peers.ToArray().Where(row => row.Address.Port == 0 && row.LastSeenAt.Ticks == 1)];

        Assert.Equal(0, StateMigration.Copy(_old.Bytes, _old.Geometry, large));

        Assert.All(known, row => Assert.Contains(
            large.Peers.Slice(PeerSet.First(large, row.Address), PeerSet.Ways).ToArray(),
            found => found.Address == row.Address));
        Assert.Equal(known.Length, large.Peers.ToArray().Count(row => row.Address.Family != IpFamily.None));
    }

    [Fact]
    public void Rows_without_a_peer_displace_none()
    {
        InetEndpoint[] peers = [.. Enumerable.Range(1, 250).Select(host => InetEndpoint.Parse($"10.0.0.{host}:0"))
            .Where(peer => PeerSet.First(_old, peer) == 0).Take(PeerSet.Ways)];
        foreach (InetEndpoint peer in peers)
        {
            using var change = new RowChange<PeerRow>(ref _old.Peers[PeerSet.Oldest(_old, peer)]);
            (change.Row.Address, change.Row.LastSeenAt) = (peer, new TimeSpan(1));
        }

        Copy();

        Assert.Equal(PeerSet.Ways, peers.Length);
        Assert.Equal(peers, _new.Peers[..PeerSet.Ways].ToArray().Select(row => (InetEndpoint)row.Address));
    }

    [Theory]
    [InlineData(8)]
    [InlineData(0)]
    public void A_state_may_end_with_its_last_row(int conversations)
    {
        StateLayout old = Fresh(new StateCapacity(8, conversations, 0));
        foreach (ref MappingRow row in old.Mappings)
        {
            using var change = new RowChange<MappingRow>(ref row);
            change.Row.State = MappingState.Held;
        }
        foreach (ref ConversationRow row in old.Conversations)
        {
            using var change = new RowChange<ConversationRow>(ref row);
            change.Row.Handle = 1;
        }

        Assert.Equal(8, StateMigration.CountMappings(old.Bytes, old.Geometry));
        Assert.Equal(0, StateMigration.Copy(old.Bytes, old.Geometry, _new));
        Assert.Equal((8, 0), (_new.Header.MappingsHighWater, _new.Header.ConversationsHighWater));
    }

    [Fact]
    public void A_damaged_peer_is_left_out()
    {
        InetEndpoint peer = InetEndpoint.Parse("10.0.0.1:0");
        int slot = PeerSet.Oldest(_old, peer);
        using (var change = new RowChange<PeerRow>(ref _old.Peers[slot]))
        {
            change.Row.Address = peer;
        }
        _old.Peers[slot].Accepts++;

        Copy();

        Assert.DoesNotContain(_new.Peers.ToArray(), row => row.Address.Family != IpFamily.None);
    }

    [Fact]
    public void The_heartbeat_and_the_life_of_the_daemon_are_copied_and_the_identity_is_not()
    {
        ref StateHeader header = ref _old.Header;
        (header.StartedAt, header.SeenEmptyAt, header.EndedAt, header.ProcessId, header.PortId) =
            (new(1), new(2), new(3), 4, 5);
        header.Build = new FixedName("older");

        Copy();

        ref StateHeader copy = ref _new.Header;
        Assert.Equal(
            (1, 2, 3, 4, 5),
            (copy.StartedAt.Ticks, copy.SeenEmptyAt.Ticks, copy.EndedAt.Ticks, copy.ProcessId, copy.PortId));
        Assert.Equal(World.Identity.Build, copy.Build);
    }

    [Theory]
    [InlineData(2, 3)] // an earlier version counted less
    [InlineData(100, 64)] // a later one counts more
    public void Counters_and_clients_that_both_versions_know_are_copied(int counters, int clients)
    {
        StateGeometry geometry = _old.Geometry with { Counters = counters, Clients = clients };
        byte[] source = new byte[geometry.Length];
        for (int i = 0; i < counters; i++)
        {
            BitConverter.TryWriteBytes(source.AsSpan(geometry.CountersAt + (i * 8)), 1000ul + (ulong)i);
        }
        // what stands behind the clients looks like more of them
        Span<ClientRow> rows = MemoryMarshal.Cast<byte, ClientRow>(source.AsSpan(geometry.ClientsAt));
        foreach (ref ClientRow row in rows)
        {
            using var change = new RowChange<ClientRow>(ref row);
            change.Row.Abi = 4;
        }
        rows[1].Abi++; // damaged

        StateMigration.Copy(source, geometry, _new);

        int known = Math.Min(counters, 64);
        Assert.Equal(Enumerable.Range(0, known).Select(i => 1000ul + (ulong)i), _new.Counters[..known].ToArray());
        Assert.False(_new.Counters[known..].ContainsAnyExcept(0ul));
        Assert.Equal(
            Enumerable.Range(0, 64).Select(i => (ushort)(i < clients && i != 1 ? 4 : 0)),
            _new.Clients.ToArray().Select(row => row.Abi));
    }

    [Fact]
    public void Damaged_health_is_not_known()
    {
        using (var change = new RowChange<HealthRow>(ref _old.Health))
        {
            change.Row.ReservedPorts = 7;
        }
        Assert.True(StateMigration.TryReadHealth(_old.Bytes, _old.Geometry, out HealthRow health));
        Assert.Equal(7u, health.ReservedPorts);
        Copy();
        Assert.Equal(7u, _new.Health.ReservedPorts);

        _old.Health.ReservedPorts++;
        StateLayout next = Fresh(StateCapacity.For(16));
        Assert.False(StateMigration.TryReadHealth(_old.Bytes, _old.Geometry, out _));
        StateMigration.Copy(_old.Bytes, _old.Geometry, next);
        Assert.Equal(0u, next.Health.ReservedPorts);
    }

    /// <summary>Only the kernel knows whether the port of a dropped mapping is in use.</summary>
    [Theory]
    [InlineData(false, nameof(HandshakeState.Ready))]
    [InlineData(true, nameof(HandshakeState.None))]
    public void A_dropped_mapping_needs_a_handshake(bool isDamaged, string expected)
    {
        AddMapping(0, "10.0.0.1:5000");
        using (var change = new RowChange<HealthRow>(ref _old.Health))
        {
            change.Row.Kernel = HandshakeState.Ready;
        }
        _old.Mappings[0].References += isDamaged ? 1 : 0;

        Assert.Equal(isDamaged ? 1 : 0, StateMigration.Adopt(_old.Bytes, _old.Geometry, _new));
        Assert.Equal(expected, _new.Health.Kernel.ToString());
        Assert.True(StateRow.IsSound(ref _new.Health));
    }

    [Theory]
    [InlineData(56)]
    [InlineData(64)]
    [InlineData(72)]
    public void A_row_of_another_length_is_read_as_far_as_both_versions_know_it(int size)
    {
        byte[] table = new byte[3 * size];
        Span<uint> row = MemoryMarshal.Cast<byte, uint>(table.AsSpan(size, size));
        row[2..].Fill(0x01010101);
        (row[0], row[1]) = (2, StateRow.Checksum(row));

        Assert.True(StateMigration.TryRead(table, 0, size, 1, out MappingRow read, out bool isNeverWritten));
        Assert.False(isNeverWritten);
        Assert.Equal(0x01010101, read.References);
        Assert.Equal(size < 64 ? 0 : 0x0101010101010101, read.LastChangedAt.Ticks);
        Assert.True(StateRow.IsSound(ref read));

        Assert.True(StateMigration.TryRead(table, 0, size, 2, out read, out isNeverWritten));
        Assert.True(isNeverWritten);
        Assert.True(StateRow.IsNeverWritten(ref read));

        table[size + 20] ^= 1;
        Assert.False(StateMigration.TryRead(table, 0, size, 1, out read, out isNeverWritten));
        Assert.Equal((0, false), (read.References, isNeverWritten));
    }

    private int Copy() => StateMigration.Copy(_old.Bytes, _old.Geometry, _new);

    /// <summary>A used row, or without an address one that was emptied.</summary>
    private void AddMapping(int slot, string? local)
    {
        using var change = new RowChange<MappingRow>(ref _old.Mappings[slot]);
        if (local is not null)
        {
            (change.Row.Local, change.Row.State, change.Row.References) =
                (InetEndpoint.Parse(local), MappingState.Held, 1);
        }
    }

    private void AddConversation(int at, ConversationRole role, int slot, ulong handle)
    {
        using var change = new RowChange<ConversationRow>(ref _old.Conversations[at]);
        (change.Row.Role, change.Row.Slot, change.Row.Handle) = (role, slot, handle);
    }
}

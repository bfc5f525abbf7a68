// SPDX-License-Identifier: MIT
using Iwpmd.State;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.State;

/// <summary>The copy that the commands read.</summary>
public class SnapshotTests
{
    private static readonly string[] s_ordered =
    [
        "10.0.0.1:80", "10.0.0.1:5000", "10.0.0.2:1", "[::]:9", "[fd00::1]:8", "[fd00::2]:7", "[fd00:0:0:1::]:6",
        "[fe80::1%2]:5", "[fe80::1%3]:4", "[fe80::1%3]:5",
    ];

    private readonly StateLayout _state = StateLayout.InMemory(new StateCapacity(16, 8, 1024), World.Identity);

    [Fact]
    public void Mappings_and_peers_are_in_order_of_family_address_scope_and_port()
    {
        for (int i = 0; i < s_ordered.Length; i++)
        {
            using var change = new RowChange<MappingRow>(ref _state.Mappings[i]);
            (change.Row.Local, change.Row.State) =
                (InetEndpoint.Parse(s_ordered[(i * 3) % s_ordered.Length]), MappingState.Held);
        }
        InetEndpoint[] hosts = [.. s_ordered.Select(text => InetEndpoint.Parse(text).WithPort(0)).Distinct()];
        foreach (InetEndpoint host in hosts)
        {
            using var change = new RowChange<PeerRow>(ref _state.Peers[PeerSet.Oldest(_state, host)]);
            (change.Row.Address, change.Row.LastSeenAt) = (host, new TimeSpan(1));
        }

        StateSnapshot copy = Take();

        Assert.Equal(s_ordered, copy.Mappings.ToArray().Select(row => row.Local.ToString()));
        Assert.Equal(hosts, copy.Peers.ToArray().Select(row => (InetEndpoint)row.Address));
        Assert.Equal((16, 0), (copy.Capacity, copy.Unreadable));
    }

    [Fact]
    public void It_has_the_counters_clients_and_health_of_the_state_and_names_its_build()
    {
        _state.Counters[(int)Counter.Queries] = 7;
        using (var change = new RowChange<HealthRow>(ref _state.Health))
        {
            change.Row.ReservedPorts = 3;
        }
        using (var change = new RowChange<ClientRow>(ref _state.Clients[2]))
        {
            change.Row.Abi = 4;
        }
        _state.Header.ProcessId = 99;

        StateSnapshot copy = Take();

        Assert.Equal((7ul, 0ul), (copy.Counter(Counter.Queries), copy.Counter(Counter.Adds)));
        Assert.Equal((3u, 4, 99L), (copy.Health.ReservedPorts, copy.Clients[2].Abi, copy.Header.ProcessId));
        Assert.Equal((World.Identity.Build, World.Identity.BootId), (copy.Build, copy.Header.BootId));
    }

    [Fact]
    public void A_copy_has_room_for_all_peers_and_at_least_for_a_small_table()
    {
        Assert.Equal(new StateCapacity(16, 8, 1024), StateSnapshot.CapacityFor(_state.Geometry));
        Assert.Equal(
            new StateCapacity(16, 8, 64), StateSnapshot.CapacityFor(_state.Geometry with { Peers = 8 }));
    }

    /// <summary>The memory of the copy is used again by each look.</summary>
    [Fact]
    public void A_second_copy_has_nothing_of_the_first()
    {
        using (var change = new RowChange<MappingRow>(ref _state.Mappings[0]))
        {
            (change.Row.Local, change.Row.State) = (InetEndpoint.Parse("10.0.0.1:80"), MappingState.Held);
        }
        StateLayout memory = Memory();
        Assert.Equal(1, Take(memory).Mappings.Length);
        using (var change = new RowChange<MappingRow>(ref _state.Mappings[0]))
        {
            change.Clear();
        }

        Assert.Equal(0, Take(memory).Mappings.Length);
        Assert.False(memory.Mappings[0].IsUsed);
    }

    private StateLayout Memory() =>
        StateLayout.InMemory(StateSnapshot.CapacityFor(_state.Geometry), World.Identity);

    private StateSnapshot Take() => Take(Memory());

    private StateSnapshot Take(StateLayout memory)
    {
        Assert.True(StateSnapshot.TryTake(_state.Bytes, _state.Geometry, memory, out StateSnapshot? copy));
        return copy;
    }
}

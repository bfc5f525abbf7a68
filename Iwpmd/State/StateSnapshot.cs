// SPDX-License-Identifier: MIT
using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;
using Iwpmd.Wire;

namespace Iwpmd.State;

/// <summary>
/// A copy of a state of any geometry in memory of the reader, each row as of one moment; the used rows are in order of
/// their addresses. The state may change meanwhile: a mapping that changes all the time, or is damaged, is counted and
/// left out.
/// </summary>
internal sealed class StateSnapshot
{
    private readonly StateLayout _copy;
    private readonly int _peers;

    private StateSnapshot(StateLayout memory, FixedName build, int unreadable)
    {
        (_copy, Build, Unreadable) = (memory, build, unreadable);
        Mappings.Sort(static (one, other) => Compare(one.Local, other.Local));
        foreach (ref PeerRow peer in memory.Peers)
        {
            if (peer.Address.Family != IpFamily.None)
            {
                memory.Peers[_peers++] = peer;
            }
        }
        Peers.Sort(static (one, other) => Compare(one.Address, other.Address));
    }

    /// <summary>The version of the daemon that uses the state.</summary>
    public FixedName Build { get; }

    public ref readonly StateHeader Header => ref _copy.Header;

    public ref readonly HealthRow Health => ref _copy.Health;

    /// <summary>By the number of the client; a client that did not register is zeros.</summary>
    public ReadOnlySpan<ClientRow> Clients => _copy.Clients;

    public Span<MappingRow> Mappings => _copy.Mappings[..(int)_copy.Header.MappingsHighWater];

    public Span<PeerRow> Peers => _copy.Peers[.._peers];

    public int Capacity => _copy.Geometry.Mappings;

    public int Unreadable { get; }

    public ulong Counter(Counter counter) => _copy.Counters[(int)counter];

    /// <summary>The capacity that a copy needs.</summary>
    public static StateCapacity CapacityFor(in StateGeometry geometry) =>
        new(geometry.Mappings, geometry.Conversations, Math.Max(geometry.Peers, StateCapacity.For(0).Peers));

    /// <summary>
    /// Copies into <paramref name="memory"/>, which is large enough; false when another state was created meanwhile.
    /// </summary>
    public static bool TryTake(
        ReadOnlySpan<byte> state, in StateGeometry geometry, StateLayout memory,
        [NotNullWhen(true)] out StateSnapshot? copy)
    {
        StateHeader before = MemoryMarshal.Read<StateHeader>(state);
        memory.Bytes.Clear();
        memory.Format(new StateIdentity(before.BootId, before.Build));
        int unreadable = StateMigration.Copy(state, geometry, memory);
        StateHeader after = MemoryMarshal.Read<StateHeader>(state);
        copy = before.Checksum == after.Checksum && before.StartedAt == after.StartedAt
            ? new StateSnapshot(memory, after.Build, unreadable)
            : null;
        return copy is not null;
    }

    private static int Compare(in InetEndpoint one, in InetEndpoint other)
    {
        int order = one.Family.CompareTo(other.Family);
        order = order != 0 ? order : one.High.CompareTo(other.High);
        order = order != 0 ? order : one.Low.CompareTo(other.Low);
        order = order != 0 ? order : one.Scope.CompareTo(other.Scope);
        return order != 0 ? order : one.Port.CompareTo(other.Port);
    }
}

// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Iwpmd.State;

/// <summary>
/// Copies a state of another geometry into a new one: other numbers of rows (max_mappings was changed) or rows of other
/// lengths (another version). The end of a longer row is left out, the rest of a shorter one is zeros, which every
/// version reads as "not known". The source may be in use by its daemon.
/// </summary>
internal static class StateMigration
{
    private const int ReadTries = 1000;

    /// <summary>
    /// How many mappings the state has, damaged rows included, since the kernel may name theirs again: the new state
    /// needs at least so many rows.
    /// </summary>
    public static int CountMappings(ReadOnlySpan<byte> source, in StateGeometry geometry)
    {
        int count = 0;
        for (int i = 0; i < geometry.Mappings; i++)
        {
            bool isWhole = TryRead(
                source, geometry.MappingsAt, geometry.MappingSize, i, out MappingRow row, out bool isNeverWritten);
            if (!isWhole || row.IsUsed)
            {
                count++;
            }
            if (isNeverWritten)
            {
                break;
            }
        }
        return count;
    }

    public static bool TryReadHealth(ReadOnlySpan<byte> source, in StateGeometry geometry, out HealthRow health) =>
        TryRead(source, geometry.HeaderSize, geometry.HealthSize, 0, out health, out _);

    /// <summary>
    /// As <see cref="Copy"/>, for a daemon that continues with <paramref name="target"/>. Only the kernel knows whether
    /// the port of a dropped mapping is in use, so a handshake is required.
    /// </summary>
    public static int Adopt(ReadOnlySpan<byte> source, in StateGeometry geometry, StateLayout target)
    {
        int dropped = Copy(source, geometry, target);
        if (dropped > 0)
        {
            using var change = new RowChange<HealthRow>(ref target.Health);
            change.Row.Kernel = HandshakeState.None;
        }
        return dropped;
    }

    /// <summary>
    /// Copies everything into <paramref name="target"/>, which is new and large enough. Rows that are damaged are left
    /// out; returns how many of them were mappings.
    /// </summary>
    public static int Copy(ReadOnlySpan<byte> source, in StateGeometry geometry, StateLayout target)
    {
        CopyHeader(source, target);
        if (TryReadHealth(source, geometry, out HealthRow health))
        {
            target.Health = health;
        }
        ReadOnlySpan<ulong> counters = MemoryMarshal.Cast<byte, ulong>(
            source.Slice(geometry.CountersAt, geometry.Counters * sizeof(ulong)));
        counters[..Math.Min(counters.Length, target.Counters.Length)].CopyTo(target.Counters);
        for (int i = 0; i < Math.Min(geometry.Clients, target.Clients.Length); i++)
        {
            if (TryRead(source, geometry.ClientsAt, geometry.ClientSize, i, out ClientRow client, out _))
            {
                target.Clients[i] = client;
            }
        }
        var slots = new int[geometry.Mappings];
        int dropped = CopyMappings(source, geometry, target, slots);
        CopyConversations(source, geometry, target, slots);
        for (int i = 0; i < geometry.Peers; i++)
        {
            if (TryRead(source, geometry.PeersAt, geometry.PeerSize, i, out PeerRow peer, out _)
                && peer.Address.Family != Wire.IpFamily.None)
            {
                target.Peers[PeerSet.Oldest(target, peer.Address)] = peer;
            }
        }
        return dropped;
    }

    /// <summary>The fields that change while the daemon runs; those that are written once stay the target's.</summary>
    private static void CopyHeader(ReadOnlySpan<byte> source, StateLayout target)
    {
        StateHeader from = MemoryMarshal.Read<StateHeader>(source);
        ref StateHeader to = ref target.Header;
        (to.StartedAt, to.SeenEmptyAt, to.EndedAt, to.ProcessId, to.PortId) =
            (from.StartedAt, from.SeenEmptyAt, from.EndedAt, from.ProcessId, from.PortId);
    }

    /// <summary><paramref name="slots"/>: slot + 1 in the target of each row of the source, 0 is none.</summary>
    private static int CopyMappings(
        ReadOnlySpan<byte> source, in StateGeometry geometry, StateLayout target, int[] slots)
    {
        int dropped = 0, count = 0;
        for (int i = 0; i < geometry.Mappings && count < target.Mappings.Length; i++)
        {
            bool isWhole = TryRead(
                source, geometry.MappingsAt, geometry.MappingSize, i, out MappingRow row, out bool isNeverWritten);
            if (!isWhole)
            {
                dropped++;
            }
            else if (row.IsUsed)
            {
                target.Mappings[count++] = row;
                slots[i] = count;
            }
            if (isNeverWritten)
            {
                break;
            }
        }
        target.Header.MappingsHighWater = count;
        return dropped;
    }

    private static void CopyConversations(
        ReadOnlySpan<byte> source, in StateGeometry geometry, StateLayout target, int[] slots)
    {
        int count = 0;
        for (int i = 0; i < geometry.Conversations && count < target.Conversations.Length; i++)
        {
            bool isWhole = TryRead(
                source, geometry.ConversationsAt, geometry.ConversationSize, i, out ConversationRow row,
                out bool isNeverWritten);
            if (isNeverWritten)
            {
                break;
            }
            if (!isWhole || row.Role == ConversationRole.None || (uint)row.Slot >= (uint)slots.Length
                || slots[row.Slot] == 0)
            {
                continue;
            }
            row.Slot = slots[row.Slot] - 1;
            StateRow.StoredChecksum(ref row) = StateRow.Checksum(ref row);
            target.Conversations[count++] = row;
        }
        target.Header.ConversationsHighWater = count;
    }

    /// <summary>
    /// A whole row in the layout of this version, with a new checksum; false when it is damaged or changes all the
    /// time.
    /// </summary>
    public static bool TryRead<T>(
        ReadOnlySpan<byte> source, long tableAt, int size, int index, out T row, out bool isNeverWritten)
        where T : unmanaged, IStateRow
    {
        Span<uint> copy = stackalloc uint[size / sizeof(uint)];
        ReadOnlySpan<uint> live = MemoryMarshal.Cast<byte, uint>(
            source.Slice(checked((int)(tableAt + ((long)index * size))), size));
        row = default;
        isNeverWritten = false;
        for (int i = 0; i < ReadTries; i++)
        {
            uint before = Volatile.Read(in live[0]);
            live.CopyTo(copy);
            Interlocked.MemoryBarrier();
            if (before != Volatile.Read(in live[0]) || !StateRow.IsSound(copy))
            {
                continue;
            }
            isNeverWritten = !copy.ContainsAnyExcept(0u);
            ReadOnlySpan<byte> known = MemoryMarshal.AsBytes(copy)[..Math.Min(size, Unsafe.SizeOf<T>())];
            known.CopyTo(MemoryMarshal.AsBytes(new Span<T>(ref row)));
            if (!isNeverWritten)
            {
                StateRow.StoredChecksum(ref row) = StateRow.Checksum(ref row);
            }
            return true;
        }
        return false;
    }
}

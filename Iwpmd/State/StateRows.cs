// SPDX-License-Identifier: MIT
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Iwpmd.Wire;

namespace Iwpmd.State;

/// <summary>
/// A row that another process may read while it changes: it begins with a sequence (odd during a change) and a checksum
/// of all that follows these two.
/// </summary>
internal interface IStateRow;

/// <summary>The state of a row and of its mapped port.</summary>
internal enum MappingState : byte
{
    /// <summary>The row is empty.</summary>
    Free = 0,

    /// <summary>Its port is bound.</summary>
    Held = 1,

    /// <summary>NO_PORT_MAP: nothing is bound, mapped equals local.</summary>
    Advertised = 2,

    /// <summary>The kernel continues unmapped: nothing is bound, the row waits for its REMOVEs.</summary>
    Fallback = 3,

    /// <summary>The kernel uses a port that could not be bound; the claim is tried again.</summary>
    Unprotected = 4,
}

/// <summary>What the kernel requested a mapping for.</summary>
internal enum MappingPurpose : byte
{
    /// <summary>From a replay, which does not tell.</summary>
    Unknown = 0,
    Listening = 1,
    Connecting = 2,
}

/// <summary>
/// One mapping: 64 bytes. Only the port is mapped, so the mapped address is the local one with another port. Times are
/// CLOCK_BOOTTIME.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
internal struct MappingRow : IStateRow
{
    public uint Sequence, Checksum;
    public InetEndpoint Local;
    public ushort MappedPort;
    public MappingState State;
    public byte Client;
    public ushort Flags;
    public MappingPurpose Purpose;

    /// <summary>Of a device with mapped ports and of one without: only that which listened first is reached.</summary>
    public bool IsOfTwoClasses;
    public int References;
    public uint Generation;
    public TimeSpan CreatedAt, LastChangedAt;

    public readonly bool IsUsed => State != MappingState.Free;

    /// <summary>Mapped to its own port, which is bound or is to be bound.</summary>
    public readonly bool IsKept => State is MappingState.Held or MappingState.Unprotected && MappedPort == Local.Port;

    public readonly InetEndpoint Mapped => ((InetEndpoint)Local).WithPort(MappedPort);
}

/// <summary>A netlink client that registered: 128 bytes, its index is the client's number.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
internal struct ClientRow : IStateRow
{
    public uint Sequence, Checksum;
    public ushort Abi;
    public bool IsRegistered;
    private readonly byte _unused;
    public uint HelloSequence;
    public TimeSpan RegisteredAt;
    public FixedName Device, Interface, Library;
    private readonly ulong _unused2;
}

internal enum ConversationRole : byte
{
    None = 0,

    /// <summary>We asked the peer for the kernel.</summary>
    Querying = 1,

    /// <summary>The peer asked us.</summary>
    Accepting = 2,
}

/// <summary>To whose credit REMOTE_INFO was sent before the peer's Ack.</summary>
internal enum RemoteInfoCredit : byte
{
    /// <summary>It waits for the Ack.</summary>
    None = 0,

    /// <summary>The host is validated.</summary>
    OfHost = 1,
    OfMapping = 2,
}

/// <summary>A query or an accept in flight, or a complete one that still answers copies: 192 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
internal struct ConversationRow : IStateRow
{
    public uint Sequence, Checksum;
    public ulong Handle;

    /// <summary>The other port mapper: whom we ask, or the source of the Request.</summary>
    public InetEndpoint Peer;

    /// <summary>Querying: the remote endpoint that the kernel asked for. Accepting: the connecting endpoint.</summary>
    public InetEndpoint Remote;

    /// <summary>
    /// Accepting: the endpoint that was asked for, and the mapped connecting one. Querying: the source of an answer
    /// that was dropped, if any.
    /// </summary>
    public InetEndpoint Asked, Mapped;

    public int Slot;
    public uint Generation;
    public uint KernelSequence;
    public ConversationRole Role;
    public byte Client;

    /// <summary>True when the query was answered, or the Ack has come.</summary>
    public bool IsComplete;

    /// <summary>Accepting: the credit of its REMOTE_INFO.</summary>
    public RemoteInfoCredit RemoteInfo;
    private readonly long _unused2;
    public TimeSpan AnswerBy, Deadline, LastSentAt;

    /// <summary>Querying: 1 when its deadline passed without an answer.</summary>
    public ulong FellBack;
    private readonly ulong _unused3, _unused4, _unused5;
}

/// <summary>
/// A host whose port mapper was asked: 128 bytes. Round trips are in microseconds, the newest overwrites the oldest.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
internal struct PeerRow : IStateRow
{
    public uint Sequence, Checksum;
    public InetEndpoint Address;
    public TimeSpan LastSeenAt, UnreachableUntil;
    public uint Accepts, Rejects, Timeouts, Unreachables;
    public uint RoundTripCount, RoundTripWorst;
    public RoundTripSamples RoundTrips;

    /// <summary>Why it did not answer the last time; none if it did.</summary>
    public FallbackCause LastCause;
    private readonly byte _unused;
    private readonly ushort _unused2;
    private readonly uint _unused3;

    [InlineArray(Length)]
    internal struct RoundTripSamples
    {
        public const int Length = 12;
        private uint _first;
    }
}

/// <summary>
/// A change of one row, from construction to disposal: <c>using (var change = table.Change(slot))
/// change.Row.References++;</c> Meanwhile the sequence is odd; the checksum is set at the end. A reader in another
/// process tries again.
/// </summary>
internal readonly ref struct RowChange<T>
    where T : unmanaged, IStateRow
{
    public readonly ref T Row;

    public RowChange(ref T row)
    {
        Row = ref row;
        StateRow.Begin(ref row);
    }

    /// <summary>Writes the whole row, all but its sequence.</summary>
    public void Replace(in T values) => StateRow.Content(ref Unsafe.AsRef(in values)).CopyTo(StateRow.Content(ref Row));

    /// <summary>Empties the whole row, all but its sequence.</summary>
    public void Clear() => StateRow.Content(ref Row).Clear();

    public void Dispose() => StateRow.End(ref Row, StateRow.Checksum(ref Row));
}

/// <summary>Sequence and checksum of any row.</summary>
internal static class StateRow
{
    public static ref uint Sequence<T>(ref T row)
        where T : unmanaged, IStateRow => ref Words(ref row)[0];

    public static ref uint StoredChecksum<T>(ref T row)
        where T : unmanaged, IStateRow => ref Words(ref row)[1];

    public static uint Checksum<T>(ref T row)
        where T : unmanaged, IStateRow => Checksum(Words(ref row));

    /// <summary>
    /// True when no change was under way and the checksum is right; a row of zeros, never written, counts as sound.
    /// </summary>
    public static bool IsSound<T>(ref T row)
        where T : unmanaged, IStateRow => IsSound(Words(ref row));

    /// <summary>The same for a row of another version's size, a multiple of eight bytes.</summary>
    public static bool IsSound(ReadOnlySpan<uint> row) =>
        (row[0] & 1) == 0 && (row[1] == Checksum(row) || !row.ContainsAnyExcept(0u));

    /// <summary>
    /// True for a row that was never written. Those are the last ones: slots are first used in order.
    /// </summary>
    public static bool IsNeverWritten<T>(ref T row)
        where T : unmanaged, IStateRow => !Words(ref row).ContainsAnyExcept(0u);

    /// <summary>Empties rows that an earlier process left half written, or that were damaged since.</summary>
    public static void DropUnsound<T>(Span<T> rows)
        where T : unmanaged, IStateRow
    {
        foreach (ref T row in rows)
        {
            if (!IsSound(ref row))
            {
                row = default;
            }
        }
    }

    /// <summary>Empties a row in a change, without computing a checksum that is known.</summary>
    public static void Clear<T>(ref T row, uint checksumOfZeros)
        where T : unmanaged, IStateRow
    {
        Begin(ref row);
        Content(ref row).Clear();
        End(ref row, checksumOfZeros);
    }

    /// <summary>From here to <see cref="End"/> a reader in another process tries again.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Begin<T>(ref T row)
        where T : unmanaged, IStateRow
    {
        ref uint sequence = ref Sequence(ref row);
        Volatile.Write(ref sequence, sequence | 1);
        Interlocked.MemoryBarrier();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void End<T>(ref T row, uint checksum)
        where T : unmanaged, IStateRow
    {
        StoredChecksum(ref row) = checksum;
        ref uint sequence = ref Sequence(ref row);
        Volatile.Write(ref sequence, sequence + 1);
    }

    public static uint Checksum(ReadOnlySpan<uint> row)
    {
        // Not CRC-32: without the processor's instruction, which cannot be assumed, it was the most costly part of a
        // request.
        ulong hash = 0xcbf29ce484222325;
        ReadOnlySpan<ulong> parts = MemoryMarshal.Cast<uint, ulong>(row[2..]);
        for (; parts.Length >= 4; parts = parts[4..])
        {
            ReadOnlySpan<ulong> four = parts[..4]; // a constant length: none of the four is checked
            hash = Mix(Mix(Mix(Mix(hash, four[0]), four[1]), four[2]), four[3]);
        }
        foreach (ulong part in parts)
        {
            hash = Mix(hash, part);
        }
        return (uint)(hash ^ (hash >> 32));
    }

    private static ulong Mix(ulong hash, ulong part) =>
        BitOperations.RotateLeft((hash ^ part) * 0x9e3779b97f4a7c15, 29);

    /// <summary>What is behind sequence and checksum.</summary>
    public static Span<uint> Content<T>(ref T row)
        where T : unmanaged, IStateRow => Words(ref row)[2..];

    private static Span<uint> Words<T>(ref T row)
        where T : unmanaged, IStateRow => MemoryMarshal.Cast<T, uint>(MemoryMarshal.CreateSpan(ref row, 1));
}

// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Iwpmd.Wire;

namespace Iwpmd.State;

/// <summary>How many rows of each kind there are; fixed when the state is created.</summary>
internal readonly record struct StateCapacity(int Mappings, int Conversations, int Peers)
{
    public const int Clients = 64; // the number of a netlink client has 6 bits
    public const int Counters = 64;

    /// <summary>The other tables follow the number of mappings: a small host has a small state.</summary>
    public static StateCapacity For(int mappings) =>
        new(mappings, Math.Clamp(mappings / 8, 64, 8192), Math.Clamp(mappings / 16, 64, 1024));
}

/// <summary>The boot and the build of a state: it is used only during the same boot.</summary>
internal readonly record struct StateIdentity(Guid BootId, FixedName Build);

/// <summary>
/// The beginning of the state, 512 bytes. The fields up to <see cref="Checksum"/> are written once; those behind it
/// change one by one, eight bytes each so that no reader sees half of one. Times are CLOCK_BOOTTIME.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
internal struct StateHeader
{
    public ulong Magic;
    public uint Version, HeaderSize;
    public int Mappings, Clients, Conversations, Peers, Counters;
    public ushort MappingSize, ClientSize, ConversationSize, PeerSize, HealthSize;
    public ushort Reserved;
    public Guid BootId;
    public ulong Checksum;

    /// <summary>The version of the daemon that uses it, or used it last.</summary>
    public FixedName Build;

    public TimeSpan StartedAt;

    private long _seenEmptyAt;

    /// <summary>Zero while the daemon runs; when it stopped.</summary>
    public TimeSpan EndedAt;

    public long ProcessId;
    public long PortId;

    /// <summary>Rows from this one on were never used.</summary>
    public long MappingsHighWater, ConversationsHighWater;

    private long _seenEmptyInverse;

    /// <summary>
    /// No request in the netlink socket is older: the bound of the age of each, renewed every two seconds at least.
    /// Stored twice, since a damaged one could crash the kernel: when they differ the older one counts.
    /// </summary>
    public TimeSpan SeenEmptyAt
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        readonly get => new(Math.Min(_seenEmptyAt, ~_seenEmptyInverse));
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        set => (_seenEmptyInverse, _seenEmptyAt) = (~value.Ticks, value.Ticks);
    }
}

/// <summary>
/// How many rows of each kind a state has and how long they are, by its header: enough to find each row, also in the
/// layout of another version. The parts follow one another.
/// </summary>
internal readonly record struct StateGeometry(
    int HeaderSize, int HealthSize, int Counters, int Clients, int ClientSize, int Mappings, int MappingSize,
    int Conversations, int ConversationSize, int Peers, int PeerSize)
{
    private const int MaxRows = 1 << 20, MaxRowSize = 4096;

    public StateGeometry(in StateHeader header)
        : this(
            (int)header.HeaderSize, header.HealthSize, header.Counters, header.Clients, header.ClientSize,
            header.Mappings, header.MappingSize, header.Conversations, header.ConversationSize, header.Peers,
            header.PeerSize)
    {
    }

    public int CountersAt => HeaderSize + HealthSize;

    public int ClientsAt => CountersAt + (Counters * sizeof(ulong));

    public int MappingsAt => ClientsAt + (Clients * ClientSize);

    public long ConversationsAt => MappingsAt + ((long)Mappings * MappingSize);

    public long PeersAt => ConversationsAt + ((long)Conversations * ConversationSize);

    public long Length => PeersAt + ((long)Peers * PeerSize);

    /// <summary>False when no version can have made it.</summary>
    public bool IsPlausible =>
        HeaderSize >= Unsafe.SizeOf<StateHeader>() && HeaderSize <= MaxRowSize && IsRow(HealthSize)
        && Counters is >= 0 and <= StateCapacity.Counters * 16 && Clients is >= 0 and <= StateCapacity.Clients
        && Mappings is >= 0 and <= MaxRows && Conversations is >= 0 and <= MaxRows && Peers is >= 0 and <= MaxRows
        && IsRow(ClientSize) && IsRow(MappingSize) && IsRow(ConversationSize) && IsRow(PeerSize);

    private static bool IsRow(int size) => size is >= 16 and <= MaxRowSize && size % sizeof(ulong) == 0;
}

/// <summary>
/// The layout of the memory that outlives the process: where each part is, and whether its content is valid. It does
/// not know where the memory comes from.
/// <code>
///  0      header (512)      magic, layout, sizes, boot id, build | heartbeat, process, port id
///  512    health (464), counters (64 * 8)
///  1488   clients (64 * 128)
///         mappings, conversations, peers, one after the other
/// </code>
/// Chains and free lists are not in it: they are rebuilt at start. A later version may have longer rows, with new
/// fields at the end, and other numbers of them: <see cref="StateMigration"/> reads both ways. A changed meaning of a
/// field needs another <see cref="Version"/>.
/// </summary>
internal sealed unsafe class StateLayout
{
    public const uint Version = 1;
    private const ulong Magic = 0x31444d5057490a1a; // "\x1a\nIWPMD1"
    private const int HeaderSize = 512;

    private readonly byte* _base, _counters, _clients, _mappings, _conversations, _peers;
    private readonly StateGeometry _geometry;
    private readonly byte[]? _array; // keeps the memory of an in-process state alive

    /// <summary>
    /// The state at <paramref name="address"/>, which must have <see cref="SizeOf"/> bytes and not move.
    /// </summary>
    public StateLayout(nint address, StateCapacity capacity)
    {
        _base = (byte*)address;
        _geometry = GeometryOf(capacity);
        _counters = _base + _geometry.CountersAt;
        _clients = _base + _geometry.ClientsAt;
        _mappings = _base + _geometry.MappingsAt;
        _conversations = _base + _geometry.ConversationsAt;
        _peers = _base + _geometry.PeersAt;
    }

    private StateLayout(byte[] pinned, StateCapacity capacity)
        : this((nint)Unsafe.AsPointer(ref MemoryMarshal.GetArrayDataReference(pinned)), capacity) => _array = pinned;

    public StateGeometry Geometry => _geometry;

    /// <summary>Nothing but its header was ever written: there is no row to be read.</summary>
    public bool IsNew { get; init; }

    public static long SizeOf(StateCapacity capacity) => GeometryOf(capacity).Length;

    public static StateGeometry GeometryOf(StateCapacity capacity) => new(
        HeaderSize, sizeof(HealthRow), StateCapacity.Counters, StateCapacity.Clients, sizeof(ClientRow),
        capacity.Mappings, sizeof(MappingRow), capacity.Conversations, sizeof(ConversationRow), capacity.Peers,
        sizeof(PeerRow));

    /// <summary>A formatted state that ends with the process.</summary>
    public static StateLayout InMemory(StateCapacity capacity, StateIdentity identity)
    {
        var state = new StateLayout(GC.AllocateArray<byte>((int)SizeOf(capacity), pinned: true), capacity);
        state.Format(identity);
        return state;
    }

    public ref StateHeader Header => ref *(StateHeader*)_base;

    public ref HealthRow Health => ref *(HealthRow*)(_base + HeaderSize);

    public Span<ulong> Counters
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => new(_counters, StateCapacity.Counters);
    }

    public Span<ClientRow> Clients => new(_clients, _geometry.Clients);

    public Span<MappingRow> Mappings
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => MemoryMarshal.CreateSpan(ref *(MappingRow*)_mappings, _geometry.Mappings);
    }

    public Span<ConversationRow> Conversations
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => MemoryMarshal.CreateSpan(ref *(ConversationRow*)_conversations, _geometry.Conversations);
    }

    public Span<PeerRow> Peers
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => new(_peers, _geometry.Peers);
    }

    /// <summary>The whole memory.</summary>
    public Span<byte> Bytes => new(_base, checked((int)Geometry.Length));

    /// <summary>
    /// Writes the header of a new state. The memory must be zeros, so that unused pages are never written.
    /// </summary>
    public void Format(StateIdentity identity)
    {
        Header = new StateHeader
        {
            Magic = Magic,
            Version = Version,
            HeaderSize = HeaderSize,
            Mappings = Geometry.Mappings,
            Clients = Geometry.Clients,
            Conversations = Geometry.Conversations,
            Peers = Geometry.Peers,
            Counters = Geometry.Counters,
            MappingSize = (ushort)Geometry.MappingSize,
            ClientSize = (ushort)Geometry.ClientSize,
            ConversationSize = (ushort)Geometry.ConversationSize,
            PeerSize = (ushort)Geometry.PeerSize,
            HealthSize = (ushort)Geometry.HealthSize,
            BootId = identity.BootId,
            Build = identity.Build,
        };
        Header.Checksum = HeaderChecksum(Bytes);
    }

    /// <summary>Marks it as unusable.</summary>
    public void Invalidate() => Header.Magic = 0;

    /// <summary>
    /// Null when <paramref name="bytes"/> are a state of this boot whose rows can be found by
    /// <paramref name="geometry"/>; else why it is not usable.
    /// </summary>
    public static string? WhyUnusable(ReadOnlySpan<byte> bytes, Guid bootId, out StateGeometry geometry)
    {
        geometry = default;
        if (bytes.Length < sizeof(StateHeader))
        {
            return "it is too short";
        }
        StateHeader header = MemoryMarshal.Read<StateHeader>(bytes);
        geometry = new StateGeometry(header);
        return header.Magic != Magic ? "it is not a state of iwpmd"
            : header.Version != Version ? $"its layout is version {header.Version}, this iwpmd has {Version}"
            : header.Checksum != HeaderChecksum(bytes) || !geometry.IsPlausible ? "its header is damaged"
            : header.BootId != bootId ? "it was written before the last boot"
            : geometry.Length > bytes.Length ? $"it has {bytes.Length} bytes of {geometry.Length}"
            : null;
    }

    /// <summary>FNV-1a over the fields that are written once.</summary>
    public static ulong HeaderChecksum(ReadOnlySpan<byte> header)
    {
        StateHeader any;
        ulong hash = 0xcbf29ce484222325;
        foreach (byte part in header[..(int)((byte*)&any.Checksum - (byte*)&any)])
        {
            hash = (hash ^ part) * 0x100000001b3;
        }
        return hash;
    }
}

using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Iwpmd.Wire;

namespace Iwpmd.Core;

/// <summary>How many rows of each kind there are; fixed when the state is made.</summary>
internal readonly record struct StateCapacity(int Mappings, int Conversations, int Peers)
{
    public const int Clients = 64; // the number of a netlink client has 6 bits
    public const int Counters = 64;

    /// <summary>The other tables follow the number of mappings: a small host has a small state.</summary>
    public static StateCapacity For(int mappings) => new(mappings, Math.Clamp(mappings / 8, 64, 8192), Math.Clamp(mappings / 16, 64, 1024));
}

/// <summary>Who made a state and when: what must be equal for it to be read back.</summary>
internal readonly record struct StateIdentity(Guid BootId, FixedName Build);

/// <summary>
/// The beginning of the state, 512 bytes. The fields up to <see cref="Checksum"/> are written once; those behind it change on their own,
/// eight bytes each so that no reader sees half of one. Times are CLOCK_BOOTTIME in units of 100 ns.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
internal struct StateHeader
{
    public ulong Magic;
    public uint Version, HeaderSize;
    public int Mappings, Clients, Conversations, Peers, Counters;
    public ushort MappingSize, ClientSize, ConversationSize, PeerSize;
    public uint Reserved;
    public Guid BootId;
    public FixedName Build;
    public ulong Checksum;

    public long StartedAt;

    /// <summary>The netlink socket was last seen empty: the bound of every queued request's age.</summary>
    public long SeenEmptyAt;

    /// <summary>0 while the daemon runs; when it ended in order.</summary>
    public long EndedAt;

    public long ProcessId;
    public long PortId;

    /// <summary>Rows from this one on were never used.</summary>
    public long MappingsTouched, ConversationsTouched;
}

/// <summary>
/// The layout of the memory that outlives the process: where each part lies, and whether what is found there can be believed. It must not know where the memory comes from.
/// <code>
///  0      header (512)      magic, layout, sizes, boot id, build | heartbeat, process, port id
///  512    health (64), counters (64 * 8)
///  1088   clients (64 * 128)
///         mappings, conversations, peers, one behind the other
/// </code>
/// Chains and free lists are not in it: they are rebuilt at start.
/// </summary>
internal sealed unsafe class StateLayout
{
    public const uint Version = 1;
    private const ulong Magic = 0x31444d5057490a1a; // "\x1a\nIWPMD1"
    private const int HeaderSize = 512, HealthAt = HeaderSize, CountersAt = HealthAt + 64, ClientsAt = CountersAt + (StateCapacity.Counters * sizeof(ulong));
    private const int MappingsAt = ClientsAt + (StateCapacity.Clients * 128);

    private readonly byte* _base;
    private readonly byte[]? _array; // keeps the memory of an in-process state alive
    private readonly StateCapacity _capacity;

    /// <summary>Lays the state over <paramref name="address"/>, which must be <see cref="SizeOf"/> bytes and stay where it is.</summary>
    public StateLayout(nint address, StateCapacity capacity)
    {
        _base = (byte*)address;
        _capacity = capacity;
    }

    private StateLayout(byte[] pinned, StateCapacity capacity)
        : this((nint)Unsafe.AsPointer(ref MemoryMarshal.GetArrayDataReference(pinned)), capacity) => _array = pinned;

    public static long SizeOf(StateCapacity capacity) => MappingsAt
        + ((long)capacity.Mappings * sizeof(MappingRow)) + ((long)capacity.Conversations * sizeof(ConversationRow)) + ((long)capacity.Peers * sizeof(PeerRow));

    /// <summary>A formatted state that ends with the process.</summary>
    public static StateLayout InMemory(StateCapacity capacity, StateIdentity identity)
    {
        var state = new StateLayout(GC.AllocateArray<byte>((int)SizeOf(capacity), pinned: true), capacity);
        state.Format(identity);
        return state;
    }

    public ref StateHeader Header => ref *(StateHeader*)_base;

    public ref HealthRow Health => ref *(HealthRow*)(_base + HealthAt);

    public Span<ulong> Counters => new(_base + CountersAt, StateCapacity.Counters);

    public Span<ClientRow> Clients => new(_base + ClientsAt, StateCapacity.Clients);

    public Span<MappingRow> Mappings => new(_base + MappingsAt, _capacity.Mappings);

    public Span<ConversationRow> Conversations => new(_base + MappingsAt + ((long)_capacity.Mappings * sizeof(MappingRow)), _capacity.Conversations);

    public Span<PeerRow> Peers => new(
        _base + MappingsAt + ((long)_capacity.Mappings * sizeof(MappingRow)) + ((long)_capacity.Conversations * sizeof(ConversationRow)), _capacity.Peers);

    /// <summary>Makes the state new. The memory must be zeros, so that what is never used is never touched.</summary>
    public void Format(StateIdentity identity)
    {
        ref StateHeader header = ref Header;
        header = Expected(identity);
        header.Checksum = HeaderChecksum();
    }

    /// <summary>Null when what lies here was made by this layout, with these capacities, since this boot; else why it cannot be read back.</summary>
    public string? WhyUnusable(StateIdentity identity)
    {
        ref StateHeader header = ref Header;
        StateHeader expected = Expected(identity);
        return header.Magic != Magic ? "it is not a state of iwpmd"
            : header.Version != Version || header.HeaderSize != HeaderSize ? $"its layout is version {header.Version}, this iwpmd has {Version}"
            : header.Checksum != HeaderChecksum() ? "its header is damaged"
            : header.BootId != identity.BootId ? "it is from before the last boot"
            : header.Mappings != expected.Mappings || header.Conversations != expected.Conversations || header.Peers != expected.Peers
                ? $"it was made with max_mappings={header.Mappings}"
            : !Within(header.MappingsTouched, header.Mappings) || !Within(header.ConversationsTouched, header.Conversations) ? "its header is damaged"
            : null;
    }

    private static bool Within(long touched, int rows) => touched >= 0 && touched <= rows;

    private StateHeader Expected(StateIdentity identity) => new()
    {
        Magic = Magic,
        Version = Version,
        HeaderSize = HeaderSize,
        Mappings = _capacity.Mappings,
        Clients = StateCapacity.Clients,
        Conversations = _capacity.Conversations,
        Peers = _capacity.Peers,
        Counters = StateCapacity.Counters,
        MappingSize = (ushort)sizeof(MappingRow),
        ClientSize = (ushort)sizeof(ClientRow),
        ConversationSize = (ushort)sizeof(ConversationRow),
        PeerSize = (ushort)sizeof(PeerRow),
        BootId = identity.BootId,
        Build = identity.Build,
    };

    /// <summary>FNV-1a over all that is written once.</summary>
    private ulong HeaderChecksum()
    {
        ulong hash = 0xcbf29ce484222325;
        foreach (byte part in new ReadOnlySpan<byte>(_base, (int)((byte*)&((StateHeader*)_base)->Checksum - _base)))
        {
            hash = (hash ^ part) * 0x100000001b3;
        }
        return hash;
    }
}

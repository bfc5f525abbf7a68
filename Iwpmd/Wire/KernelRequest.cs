// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using static Iwpmd.Wire.RdmaNetlink;

namespace Iwpmd.Wire;

/// <summary>What the kernel can say. The first nine have the numbers of the netlink operations.</summary>
internal enum KernelOperation : byte
{
    RegisterPid = RDMA_NL_IWPM_REG_PID,
    AddMapping = RDMA_NL_IWPM_ADD_MAPPING,
    QueryMapping = RDMA_NL_IWPM_QUERY_MAPPING,
    RemoveMapping = RDMA_NL_IWPM_REMOVE_MAPPING,
    RemoteInfo = RDMA_NL_IWPM_REMOTE_INFO,
    HandleError = RDMA_NL_IWPM_HANDLE_ERR,
    MapInfo = RDMA_NL_IWPM_MAPINFO,
    MapInfoNumber = RDMA_NL_IWPM_MAPINFO_NUM,
    Hello = RDMA_NL_IWPM_HELLO,

    /// <summary>
    /// The kernel took our message <see cref="KernelRequest.Sequence"/>; <see cref="KernelRequest.Result"/> is 0 or
    /// -errno.
    /// </summary>
    Done,

    /// <summary>
    /// The kernel refused our message <see cref="KernelRequest.Sequence"/>; <see cref="KernelRequest.Result"/> is
    /// -errno.
    /// </summary>
    Error,

    /// <summary>
    /// A request that somebody waits for, in a form that could not be read; <see cref="KernelRequest.Sequence"/> is
    /// right.
    /// </summary>
    Malformed,
}

/// <summary>
/// One message of the kernel, parsed. Fields that the operation does not have are zero; a registration, which has no
/// addresses, has its names in their place.
/// Differs: FLAGS is optional in every form, since only ABI 4 has it. The SEQ attribute of a request is the daemon's
/// own last number, echoed: it is not kept.
/// </summary>
[StructLayout(LayoutKind.Explicit)] // a reference to the names would make each copy of a request slow
internal record struct KernelRequest
{
    [field: FieldOffset(0)]
    public KernelOperation Operation { get; set; }

    /// <summary>The netlink client (a kernel module's number) that asks, and that the answer must name.</summary>
    [field: FieldOffset(1)]
    public byte Client { get; set; }

    /// <summary>
    /// Header nlmsg_seq: of a request the number its answer must carry as SEQ; of Done and Error that of our message.
    /// </summary>
    [field: FieldOffset(4)]
    public uint Sequence { get; set; }

    /// <summary>IWPM_FLAGS_NO_PORT_MAP or 0.</summary>
    [field: FieldOffset(8)]
    public uint Flags { get; set; }

    /// <summary>Hello: the agreed ABI version. MapInfoNumber: how many mappings were sent.</summary>
    [field: FieldOffset(12)]
    public uint Number { get; set; }

    /// <summary>Done and Error: 0 or -errno. Malformed: the operation that it would have been.</summary>
    [field: FieldOffset(16)]
    public int Result { get; set; }

    [FieldOffset(24)]
    private InetEndpoint _local;

    [FieldOffset(48)]
    private InetEndpoint _remote;

    [FieldOffset(72)]
    private InetEndpoint _mapped;

    public InetEndpoint Local
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        readonly get => HasNames ? default : _local;
        set => _local = value;
    }

    /// <summary>The remote endpoint of a query.</summary>
    public InetEndpoint Remote
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        readonly get => HasNames ? default : _remote;
        set => _remote = value;
    }

    /// <summary>The mapped endpoint of a replayed mapping.</summary>
    public InetEndpoint Mapped
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        readonly get => HasNames ? default : _mapped;
        set => _mapped = value;
    }

    /// <summary>Of a registration, as the next two.</summary>
    [field: FieldOffset(24)]
    public FixedName Interface { get; set; }

    [field: FieldOffset(56)]
    public FixedName Device { get; set; }

    [field: FieldOffset(88)]
    public FixedName Library { get; set; }

    private readonly bool HasNames => Operation == KernelOperation.RegisterPid;

    public readonly bool NoPortMap => (Flags & IWPM_FLAGS_NO_PORT_MAP) != 0;

    /// <summary>
    /// Differs: SEQ and IF_NAME may be missing, since nobody here has a use for them.
    /// Differs: of what nobody waits for and that cannot be read the kernel hears nothing: a refusal would look for a
    /// request. False with a reason: nothing to act on. A request that the kernel waits for and that cannot be read is
    /// true, as <see cref="KernelOperation.Malformed"/>, with the reason, so that it can be refused at once.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool TryParse(
        in NetlinkHeader header, ReadOnlySpan<byte> payload, out KernelRequest request, out string? reason)
    {
        if (header.Type is NLMSG_DONE or NLMSG_ERROR)
        {
            return TryParseAck(header, payload, out request, out reason);
        }
        reason = header.Type < NLMSG_MIN_TYPE ? NotParsed("control message", out request) : header.Operation switch
        {
            RDMA_NL_IWPM_REG_PID => ParseRegisterPid(header, payload, out request),
            RDMA_NL_IWPM_ADD_MAPPING or RDMA_NL_IWPM_REMOVE_MAPPING => ParseManage(header, payload, out request),
            RDMA_NL_IWPM_QUERY_MAPPING => ParseQuery(header, payload, out request),
            RDMA_NL_IWPM_MAPINFO => ParseMapInfo(header, payload, out request),
            RDMA_NL_IWPM_MAPINFO_NUM or RDMA_NL_IWPM_HELLO => ParseNumber(header, payload, out request),
            _ => NotParsed("unknown operation", out request),
        };
        if (reason is null)
        {
            return true;
        }
        bool awaited = header.Type >= NLMSG_MIN_TYPE
            && header.Operation is RDMA_NL_IWPM_REG_PID or RDMA_NL_IWPM_ADD_MAPPING or RDMA_NL_IWPM_QUERY_MAPPING;
        request = new KernelRequest
        {
            Operation = KernelOperation.Malformed,
            Client = (byte)header.Client,
            Sequence = header.Sequence,
            Result = header.Operation,
        };
        return awaited;
    }

    /// <summary>What the header says; the rest is filled in where it stands.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Begin(in NetlinkHeader header, out KernelRequest request)
    {
        request = default;
        request.Operation = (KernelOperation)header.Operation;
        request.Client = (byte)header.Client;
        request.Sequence = header.Sequence;
    }

    private static string NotParsed(string reason, out KernelRequest request)
    {
        request = default;
        return reason;
    }

    /// <summary>
    /// True of the kernel's ACK of our message <paramref name="sequence"/>; the result is 0 or -errno.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool TryReadAck(
        in NetlinkHeader header, ReadOnlySpan<byte> payload, out uint sequence, out int result)
    {
        (sequence, result) = (header.Sequence, 0);
        return header.Type is NLMSG_DONE or NLMSG_ERROR && MemoryMarshal.TryRead(payload, out result);
    }

    /// <summary>
    /// DONE carries an s32 result, the 16-byte one behind a MAPINFO batch carries none (doc/protocol.md K4.1, K4.3);
    /// ERROR carries the error and the header of the refused message.
    /// </summary>
    private static bool TryParseAck(
        in NetlinkHeader header, ReadOnlySpan<byte> payload, out KernelRequest request, out string? reason)
    {
        bool done = header.Type == NLMSG_DONE;
        request = new KernelRequest
        {
            Operation = done ? KernelOperation.Done : KernelOperation.Error,
            Sequence = header.Sequence,
            Result = payload.Length >= sizeof(int) ? MemoryMarshal.Read<int>(payload) : 0,
        };
        reason = payload.Length >= sizeof(int) ? null : done ? "end of a batch" : "NLMSG_ERROR without an error";
        return reason is null;
    }

    private static string? ParseRegisterPid(
        in NetlinkHeader header, ReadOnlySpan<byte> payload, out KernelRequest request)
    {
        Begin(header, out request);
        var attributes = new AttributeReader(payload);
        while (attributes.MoveNext())
        {
            switch (attributes.Type)
            {
                case IWPM_NLA_REG_IF_NAME: request.Interface = attributes.Name(IWPM_IFNAME_SIZE); break;
                case IWPM_NLA_REG_IBDEV_NAME: request.Device = attributes.Name(IWPM_DEVNAME_SIZE); break;
                case IWPM_NLA_REG_ULIB_NAME: request.Library = attributes.Name(IWPM_ULIBNAME_SIZE); break;
            }
        }
        return attributes.Error ?? (
            request.Device.Equals(default) || request.Library.Equals(default) ? "device or library name is missing"
            : null);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static string? ParseManage(in NetlinkHeader header, ReadOnlySpan<byte> payload, out KernelRequest request)
    {
        Begin(header, out request);
        var attributes = new AttributeReader(payload);
        while (attributes.MoveNext())
        {
            switch (attributes.Type)
            {
                case IWPM_NLA_MANAGE_ADDR: request.Local = attributes.Endpoint(); break;
                case IWPM_NLA_MANAGE_FLAGS: request.Flags = attributes.UInt32(); break;
            }
        }
        return attributes.Error ?? (request.Local.Family == IpFamily.None ? "address is missing" : null);
    }

    private static string? ParseQuery(in NetlinkHeader header, ReadOnlySpan<byte> payload, out KernelRequest request)
    {
        Begin(header, out request);
        var attributes = new AttributeReader(payload);
        while (attributes.MoveNext())
        {
            switch (attributes.Type)
            {
                case IWPM_NLA_QUERY_LOCAL_ADDR: request.Local = attributes.Endpoint(); break;
                case IWPM_NLA_QUERY_REMOTE_ADDR: request.Remote = attributes.Endpoint(); break;
                case IWPM_NLA_QUERY_FLAGS: request.Flags = attributes.UInt32(); break;
            }
        }
        return attributes.Error ?? (
            request.Local.Family == IpFamily.None || request.Remote.Family == IpFamily.None ? "address is missing"
            : null);
    }

    private static string? ParseMapInfo(in NetlinkHeader header, ReadOnlySpan<byte> payload, out KernelRequest request)
    {
        Begin(header, out request);
        var attributes = new AttributeReader(payload);
        while (attributes.MoveNext())
        {
            switch (attributes.Type)
            {
                case IWPM_NLA_MAPINFO_LOCAL_ADDR: request.Local = attributes.Endpoint(); break;
                case IWPM_NLA_MAPINFO_MAPPED_ADDR: request.Mapped = attributes.Endpoint(); break;
                case IWPM_NLA_MAPINFO_FLAGS: request.Flags = attributes.UInt32(); break;
            }
        }
        (IpFamily local, IpFamily mapped) = (request.Local.Family, request.Mapped.Family);
        return attributes.Error
            ?? (local == IpFamily.None || mapped == IpFamily.None ? "address is missing" : null)
            ?? (local != mapped ? "families of local and mapped address differ" : null);
    }

    private static string? ParseNumber(in NetlinkHeader header, ReadOnlySpan<byte> payload, out KernelRequest request)
    {
        bool hello = header.Operation == RDMA_NL_IWPM_HELLO;
        var attributes = new AttributeReader(payload);
        bool seen = false;
        uint number = 0;
        while (attributes.MoveNext())
        {
            if (attributes.Type == (hello ? IWPM_NLA_HELLO_ABI_VERSION : IWPM_NLA_MAPINFO_SEND_NUM))
            {
                number = hello ? attributes.UInt16() : attributes.UInt32();
                seen = true;
            }
        }
        Begin(header, out request);
        request.Number = number;
        return attributes.Error ?? (seen ? null : "number is missing");
    }
}

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
/// One message of the kernel, parsed. Fields that the operation does not have are zero.
/// Differs: FLAGS is optional in every form, since only ABI 4 has it. The SEQ attribute of a request is the daemon's
/// own last number, echoed: it is not kept.
/// </summary>
internal readonly record struct KernelRequest
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private KernelRequest(in NetlinkHeader header) =>
        (Operation, Client, Sequence) = ((KernelOperation)header.Operation, (byte)header.Client, header.Sequence);

    public KernelOperation Operation { get; init; }

    /// <summary>The netlink client (a kernel module's number) that asks, and that the answer must name.</summary>
    public byte Client { get; init; }

    /// <summary>
    /// Header nlmsg_seq: of a request the number its answer must carry as SEQ; of Done and Error that of our message.
    /// </summary>
    public uint Sequence { get; init; }

    public InetEndpoint Local { get; init; }

    /// <summary>The remote endpoint of a query.</summary>
    public InetEndpoint Remote { get; init; }

    /// <summary>The mapped endpoint of a replayed mapping.</summary>
    public InetEndpoint Mapped { get; init; }

    /// <summary>IWPM_FLAGS_NO_PORT_MAP or 0.</summary>
    public uint Flags { get; init; }

    /// <summary>Hello: the agreed ABI version. MapInfoNumber: how many mappings were sent.</summary>
    public uint Number { get; init; }

    /// <summary>Done and Error: 0 or -errno. Malformed: the operation that it would have been.</summary>
    public int Result { get; init; }

    /// <summary>
    /// The names of a registration, apart: a queue of requests holds thousands of adds and hardly ever one of these.
    /// </summary>
    private RegisteredNames? Names { get; init; }

    public FixedName Interface
    {
        get => Names?.Interface ?? default;
        init => Names = (Names ?? new RegisteredNames()) with { Interface = value };
    }

    public FixedName Device
    {
        get => Names?.Device ?? default;
        init => Names = (Names ?? new RegisteredNames()) with { Device = value };
    }

    public FixedName Library
    {
        get => Names?.Library ?? default;
        init => Names = (Names ?? new RegisteredNames()) with { Library = value };
    }

    public bool NoPortMap => (Flags & IWPM_FLAGS_NO_PORT_MAP) != 0;

    /// <summary>
    /// Differs: SEQ and IF_NAME may be missing, since nobody here has a use for them.
    /// Differs: of what nobody waits for and that cannot be read the kernel hears nothing: a refusal would look for a
    /// request. False with a reason: nothing to act on. A request that the kernel waits for and that cannot be read is
    /// true, as <see cref="KernelOperation.Malformed"/>, with the reason, so that it can be refused at once.
    /// </summary>
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
        var attributes = new AttributeReader(payload);
        FixedName device = default, library = default, name = default;
        while (attributes.MoveNext())
        {
            switch (attributes.Type)
            {
                case IWPM_NLA_REG_IF_NAME: name = attributes.Name(IWPM_IFNAME_SIZE); break;
                case IWPM_NLA_REG_IBDEV_NAME: device = attributes.Name(IWPM_DEVNAME_SIZE); break;
                case IWPM_NLA_REG_ULIB_NAME: library = attributes.Name(IWPM_ULIBNAME_SIZE); break;
            }
        }
        request = new KernelRequest(header) { Interface = name, Device = device, Library = library };
        return attributes.Error ?? (
            device.Text.IsEmpty || library.Text.IsEmpty ? "device or library name is missing" : null);
    }

    private static string? ParseManage(in NetlinkHeader header, ReadOnlySpan<byte> payload, out KernelRequest request)
    {
        var attributes = new AttributeReader(payload);
        InetEndpoint local = default;
        uint flags = 0;
        while (attributes.MoveNext())
        {
            switch (attributes.Type)
            {
                case IWPM_NLA_MANAGE_ADDR: local = attributes.Endpoint(); break;
                case IWPM_NLA_MANAGE_FLAGS: flags = attributes.UInt32(); break;
            }
        }
        request = new KernelRequest(header) { Local = local, Flags = flags };
        return attributes.Error ?? (local.Family == IpFamily.None ? "address is missing" : null);
    }

    private static string? ParseQuery(in NetlinkHeader header, ReadOnlySpan<byte> payload, out KernelRequest request)
    {
        var attributes = new AttributeReader(payload);
        InetEndpoint local = default, remote = default;
        uint flags = 0;
        while (attributes.MoveNext())
        {
            switch (attributes.Type)
            {
                case IWPM_NLA_QUERY_LOCAL_ADDR: local = attributes.Endpoint(); break;
                case IWPM_NLA_QUERY_REMOTE_ADDR: remote = attributes.Endpoint(); break;
                case IWPM_NLA_QUERY_FLAGS: flags = attributes.UInt32(); break;
            }
        }
        request = new KernelRequest(header) { Local = local, Remote = remote, Flags = flags };
        return attributes.Error ?? (
            local.Family == IpFamily.None || remote.Family == IpFamily.None ? "address is missing" : null);
    }

    private static string? ParseMapInfo(in NetlinkHeader header, ReadOnlySpan<byte> payload, out KernelRequest request)
    {
        var attributes = new AttributeReader(payload);
        InetEndpoint local = default, mapped = default;
        uint flags = 0;
        while (attributes.MoveNext())
        {
            switch (attributes.Type)
            {
                case IWPM_NLA_MAPINFO_LOCAL_ADDR: local = attributes.Endpoint(); break;
                case IWPM_NLA_MAPINFO_MAPPED_ADDR: mapped = attributes.Endpoint(); break;
                case IWPM_NLA_MAPINFO_FLAGS: flags = attributes.UInt32(); break;
            }
        }
        request = new KernelRequest(header) { Local = local, Mapped = mapped, Flags = flags };
        return attributes.Error
            ?? (local.Family == IpFamily.None || mapped.Family == IpFamily.None ? "address is missing" : null)
            ?? (local.Family != mapped.Family ? "families of local and mapped address differ" : null);
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
        request = new KernelRequest(header) { Number = number };
        return attributes.Error ?? (seen ? null : "number is missing");
    }

    private sealed record RegisteredNames
    {
        public FixedName Interface { get; init; }

        public FixedName Device { get; init; }

        public FixedName Library { get; init; }
    }
}

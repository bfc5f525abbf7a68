// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;
using static Iwpmd.Wire.RdmaNetlink;

namespace Iwpmd.Wire;

/// <summary>What can be told to the kernel; the numbers are those of the netlink operations.</summary>
internal enum KernelReplyKind : byte
{
    RegisterPid = RDMA_NL_IWPM_REG_PID,
    AddMapping = RDMA_NL_IWPM_ADD_MAPPING,
    QueryMapping = RDMA_NL_IWPM_QUERY_MAPPING,
    RemoteInfo = RDMA_NL_IWPM_REMOTE_INFO,
    HandleError = RDMA_NL_IWPM_HANDLE_ERR,
    MapInfo = RDMA_NL_IWPM_MAPINFO,
    MapInfoNumber = RDMA_NL_IWPM_MAPINFO_NUM,
    Hello = RDMA_NL_IWPM_HELLO,
}

/// <summary>The codes that the kernel's port mapper client knows in ERR and CODE.</summary>
internal enum MappingError : ushort
{
    None = 0,
    InvalidMessage = 10,
    CannotCreate = 11,
    Duplicate = 12,
    UnknownMapping = 13,
    ClientDevice = 14,
    UserLibrary = 15,
    RejectedByPeer = 16,
    VersionMismatch = 17,
}

/// <summary>
/// One message to the kernel, as a value, and its bytes. Fields that the kind does not have stay zero; the answer to a
/// registration has its device in the place of addresses.
/// </summary>
[StructLayout(LayoutKind.Explicit)]
internal record struct KernelReply
{
    /// <summary>Bytes of the longest message.</summary>
    public const int MaxSize = 560;

    private static ReadOnlySpan<byte> LibraryName => "iWarpPortMapperUser"u8;

    [field: FieldOffset(0)]
    public KernelReplyKind Kind { get; set; }

    [field: FieldOffset(1)]
    public byte Client { get; set; }

    [field: FieldOffset(2)]
    public MappingError Error { get; set; }

    /// <summary>The header's nlmsg_seq: ours, by which the kernel's DONE or ERROR is recognised.</summary>
    [field: FieldOffset(4)]
    public uint Sequence { get; set; }

    /// <summary>
    /// Attribute SEQ (doc/protocol.md K1.8): the nlmsg_seq of the request that is answered, 0 where none is.
    /// </summary>
    [field: FieldOffset(8)]
    public uint RequestSequence { get; set; }

    /// <summary>Hello, MapInfo, RegisterPid: the ABI version that we speak.</summary>
    [field: FieldOffset(12)]
    public ushort Abi { get; set; }

    /// <summary>MapInfoNumber: mappings that the kernel sent, and those that we took over.</summary>
    [field: FieldOffset(16)]
    public uint Sent { get; set; }

    [field: FieldOffset(20)]
    public uint Accepted { get; set; }

    [field: FieldOffset(24)]
    public InetEndpoint Local { get; set; }

    [field: FieldOffset(48)]
    public InetEndpoint Remote { get; set; }

    [field: FieldOffset(72)]
    public InetEndpoint MappedLocal { get; set; }

    [field: FieldOffset(96)]
    public InetEndpoint MappedRemote { get; set; }

    /// <summary>RegisterPid.</summary>
    [field: FieldOffset(24)]
    public FixedName Device { get; set; }

    /// <summary>
    /// Writes the whole message; <paramref name="portId"/> is the netlink port of our socket, from which the kernel
    /// learns where the daemon is. Returns its bytes.
    /// </summary>
    public readonly int Write(Span<byte> buffer, uint portId)
    {
        var attributes = new AttributeWriter(buffer[NetlinkHeader.Size..]);
        switch (Kind)
        {
            case KernelReplyKind.RegisterPid:
                WriteRegistration(ref attributes);
                break;
            case KernelReplyKind.AddMapping:
                WriteMapping(ref attributes);
                break;
            case KernelReplyKind.QueryMapping or KernelReplyKind.RemoteInfo:
                WriteConnection(ref attributes);
                break;
            case KernelReplyKind.HandleError:
                attributes.UInt32(IWPM_NLA_ERR_SEQ, RequestSequence);
                attributes.UInt16(IWPM_NLA_ERR_CODE, (ushort)Error);
                break;
            case KernelReplyKind.MapInfo:
                attributes.String(IWPM_NLA_MAPINFO_ULIB_NAME, LibraryName);
                attributes.UInt16(IWPM_NLA_MAPINFO_ULIB_VER, Abi);
                break;
            case KernelReplyKind.MapInfoNumber:
                attributes.UInt32(IWPM_NLA_MAPINFO_SEQ, RequestSequence);
                attributes.UInt32(IWPM_NLA_MAPINFO_SEND_NUM, Sent);
                attributes.UInt32(IWPM_NLA_MAPINFO_ACK_NUM, Accepted);
                break;
            case KernelReplyKind.Hello:
                attributes.UInt16(IWPM_NLA_HELLO_ABI_VERSION, Abi);
                break;
        }
        int length = NetlinkHeader.Size + attributes.Length;
        new NetlinkHeader(length, NetlinkHeader.TypeOf(Client, (int)Kind), NLM_F_REQUEST, Sequence, portId).Write(
            buffer);
        return length;
    }

    private readonly void WriteRegistration(ref AttributeWriter attributes)
    {
        FixedName device = Device;
        attributes.UInt32(IWPM_NLA_RREG_PID_SEQ, RequestSequence);
        attributes.String(IWPM_NLA_RREG_IBDEV_NAME, device.Text);
        attributes.String(IWPM_NLA_RREG_ULIB_NAME, LibraryName);
        attributes.UInt16(IWPM_NLA_RREG_ULIB_VER, Abi);
        attributes.UInt16(IWPM_NLA_RREG_PID_ERR, (ushort)Error);
    }

    private readonly void WriteMapping(ref AttributeWriter attributes)
    {
        attributes.UInt32(IWPM_NLA_RMANAGE_MAPPING_SEQ, RequestSequence);
        attributes.Endpoint(IWPM_NLA_RMANAGE_ADDR, Local);
        attributes.Endpoint(IWPM_NLA_RMANAGE_MAPPED_LOC_ADDR, MappedLocal);
        attributes.UInt16(IWPM_NLA_RMANAGE_MAPPING_ERR, (ushort)Error);
    }

    private readonly void WriteConnection(ref AttributeWriter attributes)
    {
        attributes.UInt32(IWPM_NLA_RQUERY_MAPPING_SEQ, RequestSequence);
        attributes.Endpoint(IWPM_NLA_RQUERY_LOCAL_ADDR, Local);
        attributes.Endpoint(IWPM_NLA_RQUERY_REMOTE_ADDR, Remote);
        attributes.Endpoint(IWPM_NLA_RQUERY_MAPPED_LOC_ADDR, MappedLocal);
        attributes.Endpoint(IWPM_NLA_RQUERY_MAPPED_REM_ADDR, MappedRemote);
        attributes.UInt16(IWPM_NLA_RQUERY_MAPPING_ERR, (ushort)Error);
    }
}

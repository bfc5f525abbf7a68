// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;
using System.Text;
using Iwpmd.Wire;
using static Iwpmd.Wire.RdmaNetlink;

namespace Iwpmd.Simulation;

/// <summary>The attributes of a message of the daemon, by type.</summary>
internal readonly ref struct Attributes(ReadOnlySpan<byte> payload)
{
    private readonly ReadOnlySpan<byte> _payload = payload;

    public ushort Number16(ushort type) => MemoryMarshal.Read<ushort>(Find(type, sizeof(ushort)));

    public uint Number32(ushort type) => MemoryMarshal.Read<uint>(Find(type, sizeof(uint)));

    public InetEndpoint Endpoint(ushort type) =>
        Sockaddr.TryRead(Find(type, Sockaddr.StorageSize), out InetEndpoint endpoint)
            ? endpoint
            : throw new Violation($"attribute {type} is no address");

    public string Name(ushort type)
    {
        ReadOnlySpan<byte> value = Find(type, 1);
        return value[^1] == 0 && value.Length <= 32
            ? Encoding.ASCII.GetString(value[..^1])
            : throw new Violation($"attribute {type} is no name");
    }

    private ReadOnlySpan<byte> Find(ushort type, int least)
    {
        for (ReadOnlySpan<byte> rest = _payload; rest.Length >= NetlinkAttribute.HeaderSize;)
        {
            int length = MemoryMarshal.Read<ushort>(rest);
            if (MemoryMarshal.Read<ushort>(rest[2..]) == type && length - NetlinkAttribute.HeaderSize >= least)
            {
                return rest[NetlinkAttribute.HeaderSize..length];
            }
            rest = rest[Math.Min(NetlinkAttribute.Align(length), rest.Length)..];
        }
        throw new Violation($"attribute {type} is missing or too short");
    }
}

// The bytes of what the kernel says, and what they cost in a socket.
internal sealed partial class Kernel
{
    private const int RequestCost = 1280, ReplayCost = 8192, DoneCost = 9000;

    private readonly byte[] _buffer = new byte[8192];

    private byte[] WriteRequest(KernelOperation operation, uint sequence, Endpoint endpoint)
    {
        var attributes = new AttributeWriter(_buffer.AsSpan(NetlinkHeader.Size));
        attributes.UInt32(1, 0);
        attributes.Endpoint(2, endpoint.Local);
        if (operation == KernelOperation.QueryMapping)
        {
            attributes.Endpoint(3, endpoint.Remote);
        }
        if (operation != KernelOperation.RemoveMapping && _abi >= 4)
        {
            attributes.UInt32(
                operation == KernelOperation.QueryMapping ? IWPM_NLA_QUERY_FLAGS : IWPM_NLA_MANAGE_FLAGS,
                endpoint.NoPortMap ? IWPM_FLAGS_NO_PORT_MAP : 0);
        }
        World.Tell($"{machine.Name} kernel -> {operation} {sequence} {endpoint.Local}");
        return Close(0, operation, NLM_F_REQUEST, sequence, attributes.Length);
    }

    private byte[] WriteRegistration(uint sequence)
    {
        var attributes = new AttributeWriter(_buffer.AsSpan(NetlinkHeader.Size));
        attributes.UInt32(IWPM_NLA_REG_PID_SEQ, 0);
        attributes.String(IWPM_NLA_REG_IF_NAME, Filled("eth0"u8, 16));
        attributes.String(IWPM_NLA_REG_IBDEV_NAME, Filled("siw0"u8, 32));
        attributes.String(IWPM_NLA_REG_ULIB_NAME, Filled("iWarpPortMapperUser"u8, 32));
        World.Tell($"{machine.Name} kernel -> REG_PID {sequence}");
        return Close(0, KernelOperation.RegisterPid, NLM_F_REQUEST, sequence, attributes.Length);
    }

    /// <summary>Names have all their bytes, the last of which is the attribute's own zero.</summary>
    private static byte[] Filled(ReadOnlySpan<byte> name, int size) => [.. name, .. new byte[size - 1 - name.Length]];

    private byte[] WriteHello(uint sequence)
    {
        var attributes = new AttributeWriter(_buffer.AsSpan(NetlinkHeader.Size));
        attributes.UInt16(IWPM_NLA_HELLO_ABI_VERSION, _abi);
        return Close(0, KernelOperation.Hello, NLM_F_REQUEST, sequence, attributes.Length);
    }

    private byte[] WriteReplayNumber(uint sequence, uint number)
    {
        var attributes = new AttributeWriter(_buffer.AsSpan(NetlinkHeader.Size));
        attributes.UInt32(1, 0);
        attributes.UInt32(IWPM_NLA_MAPINFO_SEND_NUM, number);
        return Close(0, KernelOperation.MapInfoNumber, NLM_F_REQUEST, sequence, attributes.Length);
    }

    private byte[] WriteReplay(ReadOnlySpan<Endpoint> endpoints)
    {
        int at = 0;
        foreach (Endpoint endpoint in endpoints)
        {
            var attributes = new AttributeWriter(_buffer.AsSpan(at + NetlinkHeader.Size));
            attributes.Endpoint(IWPM_NLA_MAPINFO_LOCAL_ADDR, endpoint.Local);
            attributes.Endpoint(IWPM_NLA_MAPINFO_MAPPED_ADDR, endpoint.MappedLocal);
            if (_abi >= 4)
            {
                attributes.UInt32(IWPM_NLA_MAPINFO_FLAGS, endpoint.RecordedFlags);
            }
            at += Write(
                at, NetlinkHeader.TypeOf(RDMA_NL_IWCM, RDMA_NL_IWPM_MAPINFO), NLM_F_MULTI, 0, attributes.Length);
        }
        at += Write(at, NLMSG_DONE, NLM_F_MULTI, 0, 0);
        return _buffer.AsSpan(0, at).ToArray();
    }

    private byte[] WriteOutcome(ushort type, in NetlinkHeader of, uint portId, int result)
    {
        byte[] bytes = new byte[type == NLMSG_DONE ? 20 : 36];
        new NetlinkHeader(
            bytes.Length, type, type == NLMSG_DONE ? NLM_F_MULTI : (ushort)0, of.Sequence, portId).Write(bytes);
        MemoryMarshal.Write(bytes.AsSpan(NetlinkHeader.Size), result);
        if (type == NLMSG_ERROR)
        {
            of.Write(bytes.AsSpan(20));
        }
        return bytes;
    }

    private byte[] Close(int at, KernelOperation operation, ushort flags, uint sequence, int attributes)
    {
        int length = Write(at, NetlinkHeader.TypeOf(RDMA_NL_IWCM, (int)operation), flags, sequence, attributes);
        return _buffer.AsSpan(at, length).ToArray();
    }

    private int Write(int at, ushort type, ushort flags, uint sequence, int attributes)
    {
        int length = NetlinkHeader.Size + attributes;
        new NetlinkHeader(length, type, flags, sequence, 0).Write(_buffer.AsSpan(at));
        return length;
    }
}

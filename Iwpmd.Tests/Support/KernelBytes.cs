// SPDX-License-Identifier: MIT
using System.Text;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Support;

/// <summary>
/// The kernel's half of the netlink protocol: values to the bytes it would send, and its reading of what we send.
/// Shares no code with Iwpmd.Wire but the values.
/// </summary>
internal static class KernelBytes
{
    /// <summary>The kernel puts the daemon's last number there; nobody may look at it.</summary>
    private const uint EchoedSequence = 0x5eed5eed;

    /// <summary>
    /// One message, as a kernel that speaks <paramref name="abi"/> writes it; <paramref name="portId"/> is ours, which
    /// stands in DONE and ERROR only.
    /// </summary>
    public static byte[] Of(in KernelRequest request, int abi = 4, uint portId = 0)
    {
        byte[] sequence = Number(1, EchoedSequence), flags = abi >= 4 ? Number(3, request.Flags) : [];
        byte[] payload = request.Operation switch
        {
            KernelOperation.RegisterPid =>
                [.. sequence, .. Name(2, request.Interface, 16), .. Name(3, request.Device, 32), .. Name(
                    4, request.Library, 32)],
            KernelOperation.AddMapping => [.. sequence, .. Address(2, request.Local), .. flags],
            KernelOperation.QueryMapping =>
                [
                    .. sequence, .. Address(2, request.Local), .. Address(3, request.Remote),
                    .. abi >= 4 ? Number(4, request.Flags) : [],
                ],
            KernelOperation.RemoveMapping => [.. sequence, .. Address(2, request.Local)],
            KernelOperation.MapInfo => [.. Address(1, request.Local), .. Address(2, request.Mapped), .. flags],
            KernelOperation.MapInfoNumber => [.. Number(1, 0), .. Number(2, request.Number)],
            KernelOperation.Hello => Attribute(1, BitConverter.GetBytes((ushort)request.Number)),
            KernelOperation.Done => BitConverter.GetBytes(request.Result),
            KernelOperation.Error => [.. BitConverter.GetBytes(request.Result), .. new byte[16]],
            _ => throw new ArgumentException($"the kernel does not send {request.Operation}", nameof(request)),
        };
        return request.Operation switch
        {
            KernelOperation.Done => Message(RawNetlink.Done, 2, request.Sequence, portId, payload),
            KernelOperation.Error => Message(RawNetlink.Error, 0, request.Sequence, portId, payload),
            _ => Message(
                (request.Client << 10) + (int)request.Operation, request.Operation == KernelOperation.MapInfo ? 2 : 1,
                request.Sequence, 0, payload),
        };
    }

    public static byte[] Message(int type, int flags, uint sequence, uint portId, byte[] payload) =>
    [
        .. BitConverter.GetBytes(16 + payload.Length), .. BitConverter.GetBytes((ushort)type),
        .. BitConverter.GetBytes((ushort)flags),
        .. BitConverter.GetBytes(sequence), .. BitConverter.GetBytes(portId), .. payload,
    ];

    /// <summary>An attribute with its padding.</summary>
    public static byte[] Attribute(int type, byte[] value) =>
        [
            .. BitConverter.GetBytes((ushort)(4 + value.Length)), .. BitConverter.GetBytes((ushort)type), .. value,
            .. new byte[(4 - value.Length % 4) % 4],
        ];

    /// <summary>A struct sockaddr_storage.</summary>
    public static byte[] Storage(InetEndpoint endpoint)
    {
        var bytes = new byte[128];
        bytes[0] = endpoint.Family switch { IpFamily.V4 => 2, IpFamily.V6 => 10, _ => 0 };
        (bytes[2], bytes[3]) = ((byte)(endpoint.Port >> 8), (byte)endpoint.Port);
        int at = endpoint.Family == IpFamily.V4 ? 4 : 8;
        for (int i = 0; endpoint.Family == IpFamily.V4 && i < 4; i++)
        {
            bytes[at + i] = (byte)(endpoint.Low >> (24 - 8 * i));
        }
        for (int i = 0; endpoint.Family == IpFamily.V6 && i < 8; i++)
        {
            (bytes[at + i], bytes[at + 8 + i]) =
                ((byte)(endpoint.High >> (56 - 8 * i)), (byte)(endpoint.Low >> (56 - 8 * i)));
        }
        BitConverter.GetBytes(endpoint.Scope).CopyTo(bytes, 24);
        return bytes;
    }

    /// <summary>
    /// What the kernel reads from one message of ours; it must be whole and carry the flag without which the kernel
    /// skips it.
    /// </summary>
    public static KernelReply ToReply(byte[] bytes)
    {
        RawNetlink message = Assert.Single(RawNetlink.Read(bytes));
        Assert.Equal(1, message.Flags);
        var kind = (KernelReplyKind)message.Operation;
        var reply = new KernelReply { Kind = kind, Client = (byte)message.Client, Sequence = message.Sequence };
        InetEndpoint Endpoint(int type) => InetEndpoint.Parse(message[type].Address);
        switch (kind)
        {
            case KernelReplyKind.RegisterPid:
                Assert.Equal("iWarpPortMapperUser", message[3].String);
                return reply with
                {
                    RequestSequence = message[1].UInt32,
                    Device = new FixedName(message[2].String),
                    Abi = message[4].UInt16,
                    Error = (MappingError)message[5].UInt16,
                };
            case KernelReplyKind.AddMapping:
                return reply with
                {
                    RequestSequence = message[1].UInt32,
                    Local = Endpoint(2),
                    MappedLocal = Endpoint(3),
                    Error = (MappingError)message[4].UInt16,
                };
            case KernelReplyKind.QueryMapping or KernelReplyKind.RemoteInfo:
                reply = reply with { RequestSequence = message[1].UInt32, Local = Endpoint(2), Remote = Endpoint(3) };
                return reply with
                {
                    MappedLocal = Endpoint(4),
                    MappedRemote = Endpoint(5),
                    Error = (MappingError)message[6].UInt16,
                };
            case KernelReplyKind.HandleError:
                return reply with { RequestSequence = message[1].UInt32, Error = (MappingError)message[2].UInt16 };
            case KernelReplyKind.MapInfo:
                Assert.Equal("iWarpPortMapperUser", message[1].String);
                return reply with { Abi = message[2].UInt16 };
            case KernelReplyKind.MapInfoNumber:
                return reply with
                {
                    RequestSequence = message[1].UInt32,
                    Sent = message[2].UInt32,
                    Accepted = message[3].UInt32,
                };
            default:
                return reply with { Abi = message[1].UInt16 };
        }
    }

    private static byte[] Number(int type, uint value) => Attribute(type, BitConverter.GetBytes(value));

    private static byte[] Address(int type, InetEndpoint endpoint) => Attribute(type, Storage(endpoint));

    private static byte[] Name(int type, FixedName name, int size)
    {
        var bytes = new byte[size];
        Encoding.UTF8.GetBytes(name.ToString()).CopyTo(bytes, 0);
        return Attribute(type, bytes);
    }
}

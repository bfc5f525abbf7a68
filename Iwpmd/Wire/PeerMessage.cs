// SPDX-License-Identifier: MIT
using System.Buffers.Binary;
using System.Runtime.CompilerServices;

namespace Iwpmd.Wire;

internal enum PeerMessageType : byte
{
    Request = 0,
    Accept = 1,
    Ack = 2,
    Reject = 3,
}

/// <summary>
/// The message between port mappers, UDP port 3935, big endian:
/// <code>
///   0                   1                   2                   3
///  +---+---+-------+---------------+-------------------------------+
///  |ver|typ| ip ver|    PmTime     |  mapped connecting port (rdma-core's Request; else 0)
///  +---------------+---------------+-------------------------------+
///  |            ApPort             |            CpPort             |
///  +-------------------------------+-------------------------------+
///  |                   AssocHandle (64 bits)                       |
///  +---------------------------------------------------------------+
///  |                   CpIPAddr (128 bits, v4 in the first 32)     |
///  |                   ApIPAddr (128 bits, v4 in the first 32)     |
///  |   mapped connecting address (128 bits, only in rdma-core's Request)
///  +---------------------------------------------------------------+
/// </code>
/// Differs: a Request of the draft's 48 bytes is understood. Kept: rdma-core puts a mapped address behind the draft's
/// 48 bytes; without it the connecting side uses its own address and port unmapped.
/// </summary>
internal record struct PeerMessage(
    PeerMessageType Type, ulong Handle, InetEndpoint Connecting, InetEndpoint Accepting, InetEndpoint MappedConnecting)
{
    private const int FirstAt = 0, PmTimeAt = 1, MappedPortAt = 2, AcceptPortAt = 4, ConnectPortAt = 6, HandleAt = 8;
    private const int ConnectAddressAt = 16, AcceptAddressAt = 32, MappedAddressAt = 48;
    public const int ShortSize = MappedAddressAt, RequestSize = MappedAddressAt + 16;
    private const byte SupportedVersion = 0;

    /// <summary>True when the connecting side said which address it is mapped to (a Request of rdma-core).</summary>
    public readonly bool IsLong => MappedConnecting.Family != IpFamily.None;

    /// <summary>Sets all fields: an answer has the handle and the addresses of the message.</summary>
    public void SetAnswer(PeerMessageType type, in PeerMessage message)
    {
        Type = type;
        Handle = message.Handle;
        Connecting = message.Connecting;
        Accepting = message.Accepting;
        MappedConnecting = default;
    }

    /// <summary>The port of <see cref="Accepting"/> becomes the mapped one.</summary>
    public readonly PeerMessage AsAccept(ushort mappedPort) =>
        new(PeerMessageType.Accept, Handle, Connecting, Accepting.WithPort(mappedPort), default);

    public readonly PeerMessage AsReject() => new(PeerMessageType.Reject, Handle, Connecting, Accepting, default);

    public readonly PeerMessage AsAck() => new(PeerMessageType.Ack, Handle, Connecting, Accepting, default);

    public static bool TryParse(ReadOnlySpan<byte> datagram, out PeerMessage message, out string? reason)
    {
        message = default;
        if (datagram.Length is not (ShortSize or RequestSize))
        {
            reason = "length is neither 48 nor 64";
            return false;
        }
        byte first = datagram[FirstAt];
        var type = (PeerMessageType)((first >> 4) & 3);
        var family = (IpFamily)(first & 0xf);
        reason = first >> 6 != SupportedVersion ? "unknown version" // Differs: C takes it for its own
            : family is not (IpFamily.V4 or IpFamily.V6) ? "ip version is neither 4 nor 6"
            : type != PeerMessageType.Request && datagram.Length != ShortSize ? "length is not that of its type"
            : null;
        if (reason is not null)
        {
            return false;
        }
        ReadOnlySpan<byte> bytes = datagram[..ShortSize];
        message.Type = type;
        message.Handle = BinaryPrimitives.ReadUInt64BigEndian(bytes[HandleAt..]);
        message.Connecting = Read(bytes.Slice(ConnectAddressAt, 16), family, bytes[ConnectPortAt..]);
        message.Accepting = Read(bytes.Slice(AcceptAddressAt, 16), family, bytes[AcceptPortAt..]);
        if (datagram.Length == RequestSize)
        {
            message.MappedConnecting = Read(datagram.Slice(MappedAddressAt, 16), family, bytes[MappedPortAt..]);
        }
        return true;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static InetEndpoint Read(ReadOnlySpan<byte> address, IpFamily family, ReadOnlySpan<byte> port) =>
        InetEndpoint.FromAddressBytes(
            family == IpFamily.V4 ? address[..4] : address, BinaryPrimitives.ReadUInt16BigEndian(port));

    /// <summary>The handle in the beginning of a message, of which the rest may be missing.</summary>
    public static bool TryReadHandle(ReadOnlySpan<byte> beginning, out ulong handle)
    {
        bool whole = beginning.Length >= HandleAt + sizeof(ulong);
        handle = whole ? BinaryPrimitives.ReadUInt64BigEndian(beginning[HandleAt..]) : 0;
        return whole;
    }

    /// <summary>
    /// Writes <see cref="ShortSize"/> or <see cref="RequestSize"/> bytes, unused ones as zeros; returns their number.
    /// </summary>
    public readonly int Write(Span<byte> buffer)
    {
        Span<byte> bytes = buffer[..ShortSize];
        bytes[FirstAt] = (byte)((SupportedVersion << 6) | ((int)Type << 4) | (int)Connecting.Family);
        bytes[PmTimeAt] = 0; // Differs: single use, whatever a Request had
        BinaryPrimitives.WriteUInt16BigEndian(bytes[MappedPortAt..], MappedConnecting.Port);
        BinaryPrimitives.WriteUInt16BigEndian(bytes[AcceptPortAt..], Accepting.Port);
        BinaryPrimitives.WriteUInt16BigEndian(bytes[ConnectPortAt..], Connecting.Port);
        BinaryPrimitives.WriteUInt64BigEndian(bytes[HandleAt..], Handle);
        Connecting.WriteAddress(bytes.Slice(ConnectAddressAt, 16));
        Accepting.WriteAddress(bytes.Slice(AcceptAddressAt, 16));
        if (!IsLong)
        {
            return ShortSize;
        }
        MappedConnecting.WriteAddress(buffer.Slice(MappedAddressAt, 16));
        return RequestSize;
    }
}

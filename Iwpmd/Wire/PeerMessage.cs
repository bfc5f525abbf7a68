// SPDX-License-Identifier: MIT
using System.Buffers.Binary;

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
internal readonly record struct PeerMessage(
    PeerMessageType Type, ulong Handle, InetEndpoint Connecting, InetEndpoint Accepting, InetEndpoint MappedConnecting)
{
    private const int FirstAt = 0, PmTimeAt = 1, MappedPortAt = 2, AcceptPortAt = 4, ConnectPortAt = 6, HandleAt = 8;
    private const int ConnectAddressAt = 16, AcceptAddressAt = 32, MappedAddressAt = 48;
    public const int ShortSize = MappedAddressAt, RequestSize = MappedAddressAt + 16;
    private const byte SupportedVersion = 0;

    /// <summary>True when the connecting side said which address it is mapped to (a Request of rdma-core).</summary>
    public bool IsLong => MappedConnecting.Family != IpFamily.None;

    /// <summary>The port of <see cref="Accepting"/> becomes the mapped one.</summary>
    public PeerMessage AsAccept(ushort mappedPort) =>
        new(PeerMessageType.Accept, Handle, Connecting, Accepting.WithPort(mappedPort), default);

    public PeerMessage AsReject() => new(PeerMessageType.Reject, Handle, Connecting, Accepting, default);

    public PeerMessage AsAck() => new(PeerMessageType.Ack, Handle, Connecting, Accepting, default);

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
        int addressSize = (first & 0xf) switch { 4 => 4, 6 => 16, _ => 0 };
        reason = first >> 6 != SupportedVersion ? "unknown version" // Differs: C takes it for its own
            : addressSize == 0 ? "ip version is neither 4 nor 6"
            : type != PeerMessageType.Request && datagram.Length != ShortSize ? "length is not that of its type"
            : null;
        if (reason is not null)
        {
            return false;
        }
        InetEndpoint Address(ReadOnlySpan<byte> bytes, int addressAt, int portAt) =>
            InetEndpoint.FromAddressBytes(
                bytes.Slice(addressAt, addressSize), BinaryPrimitives.ReadUInt16BigEndian(bytes[portAt..]));
        message = new PeerMessage(
            type,
            BinaryPrimitives.ReadUInt64BigEndian(datagram[HandleAt..]),
            Address(datagram, ConnectAddressAt, ConnectPortAt),
            Address(datagram, AcceptAddressAt, AcceptPortAt),
            datagram.Length == RequestSize ? Address(datagram, MappedAddressAt, MappedPortAt) : default);
        return true;
    }

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
    public int Write(Span<byte> buffer)
    {
        Span<byte> bytes = buffer[..(IsLong ? RequestSize : ShortSize)];
        bytes[FirstAt] = (byte)((SupportedVersion << 6) | ((int)Type << 4) | (int)Connecting.Family);
        bytes[PmTimeAt] = 0; // Differs: single use, whatever a Request had
        BinaryPrimitives.WriteUInt16BigEndian(bytes[MappedPortAt..], MappedConnecting.Port);
        BinaryPrimitives.WriteUInt16BigEndian(bytes[AcceptPortAt..], Accepting.Port);
        BinaryPrimitives.WriteUInt16BigEndian(bytes[ConnectPortAt..], Connecting.Port);
        BinaryPrimitives.WriteUInt64BigEndian(bytes[HandleAt..], Handle);
        Connecting.WriteAddress(bytes.Slice(ConnectAddressAt, 16));
        Accepting.WriteAddress(bytes.Slice(AcceptAddressAt, 16));
        if (IsLong)
        {
            MappedConnecting.WriteAddress(bytes.Slice(MappedAddressAt, 16));
        }
        return bytes.Length;
    }
}

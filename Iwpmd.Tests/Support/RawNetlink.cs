// SPDX-License-Identifier: MIT
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Iwpmd.Tests.Support;

/// <summary>
/// A netlink message taken apart by a second hand: it shares no code with Iwpmd.Wire, so that the two can disagree.
/// It believes what the bytes say and throws where they are not whole: for bytes known to be good.
/// </summary>
internal sealed record RawNetlink(
    int At, int Length, ushort Type, ushort Flags, uint Sequence, uint PortId, byte[] Payload,
    IReadOnlyList<RawAttribute> Attributes)
{
    public const int Error = 2, Done = 3;

    private static readonly string[] OperationNames =
        [
            "REG_PID", "ADD_MAPPING", "QUERY_MAPPING", "REMOVE_MAPPING", "REMOTE_INFO", "HANDLE_ERR", "MAPINFO",
            "MAPINFO_NUM", "HELLO",
        ];

    public int Client => Type / 1024;

    public int Operation => Type % 1024;

    public string Name => Type switch { Error => "NLMSG_ERROR", Done => "NLMSG_DONE", _ => OperationNames[Operation] };

    public RawAttribute this[int type] => Attributes.Single(attribute => attribute.Type == type);

    public static IReadOnlyList<RawNetlink> Read(byte[] datagram)
    {
        var messages = new List<RawNetlink>();
        for (int at = 0; at < datagram.Length; at += (messages[^1].Length + 3) / 4 * 4)
        {
            messages.Add(ReadOne(datagram, at));
        }
        return messages;
    }

    private static RawNetlink ReadOne(byte[] bytes, int at)
    {
        int length = BitConverter.ToInt32(bytes, at);
        ushort type = BitConverter.ToUInt16(bytes, at + 4);
        var attributes = new List<RawAttribute>();
        for (int next = at + 16; type is not (Error or Done) && next < at + length;)
        {
            int size = BitConverter.ToUInt16(bytes, next);
            int end = Math.Min((next + size + 3) / 4 * 4, at + length);
            attributes.Add(new RawAttribute(
                next, BitConverter.ToUInt16(bytes, next + 2), bytes[(next + 4)..(next + size)],
                bytes[(next + size)..end]));
            next = end;
        }
        return new RawNetlink(
            at, length, type, BitConverter.ToUInt16(bytes, at + 6), BitConverter.ToUInt32(bytes, at + 8),
            BitConverter.ToUInt32(bytes, at + 12),
            bytes[(at + 16)..(at + length)], attributes);
    }
}

/// <summary>One attribute, where it stands in its datagram, and the bytes that pad it.</summary>
internal sealed record RawAttribute(int At, int Type, byte[] Value, byte[] Padding)
{
    public ushort UInt16 => BitConverter.ToUInt16(Value);

    public uint UInt32 => BitConverter.ToUInt32(Value);

    public string String => Encoding.ASCII.GetString(Value, 0, Array.IndexOf(Value, (byte)0));

    /// <summary>"10.0.0.1:80" or "[fd00::1%2]:80".</summary>
    public string Address
    {
        get
        {
            int port = Value[2] * 256 + Value[3];
            return BitConverter.ToUInt16(Value) switch
            {
                (ushort)AddressFamily.InterNetwork => new IPEndPoint(new IPAddress(Value[4..8]), port).ToString(),
                // .NET has another number for v6
                10 => new IPEndPoint(new IPAddress(Value[8..24], BitConverter.ToUInt32(Value, 24)), port).ToString(),
                _ => throw new InvalidDataException("neither IPv4 nor IPv6"),
            };
        }
    }

    /// <summary>How many bytes of a sockaddr_storage the address itself takes.</summary>
    public int AddressSize => BitConverter.ToUInt16(Value) == 10 ? 28 : 8;

    /// <summary>
    /// The bytes of a sockaddr_storage that say nothing: those behind the address and, in v6, the flow information.
    /// </summary>
    public byte[] UnusedOfAddress => AddressSize == 28 ? [.. Value[4..8], .. Value[28..]] : Value[8..];
}

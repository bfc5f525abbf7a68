// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Iwpmd.Wire;

/// <summary>
/// struct nlmsghdr, host order:
/// <code>
///  0 length (u32, header included)  4 type (u16)  6 flags (u16)  8 sequence (u32)  12 port id (u32)
/// </code>
/// An RDMA type is (client &lt;&lt; 10) + operation.
/// </summary>
[StructLayout(LayoutKind.Sequential)] // read and written as it is
internal readonly record struct NetlinkHeader(int Length, ushort Type, ushort Flags, uint Sequence, uint PortId)
{
    public const int Size = 16;

    /// <summary>Flag: more messages of the same answer follow, up to DONE.</summary>
    public const ushort Multi = RdmaNetlink.NLM_F_MULTI;

    /// <summary>The dump is not consistent, since what it lists changed meanwhile.</summary>
    public const ushort Interrupted = RdmaNetlink.NLM_F_DUMP_INTR;

    public int Client => Type >> 10;

    public int Operation => Type & 0x3ff;

    public static ushort TypeOf(int client, int operation) => (ushort)((client << 10) + operation);

    public static NetlinkHeader Read(ReadOnlySpan<byte> bytes) => MemoryMarshal.Read<NetlinkHeader>(bytes);

    public void Write(Span<byte> bytes) => MemoryMarshal.Write(bytes, this);
}

/// <summary>
/// Walks the messages of one received datagram. Differs: one that cannot be read does not take those behind it along. A
/// length that cannot be right ends the walk, since nothing tells where the next message starts. Differs: a DONE or
/// ERROR does not end it.
/// </summary>
internal ref struct NetlinkMessages(ReadOnlySpan<byte> datagram)
{
    private ReadOnlySpan<byte> _rest = datagram;

    public NetlinkHeader Header { get; private set; }

    /// <summary>The current message behind its header; valid until the datagram's buffer is used again.</summary>
    public ReadOnlySpan<byte> Payload { get; private set; }

    /// <summary>True when the walk ended before the datagram did.</summary>
    public readonly bool IsDamaged => !_rest.IsEmpty;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool MoveNext()
    {
        ReadOnlySpan<byte> rest = _rest;
        if (rest.Length < NetlinkHeader.Size)
        {
            return false;
        }
        NetlinkHeader header = NetlinkHeader.Read(rest);
        int length = header.Length;
        if (length < NetlinkHeader.Size || length > rest.Length)
        {
            return false;
        }
        Header = header;
        Payload = rest[NetlinkHeader.Size..length];
        _rest = rest[Math.Min(NetlinkAttribute.Align(length), rest.Length)..];
        return true;
    }
}

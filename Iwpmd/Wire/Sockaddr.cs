// SPDX-License-Identifier: MIT
using System.Buffers.Binary;
using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Iwpmd.Wire;

/// <summary>
/// <see cref="InetEndpoint"/> to and from the C socket addresses of Linux. The family stands in host order, all else in
/// network order:
/// <code>
///  sockaddr_in   0 family  2 port  4 address                            (16 bytes, 8 of padding)
///  sockaddr_in6  0 family  2 port  4 flowinfo  8 address  24 scope (host order)   (28 bytes)
/// </code>
/// </summary>
internal static class Sockaddr
{
    /// <summary>
    /// Size in bytes of struct sockaddr_storage, the only form in which the kernel's port mapper client sends and takes
    /// addresses.
    /// </summary>
    public const int StorageSize = 128;
    public const int InSize = 16;
    public const int In6Size = 28;

    private const ushort AfInet = 2, AfInet6 = 10;
    private const int FamilyAt = 0, PortAt = 2, V4AddressAt = 4, V6AddressAt = 8, V6ScopeAt = 24;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool TryRead(ReadOnlySpan<byte> bytes, out InetEndpoint endpoint)
    {
        endpoint = default;
        if (bytes.Length < InSize)
        {
            return false;
        }
        ReadOnlySpan<byte> v4 = bytes[..InSize];
        ushort port = BinaryPrimitives.ReadUInt16BigEndian(v4[PortAt..]);
        switch (MemoryMarshal.Read<ushort>(v4[FamilyAt..]))
        {
            case AfInet:
                endpoint = InetEndpoint.FromAddressBytes(v4.Slice(V4AddressAt, 4), port);
                return true;
            case AfInet6 when bytes.Length >= In6Size:
                endpoint = InetEndpoint.FromAddressBytes(
                    bytes.Slice(V6AddressAt, 16), port, MemoryMarshal.Read<uint>(bytes[V6ScopeAt..]));
                return true;
            default:
                return false;
        }
    }

    /// <summary>
    /// Differs: writes the address and clears the rest of <paramref name="bytes"/>; returns the size in bytes of the C
    /// structure.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Write(Span<byte> bytes, in InetEndpoint endpoint)
    {
        Debug.Assert(endpoint.Family != IpFamily.None, "an address without a family has no C form");
        bytes.Clear();
        if (endpoint.Family != IpFamily.V4)
        {
            return WriteV6(bytes[..In6Size], endpoint);
        }
        Span<byte> v4 = bytes[..InSize];
        MemoryMarshal.Write(v4[FamilyAt..], AfInet);
        BinaryPrimitives.WriteUInt16BigEndian(v4[PortAt..], endpoint.Port);
        BinaryPrimitives.WriteUInt32BigEndian(v4[V4AddressAt..], (uint)endpoint.Low);
        return InSize;
    }

    private static int WriteV6(Span<byte> bytes, in InetEndpoint endpoint)
    {
        MemoryMarshal.Write(bytes[FamilyAt..], AfInet6);
        BinaryPrimitives.WriteUInt16BigEndian(bytes[PortAt..], endpoint.Port);
        endpoint.WriteAddress(bytes.Slice(V6AddressAt, 16));
        MemoryMarshal.Write(bytes[V6ScopeAt..], endpoint.Scope);
        return In6Size;
    }
}

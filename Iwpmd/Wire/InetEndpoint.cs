// SPDX-License-Identifier: MIT
using System.Buffers.Binary;
using System.Net;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Iwpmd.Wire;

/// <summary>The two address families that are mapped; the values are those of the peer protocol's ip version.</summary>
internal enum IpFamily : byte
{
    None = 0,
    V4 = 4,
    V6 = 6,
}

/// <summary>
/// An IP address with a port: what the kernel and the peers ask about. A v4 address is the low 32 bits of <see
/// cref="Low"/>. Equality: family, address, port, and the scope for link-local addresses only; elsewhere the scope is
/// carried along as received.
/// </summary>
[StructLayout(LayoutKind.Explicit)] // as in the rows of the state: 24 bytes
internal readonly record struct InetEndpoint(
    [field: FieldOffset(22)] IpFamily Family, [field: FieldOffset(0)] ulong High, [field: FieldOffset(8)] ulong Low,
    [field: FieldOffset(20)] ushort Port, [field: FieldOffset(16)] uint Scope = 0)
{
    [FieldOffset(23)]
    private readonly byte _unused;

    public bool IsWildcard => High == 0 && Low == 0;

    public bool IsLinkLocal => Family == IpFamily.V6 && (High >> 54) == 0x3fa; // fe80::/10

    /// <summary>An IPv4 address in IPv6 form, ::ffff:0:0/96.</summary>
    public bool IsMapped => Family == IpFamily.V6 && High == 0 && Low >> 32 == 0xffff;

    public InetEndpoint WithPort(ushort port) => this with { Port = port };

    public InetEndpoint WithScope(uint scope) => this with { Scope = scope };

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool SameAddress(in InetEndpoint other) =>
        Family == other.Family && High == other.High && Low == other.Low && (!IsLinkLocal || Scope == other.Scope);

    /// <summary>Without the scopes: in a message those are only inferred, and its handle authenticates it.</summary>
    public bool SameIp(in InetEndpoint other) => WithScope(other.Scope).SameAddress(other);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool Equals(InetEndpoint other) => Port == other.Port && SameAddress(other);

    public override int GetHashCode() => HashCode.Combine(Family, High, Low, Port);

    /// <summary>Reads 4 or 16 bytes in network order.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static InetEndpoint FromAddressBytes(ReadOnlySpan<byte> address, ushort port, uint scope = 0) =>
        address.Length == 4
        ? new(IpFamily.V4, 0, BinaryPrimitives.ReadUInt32BigEndian(address), port)
        : new(
            IpFamily.V6, BinaryPrimitives.ReadUInt64BigEndian(address),
            BinaryPrimitives.ReadUInt64BigEndian(address[8..]), port, scope);

    /// <summary>
    /// Writes the address in network order into a field of 16 bytes, or of 4 for v4, which has the first four; the rest
    /// becomes zero.
    /// </summary>
    public void WriteAddress(Span<byte> field)
    {
        if (field.Length < 16)
        {
            BinaryPrimitives.WriteUInt32BigEndian(field, (uint)Low);
            return;
        }
        bool isV4 = Family == IpFamily.V4;
        BinaryPrimitives.WriteUInt64BigEndian(field, isV4 ? Low << 32 : High);
        BinaryPrimitives.WriteUInt64BigEndian(field[8..], isV4 ? 0 : Low);
    }

    /// <summary>Reads "10.0.0.1:80" or "[fd00::1%2]:80".</summary>
    public static InetEndpoint Parse(string text)
    {
        IPEndPoint parsed = IPEndPoint.Parse(text);
        return Of(parsed.Address, (ushort)parsed.Port);
    }

    /// <summary>
    /// An address as people write it, and in no other form: four decimal numbers, or what has a colon; not 10, 10.1,
    /// 010.0.0.1, 0x0a000001 or [fd00::1], which the library takes too, some of them for another address.
    /// </summary>
    public static bool TryParseAddress(string text, out InetEndpoint address)
    {
        bool isAddress = IPAddress.TryParse(text, out IPAddress? parsed) && text[0] != '[';
        address = isAddress ? Of(parsed!, 0) : default;
        return isAddress && (address.Family == IpFamily.V6 || parsed!.ToString() == text);
    }

    public static InetEndpoint Of(IPAddress address, ushort port) =>
        FromAddressBytes(
            address.GetAddressBytes(), port,
            address.AddressFamily == System.Net.Sockets.AddressFamily.InterNetworkV6 ? (uint)address.ScopeId : 0);

    /// <summary>The address without the port, as people write it.</summary>
    public string AddressText()
    {
        Span<byte> bytes = stackalloc byte[16];
        WriteAddress(bytes);
        return Family switch
        {
            IpFamily.V4 => new IPAddress(bytes[..4]).ToString(),
            IpFamily.V6 => new IPAddress(bytes, IsLinkLocal ? Scope : 0).ToString(),
            _ => "none",
        };
    }

    public override string ToString() =>
        Family == IpFamily.V6 ? $"[{AddressText()}]:{Port}" : $"{AddressText()}:{Port}";
}

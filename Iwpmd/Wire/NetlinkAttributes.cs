// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Iwpmd.Wire;

/// <summary>
/// struct nlattr, host order: 0 length (u16, these 4 bytes included), 2 type (u16), 4 value; the next one starts at a
/// multiple of 4.
/// </summary>
internal static class NetlinkAttribute
{
    public const int HeaderSize = 4;

    public const ushort TypeMask = 0x3fff; // the two high bits say nested, network order

    public static int Align(int length) => (length + 3) & ~3;

    /// <summary>The first four bytes.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal readonly record struct Header(ushort Length, ushort Type);
}

/// <summary>
/// Reads attributes one after the other. The first malformed one ends the reading and is kept in <see cref="Error"/>,
/// as is the first value of a wrong size, so that a caller asks once, at the end. Differs: a length that cannot be
/// right is an error also behind the attributes that are needed, since it may hide an optional one.
/// </summary>
internal ref struct AttributeReader(ReadOnlySpan<byte> attributes)
{
    private ReadOnlySpan<byte> _rest = attributes; // empty after an error
    private ReadOnlySpan<byte> _value = default;

    public ushort Type { get; private set; }

    /// <summary>What was wrong first, or null.</summary>
    public string? Error { get; private set; }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool MoveNext()
    {
        ReadOnlySpan<byte> rest = _rest;
        if (rest.Length < NetlinkAttribute.HeaderSize)
        {
            return false; // Kept: stray bytes behind the last attribute are nothing
        }
        var header = MemoryMarshal.Read<NetlinkAttribute.Header>(rest);
        int length = header.Length;
        if (length < NetlinkAttribute.HeaderSize || length > rest.Length)
        {
            return Fail("attribute length out of bounds");
        }
        Type = (ushort)(header.Type & NetlinkAttribute.TypeMask);
        _value = rest[NetlinkAttribute.HeaderSize..length];
        _rest = rest[Math.Min(NetlinkAttribute.Align(length), rest.Length)..]; // the last one needs no padding
        return true;
    }

    /// <summary>As it stands there, valid until the buffer is used again.</summary>
    public readonly ReadOnlySpan<byte> Value => _value;

    public byte UInt8() => _value.Length >= sizeof(byte) ? _value[0] : (byte)Short();

    public ushort UInt16() => _value.Length >= sizeof(ushort) ? MemoryMarshal.Read<ushort>(_value) : (ushort)Short();

    public uint UInt32() => _value.Length >= sizeof(uint) ? MemoryMarshal.Read<uint>(_value) : Short();

    public ulong UInt64() => _value.Length >= sizeof(ulong) ? MemoryMarshal.Read<ulong>(_value) : Short();

    /// <summary>A whole struct sockaddr_storage of a family that is mapped.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public InetEndpoint Endpoint()
    {
        if (_value.Length < Sockaddr.StorageSize)
        {
            Short();
            return default;
        }
        if (!Sockaddr.TryRead(_value, out InetEndpoint endpoint))
        {
            Fail("address is neither IPv4 nor IPv6");
        }
        return endpoint;
    }

    /// <summary>A string of at most <paramref name="capacity"/> bytes with its terminating NUL.</summary>
    public FixedName Name(int capacity)
    {
        int end = _value.IndexOf((byte)0);
        if (end < 0 || end >= capacity)
        {
            Fail("name is not terminated or too long");
            return default;
        }
        return new FixedName(_value[..end]);
    }

    private uint Short()
    {
        Fail("attribute is too short");
        return 0;
    }

    private bool Fail(string error)
    {
        Error ??= error;
        _rest = default;
        return false;
    }
}

/// <summary>Appends attributes to a buffer that must be large enough; padding is written as zeros.</summary>
internal ref struct AttributeWriter(Span<byte> buffer)
{
    private readonly Span<byte> _buffer = buffer;

    public int Length { get; private set; }

    public void UInt16(ushort type, ushort value) => MemoryMarshal.Write(Begin(type, sizeof(ushort)), value);

    public void UInt32(ushort type, uint value) => MemoryMarshal.Write(Begin(type, sizeof(uint)), value);

    public void Endpoint(ushort type, in InetEndpoint endpoint) =>
        Sockaddr.Write(Begin(type, Sockaddr.StorageSize)[..Sockaddr.StorageSize], endpoint); // as a constant

    public void String(ushort type, scoped ReadOnlySpan<byte> text)
    {
        Span<byte> value = Begin(type, text.Length + 1);
        text.CopyTo(value);
        value[text.Length] = 0;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private Span<byte> Begin(ushort type, int size)
    {
        int length = NetlinkAttribute.HeaderSize + size, aligned = NetlinkAttribute.Align(length);
        Span<byte> attribute = _buffer.Slice(Length, aligned);
        if (aligned != length)
        {
            // padding lies in the last four bytes; the value is written over the rest of them
            MemoryMarshal.Write(attribute[^sizeof(uint)..], 0u);
        }
        MemoryMarshal.Write(attribute, new NetlinkAttribute.Header((ushort)length, type));
        Length += aligned;
        return attribute.Slice(NetlinkAttribute.HeaderSize, size);
    }
}

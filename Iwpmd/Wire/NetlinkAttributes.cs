// SPDX-License-Identifier: MIT
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
}

/// <summary>
/// Reads attributes one after the other. The first malformed one ends the reading and is kept in <see cref="Error"/>,
/// as is the first value of a wrong size, so that a caller asks once, at the end. Differs: a length that cannot be
/// right is an error also behind the attributes that are needed, since it may hide an optional one.
/// </summary>
internal ref struct AttributeReader(ReadOnlySpan<byte> attributes)
{
    private ReadOnlySpan<byte> _rest = attributes;
    private ReadOnlySpan<byte> _value = default;

    public ushort Type { get; private set; }

    /// <summary>What was wrong first, or null.</summary>
    public string? Error { get; private set; }

    public bool MoveNext()
    {
        if (Error is not null || _rest.IsEmpty)
        {
            return false;
        }
        if (_rest.Length < NetlinkAttribute.HeaderSize)
        {
            return false; // Kept: stray bytes behind the last attribute are nothing
        }
        int length = MemoryMarshal.Read<ushort>(_rest);
        if (length < NetlinkAttribute.HeaderSize || length > _rest.Length)
        {
            return Fail("attribute length out of bounds");
        }
        Type = (ushort)(MemoryMarshal.Read<ushort>(_rest[2..]) & NetlinkAttribute.TypeMask);
        _value = _rest[NetlinkAttribute.HeaderSize..length];
        _rest = _rest[Math.Min(NetlinkAttribute.Align(length), _rest.Length)..]; // the last one needs no padding
        return true;
    }

    /// <summary>As it stands there, valid until the buffer is used again.</summary>
    public readonly ReadOnlySpan<byte> Value => _value;

    public byte UInt8() => _value.Length >= sizeof(byte) ? _value[0] : (byte)Short();

    public ushort UInt16() => _value.Length >= sizeof(ushort) ? MemoryMarshal.Read<ushort>(_value) : (ushort)Short();

    public uint UInt32() => _value.Length >= sizeof(uint) ? MemoryMarshal.Read<uint>(_value) : Short();

    public ulong UInt64() => _value.Length >= sizeof(ulong) ? MemoryMarshal.Read<ulong>(_value) : Short();

    /// <summary>A whole struct sockaddr_storage of a family that is mapped.</summary>
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
        Sockaddr.Write(Begin(type, Sockaddr.StorageSize), endpoint);

    public void String(ushort type, scoped ReadOnlySpan<byte> text)
    {
        Span<byte> value = Begin(type, text.Length + 1);
        text.CopyTo(value);
        value[text.Length] = 0;
    }

    private Span<byte> Begin(ushort type, int size)
    {
        int length = NetlinkAttribute.HeaderSize + size;
        Span<byte> attribute = _buffer.Slice(Length, NetlinkAttribute.Align(length));
        // padding lies in the last four bytes; the value is written over the rest of them
        MemoryMarshal.Write(attribute[^sizeof(uint)..], 0u);
        MemoryMarshal.Write(attribute, (ushort)length);
        MemoryMarshal.Write(attribute[2..], type);
        Length += attribute.Length;
        return attribute.Slice(NetlinkAttribute.HeaderSize, size);
    }
}

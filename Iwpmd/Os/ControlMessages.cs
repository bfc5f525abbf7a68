// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Iwpmd.Os.Interop;

namespace Iwpmd.Os;

/// <summary>The ancillary data of a datagram: walks what was received, writes one to send.</summary>
internal ref struct ControlMessages(ReadOnlySpan<byte> control)
{
    private ReadOnlySpan<byte> _rest = control;

    public int Level { get; private set; }

    public int Type { get; private set; }

    public ReadOnlySpan<byte> Data { get; private set; }

    private static unsafe int HeaderSize => sizeof(Libc.cmsghdr);

    public static int Space(int dataSize) => HeaderSize + Align(dataSize);

    /// <summary>Writes a header and the data, a blittable struct, behind it; returns the bytes used.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe int Write<T>(Span<byte> control, int level, int type, in T data)
        where T : unmanaged
    {
        var header = new Libc.cmsghdr
        {
            cmsg_len = (nuint)(HeaderSize + sizeof(T)),
            cmsg_level = level,
            cmsg_type = type,
        };
        control[..Space(sizeof(T))].Clear();
        MemoryMarshal.Write(control, header);
        MemoryMarshal.Write(control[HeaderSize..], data);
        return Space(sizeof(T));
    }

    /// <summary>The one message that passes descriptors.</summary>
    public static int WriteFds(Span<byte> control, ReadOnlySpan<int> fds)
    {
        ReadOnlySpan<byte> data = MemoryMarshal.AsBytes(fds);
        var header = new Libc.cmsghdr
        {
            cmsg_len = (nuint)(HeaderSize + data.Length),
            cmsg_level = Libc.SOL_SOCKET,
            cmsg_type = Libc.SCM_RIGHTS,
        };
        control[..Space(data.Length)].Clear();
        MemoryMarshal.Write(control, header);
        data.CopyTo(control[HeaderSize..]);
        return Space(data.Length);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool MoveNext()
    {
        if (_rest.Length < HeaderSize)
        {
            return false;
        }
        Libc.cmsghdr header = MemoryMarshal.Read<Libc.cmsghdr>(_rest);
        if (header.cmsg_len < (nuint)HeaderSize || header.cmsg_len > (nuint)_rest.Length)
        {
            return false;
        }
        int length = (int)header.cmsg_len;
        Level = header.cmsg_level;
        Type = header.cmsg_type;
        Data = _rest[HeaderSize..length];
        _rest = _rest[Math.Min(Align(length), _rest.Length)..];
        return true;
    }

    private static int Align(int size) => (size + nint.Size - 1) & -nint.Size;
}

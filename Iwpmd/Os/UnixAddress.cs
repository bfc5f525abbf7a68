// SPDX-License-Identifier: MIT
using System.Text;
using Iwpmd.Os.Interop;
using Iwpmd.Wire;

namespace Iwpmd.Os;

/// <summary>struct sockaddr_un of a path, or of a name of the abstract namespace when it starts with '@'.</summary>
internal static class UnixAddress
{
    /// <summary>The longest path in bytes, without the NUL at its end.</summary>
    public const int MaxPath = Libc.sizeof_sockaddr_un - Libc.offsetof_sockaddr_un__sun_path - 1;

    /// <summary>
    /// The size to give the kernel; 0 when the path is empty or too long. <paramref name="address"/> has room for the
    /// whole structure.
    /// </summary>
    public static int Write(Span<byte> address, string path)
    {
        address.Clear();
        BitConverter.TryWriteBytes(address, (ushort)Libc.AF_UNIX);
        Span<byte> name = address[Libc.offsetof_sockaddr_un__sun_path..^1]; // the last byte stays NUL
        if (path.Length == 0 || !Encoding.UTF8.TryGetBytes(path, name, out int length))
        {
            return 0;
        }
        bool isAbstract = name[0] == (byte)'@';
        if (isAbstract)
        {
            name[0] = 0;
        }
        // An abstract name is as long as the address says; a path ends with a NUL.
        return Libc.offsetof_sockaddr_un__sun_path + length + (isAbstract ? 0 : 1);
    }

    /// <summary>Opens a socket of this type, with flags, and connects it to a path.</summary>
    public static Errno TryConnect(int typeAndFlags, string path, out int fd)
    {
        fd = -1;
        Span<byte> address = stackalloc byte[Libc.sizeof_sockaddr_un];
        int length = Write(address, path);
        Errno error = length == 0 ? Errno.EINVAL : SocketFd.Open(Libc.AF_UNIX, typeAndFlags, 0, out fd);
        if (error != Errno.None)
        {
            return error;
        }
        error = SocketFd.Connect(fd, address[..length]);
        if (error != Errno.None)
        {
            SocketFd.Close(fd);
            fd = -1;
        }
        return error;
    }
}

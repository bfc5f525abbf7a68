// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;

namespace Iwpmd.Os.Interop;

/// <summary>
/// The C library as it is: names, values and layouts of the C headers, one file a header. A test lets the C compiler
/// judge all of it. A member named sizeof_x or offsetof_x__y stands for that C expression, where no struct is declared
/// for x.
/// </summary>
internal static unsafe partial class Libc
{
    private const string Name = "libc";

    public const int AF_UNIX = 1, AF_INET = 2, AF_INET6 = 10, AF_NETLINK = 16;
    public const int SOCK_STREAM = 1, SOCK_DGRAM = 2, SOCK_RAW = 3, SOCK_SEQPACKET = 5, SOCK_NONBLOCK = 0x800,
        SOCK_CLOEXEC = 0x80000;
    public const int SOL_SOCKET = 1, SO_TYPE = 3, SO_SNDBUF = 7, SO_RCVBUF = 8, SO_PEERCRED = 17, SO_ATTACH_FILTER = 26,
        SO_DETACH_FILTER = 27, SO_SNDBUFFORCE = 32, SO_RCVBUFFORCE = 33, SO_PROTOCOL = 38, SO_DOMAIN = 39;
    public const int SCM_RIGHTS = 1;
    public const int MSG_TRUNC = 0x20, MSG_DONTWAIT = 0x40, MSG_ERRQUEUE = 0x2000, MSG_NOSIGNAL = 0x4000,
        MSG_CMSG_CLOEXEC = 0x40000000;

    // These do not wait, and a mapping makes them: the collector may wait for them, as for the others that have this
    // attribute here.
    [LibraryImport(Name)]
    [SuppressGCTransition]
    internal static partial int socket(int domain, int type, int protocol);

    [LibraryImport(Name)]
    internal static partial int socketpair(int domain, int type, int protocol, int* fds);

    [LibraryImport(Name)]
    internal static partial int listen(int fd, int backlog);

    [LibraryImport(Name)]
    internal static partial int accept4(int fd, byte* address, uint* size, int flags);

    [LibraryImport(Name)]
    [SuppressGCTransition]
    internal static partial int bind(int fd, byte* address, uint size);

    [LibraryImport(Name)]
    internal static partial int connect(int fd, byte* address, uint size);

    [LibraryImport(Name)]
    internal static partial int getsockname(int fd, byte* address, uint* size);

    [LibraryImport(Name)]
    internal static partial int setsockopt(int fd, int level, int name, void* value, uint size);

    [LibraryImport(Name)]
    internal static partial int getsockopt(int fd, int level, int name, void* value, uint* size);

    [LibraryImport(Name)]
    internal static partial nint send(int fd, byte* buffer, nuint size, int flags);

    // Like recvmmsg only called with MSG_DONTWAIT, and several times for each request: the collector may wait for it.
    [LibraryImport(Name)]
    [SuppressGCTransition]
    internal static partial nint recvfrom(int fd, byte* buffer, nuint size, int flags, byte* from, uint* fromSize);

    [LibraryImport(Name)]
    internal static partial nint sendmsg(int fd, msghdr* message, int flags);

    [LibraryImport(Name)]
    internal static partial nint recvmsg(int fd, msghdr* message, int flags);

    [LibraryImport(Name)]
    [SuppressGCTransition]
    internal static partial int recvmmsg(int fd, mmsghdr* messages, uint count, int flags, timespec* timeout);

    [StructLayout(LayoutKind.Sequential)]
    internal struct @mmsghdr
    {
        public msghdr msg_hdr;
        public uint msg_len;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal struct @ucred
    {
        public int pid;
        public uint uid;
        public uint gid;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal struct @iovec
    {
        public byte* iov_base;
        public nuint iov_len;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal struct @msghdr
    {
        public byte* msg_name;
        public uint msg_namelen;
        public iovec* msg_iov;
        public nuint msg_iovlen;
        public byte* msg_control;
        public nuint msg_controllen;
        public int msg_flags;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal struct @cmsghdr
    {
        public nuint cmsg_len;
        public int cmsg_level;
        public int cmsg_type;
    }
}

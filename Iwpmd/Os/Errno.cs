// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;
using Iwpmd.Os.Interop;

namespace Iwpmd.Os;

/// <summary>The error number of a system call as a value, which prints itself as <c>EADDRINUSE (address already in use)</c>.</summary>
internal readonly record struct Errno(int Number)
{
    public static Errno None => new(0);
    public static Errno NotPermitted => new(1);
    public static Errno NoSuchEntry => new(2);
    public static Errno Interrupted => new(4);
    public static Errno Again => new(11);
    public static Errno NoMemory => new(12);
    public static Errno AccessDenied => new(13);
    public static Errno Busy => new(16);
    public static Errno Exists => new(17);
    public static Errno Invalid => new(22);
    public static Errno TooManyOpenFilesInSystem => new(23);
    public static Errno TooManyOpenFiles => new(24);
    public static Errno NoSpace => new(28);
    public static Errno BrokenPipe => new(32);
    public static Errno NotImplemented => new(38);
    public static Errno TooManyLinks => new(40);
    public static Errno MessageTooLong => new(90);
    public static Errno ProtocolNotSupported => new(93);
    public static Errno OperationNotSupported => new(95);
    public static Errno FamilyNotSupported => new(97);
    public static Errno AddressInUse => new(98);
    public static Errno AddressNotAvailable => new(99);
    public static Errno NetworkDown => new(100);
    public static Errno NetworkUnreachable => new(101);
    public static Errno NoBufferSpace => new(105);
    public static Errno TimedOut => new(110);
    public static Errno ConnectionRefused => new(111);
    public static Errno HostUnreachable => new(113);

    /// <summary>What the last call through <see cref="Libc"/> on this thread left: to be read at once, and only when that call failed.</summary>
    public static Errno Last => new(Marshal.GetLastPInvokeError());

    public override string ToString() => Number switch
    {
        0 => "no error",
        1 => "EPERM (operation not permitted)",
        2 => "ENOENT (no such file or directory)",
        4 => "EINTR (interrupted)",
        5 => "EIO (input or output error)",
        9 => "EBADF (bad file descriptor)",
        11 => "EAGAIN (try again)",
        12 => "ENOMEM (out of memory)",
        13 => "EACCES (permission denied)",
        16 => "EBUSY (busy)",
        17 => "EEXIST (exists already)",
        19 => "ENODEV (no such device)",
        20 => "ENOTDIR (not a directory)",
        21 => "EISDIR (is a directory)",
        22 => "EINVAL (invalid argument)",
        23 => "ENFILE (too many open files in the system)",
        24 => "EMFILE (too many open files)",
        27 => "EFBIG (file too large)",
        28 => "ENOSPC (no space left)",
        30 => "EROFS (read-only file system)",
        32 => "EPIPE (broken pipe)",
        38 => "ENOSYS (not known to this kernel)",
        40 => "ELOOP (symbolic link where none may be)",
        71 => "EPROTO (protocol error)",
        90 => "EMSGSIZE (message too long)",
        93 => "EPROTONOSUPPORT (protocol not supported)",
        95 => "EOPNOTSUPP (operation not supported)",
        97 => "EAFNOSUPPORT (address family not supported)",
        98 => "EADDRINUSE (address already in use)",
        99 => "EADDRNOTAVAIL (address not available)",
        100 => "ENETDOWN (network is down)",
        101 => "ENETUNREACH (network unreachable)",
        105 => "ENOBUFS (no buffer space)",
        110 => "ETIMEDOUT (timed out)",
        111 => "ECONNREFUSED (connection refused)",
        112 => "EHOSTDOWN (host is down)",
        113 => "EHOSTUNREACH (host unreachable)",
        122 => "EDQUOT (quota exceeded)",
        _ => $"errno {Number}",
    };
}

// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;
using Iwpmd.Os.Interop;

namespace Iwpmd.Os;

/// <summary>The error number of a system call, which prints as <c>Address already in use (EADDRINUSE)</c>.</summary>
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
    public static Errno TooManySymbolicLinks => new(40);
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

    /// <summary>
    /// That of the last call through <see cref="Libc"/> on this thread: to be read at once, and only when it failed.
    /// It is the C library's own: a copy of it per call (SetLastError) costs more than reading it after a failure, and
    /// the runtime keeps it over what it does at the return of a call.
    /// </summary>
    public static Errno Last => new(Marshal.GetLastSystemError());

    public override string ToString() => Number switch
    {
        0 => "no error",
        1 => "Operation not permitted (EPERM)",
        2 => "No such file or directory (ENOENT)",
        4 => "Interrupted system call (EINTR)",
        5 => "Input/output error (EIO)",
        9 => "Bad file descriptor (EBADF)",
        11 => "Resource temporarily unavailable (EAGAIN)",
        12 => "Cannot allocate memory (ENOMEM)",
        13 => "Permission denied (EACCES)",
        16 => "Device or resource busy (EBUSY)",
        17 => "File exists (EEXIST)",
        19 => "No such device (ENODEV)",
        20 => "Not a directory (ENOTDIR)",
        21 => "Is a directory (EISDIR)",
        22 => "Invalid argument (EINVAL)",
        23 => "Too many open files in system (ENFILE)",
        24 => "Too many open files (EMFILE)",
        27 => "File too large (EFBIG)",
        28 => "No space left on device (ENOSPC)",
        30 => "Read-only file system (EROFS)",
        32 => "Broken pipe (EPIPE)",
        38 => "Function not implemented (ENOSYS)",
        40 => "Too many levels of symbolic links (ELOOP)",
        71 => "Protocol error (EPROTO)",
        90 => "Message too long (EMSGSIZE)",
        93 => "Protocol not supported (EPROTONOSUPPORT)",
        95 => "Operation not supported (EOPNOTSUPP)",
        97 => "Address family not supported by protocol (EAFNOSUPPORT)",
        98 => "Address already in use (EADDRINUSE)",
        99 => "Cannot assign requested address (EADDRNOTAVAIL)",
        100 => "Network is down (ENETDOWN)",
        101 => "Network is unreachable (ENETUNREACH)",
        105 => "No buffer space available (ENOBUFS)",
        110 => "Connection timed out (ETIMEDOUT)",
        111 => "Connection refused (ECONNREFUSED)",
        112 => "Host is down (EHOSTDOWN)",
        113 => "No route to host (EHOSTUNREACH)",
        122 => "Disk quota exceeded (EDQUOT)",
        _ => $"errno {Number}",
    };
}

// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;

namespace Iwpmd.Os.Interop;

internal static unsafe partial class Libc
{
    [LibraryImport(Name)]
    internal static partial int close(int fd);

    [LibraryImport(Name)]
    internal static partial nint read(int fd, byte* buffer, nuint size);

    [LibraryImport(Name)]
    internal static partial nint pread(int fd, byte* buffer, nuint size, nint offset);

    [LibraryImport(Name)]
    internal static partial nint write(int fd, byte* buffer, nuint size);

    [LibraryImport(Name)]
    internal static partial int pipe2(int* fds, int flags);

    [LibraryImport(Name)]
    internal static partial int dup3(int from, int to, int flags);

    [LibraryImport(Name, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int chdir(string path);

    [LibraryImport(Name, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int access(string path, int mode);

    [LibraryImport(Name, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int unlink(string path);

    [LibraryImport(Name, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial nint readlink(string path, byte* target, nuint size);

    [LibraryImport(Name, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int lchown(string path, uint owner, uint group);

    [LibraryImport(Name)]
    internal static partial int getpid();

    [LibraryImport(Name)]
    internal static partial uint geteuid();

    public const int F_OK = 0, W_OK = 2, R_OK = 4;
}

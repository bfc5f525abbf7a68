// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;

namespace Iwpmd.Os.Interop;

internal static unsafe partial class Libc
{
    public const int PROT_READ = 1, PROT_WRITE = 2, PROT_EXEC = 4, MAP_SHARED = 1, MAP_PRIVATE = 2,
        MAP_ANONYMOUS = 0x20, MADV_DONTNEED = 4;

    /// <summary>Returns -1, not 0, when it fails.</summary>
    [LibraryImport(Name)]
    internal static partial nint mmap(nint address, nuint length, int protection, int flags, int fd, nint offset);

    [LibraryImport(Name)]
    internal static partial int munmap(nint address, nuint length);

    [LibraryImport(Name)]
    internal static partial int madvise(nint address, nuint length, int advice);
}

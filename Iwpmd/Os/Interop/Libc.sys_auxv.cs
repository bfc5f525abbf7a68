// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;

namespace Iwpmd.Os.Interop;

internal static unsafe partial class Libc
{
    public const uint AT_PHDR = 3, AT_PHNUM = 5, AT_EXECFN = 31, PT_LOAD = 1, PT_PHDR = 6, PF_W = 2;

    [LibraryImport(Name)]
    internal static partial nuint getauxval(nuint type);
}

// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;

namespace Iwpmd.Os.Interop;

internal static unsafe partial class Libc
{
    public const uint AT_EXECFN = 31;

    [LibraryImport(Name)]
    internal static partial nuint getauxval(nuint type);
}

// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;

namespace Iwpmd.Os.Interop;

internal static unsafe partial class Libc
{
    [LibraryImport(Name)]
    internal static partial nint getrandom(void* buffer, nuint size, uint flags);
}

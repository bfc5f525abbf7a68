// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;

namespace Iwpmd.Os.Interop;

internal static unsafe partial class Libc
{
    [LibraryImport(Name)]
    internal static partial int setfsuid(uint user);
}

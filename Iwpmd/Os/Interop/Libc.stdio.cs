// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;

namespace Iwpmd.Os.Interop;

internal static unsafe partial class Libc
{
    [LibraryImport(Name, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int rename(string from, string to);
}

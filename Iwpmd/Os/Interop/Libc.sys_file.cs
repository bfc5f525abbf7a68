// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;

namespace Iwpmd.Os.Interop;

internal static unsafe partial class Libc
{
    public const int LOCK_EX = 2, LOCK_NB = 4;

    [LibraryImport(Name)]
    internal static partial int flock(int fd, int operation);
}

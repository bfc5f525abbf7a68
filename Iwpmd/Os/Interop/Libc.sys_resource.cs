// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;

namespace Iwpmd.Os.Interop;

internal static unsafe partial class Libc
{
    public const int RLIMIT_NOFILE = 7;

    [LibraryImport(Name)]
    internal static partial int getrlimit(int resource, rlimit* limit);

    [LibraryImport(Name)]
    internal static partial int setrlimit(int resource, rlimit* limit);

    [StructLayout(LayoutKind.Sequential)]
    internal struct @rlimit
    {
        public nuint rlim_cur;
        public nuint rlim_max;
    }
}

// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;

namespace Iwpmd.Os.Interop;

internal static unsafe partial class Libc
{
    public const int CLOCK_REALTIME = 0, CLOCK_BOOTTIME = 7;

    // Never blocks, and is read several times for each request.
    [LibraryImport(Name)]
    [SuppressGCTransition]
    internal static partial int clock_gettime(int clock, timespec* now);

    [LibraryImport(Name)]
    internal static partial tm* localtime_r(nint* seconds, tm* result);

    [StructLayout(LayoutKind.Sequential)]
    internal struct @timespec
    {
        public nint tv_sec;
        public nint tv_nsec;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal struct @tm
    {
        public int tm_sec;
        public int tm_min;
        public int tm_hour;
        public int tm_mday;
        public int tm_mon;
        public int tm_year;
        public int tm_wday;
        public int tm_yday;
        public int tm_isdst;
        public nint tm_gmtoff;
        public byte* tm_zone;
    }
}

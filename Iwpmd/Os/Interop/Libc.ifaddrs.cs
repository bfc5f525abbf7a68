// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;

namespace Iwpmd.Os.Interop;

internal static unsafe partial class Libc
{
    [LibraryImport(Name)]
    internal static partial int getifaddrs(ifaddrs** list);

    [LibraryImport(Name)]
    internal static partial void freeifaddrs(ifaddrs* list);

    [StructLayout(LayoutKind.Sequential)]
    internal struct @ifaddrs
    {
        public ifaddrs* ifa_next;
        public byte* ifa_name;
        public uint ifa_flags;
        public byte* ifa_addr;
        public byte* ifa_netmask;
        public byte* ifa_dstaddr;
        public byte* ifa_data;
    }
}

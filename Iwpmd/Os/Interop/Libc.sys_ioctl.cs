// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;

namespace Iwpmd.Os.Interop;

internal static unsafe partial class Libc
{
    public const int TCGETS = 0x5401, TIOCSTI = 0x5412, TIOCGWINSZ = 0x5413, TIOCLINUX = 0x541c, SIOCGIFINDEX = 0x8933;

    public const uint TCGETS2 = 0x802c542a;

    [LibraryImport(Name)]
    internal static partial int ioctl(int fd, nuint request, void* argument);

    [StructLayout(LayoutKind.Sequential)]
    internal struct @winsize
    {
        public ushort ws_row, ws_col, ws_xpixel, ws_ypixel;
    }
}

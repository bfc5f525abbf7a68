// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;

namespace Iwpmd.Os.Interop;

internal static unsafe partial class Libc
{
    public const int TMPFS_MAGIC = 0x01021994;

    [LibraryImport(Name)]
    internal static partial int fstatfs(int fd, statfs* result);

    [StructLayout(LayoutKind.Explicit, Size = 120)]
    internal struct @statfs
    {
        [FieldOffset(0)]
        public nint f_type;
        [FieldOffset(8)]
        public nint f_bsize;
        [FieldOffset(32)]
        public ulong f_bavail;
    }
}

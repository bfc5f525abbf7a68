// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;

namespace Iwpmd.Os.Interop;

internal static unsafe partial class Libc
{
    public const uint STATX_BASIC_STATS = 0x7ff;
    public const ushort S_IFMT = 0xf000, S_IFREG = 0x8000, S_IFDIR = 0x4000;

    [LibraryImport(Name, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int mkdir(string path, uint mode);

    [LibraryImport(Name)]
    internal static partial int fchmod(int fd, uint mode);

    // struct stat differs from one architecture to the next; struct statx does not.
    [LibraryImport(Name, EntryPoint = "statx", StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int statx_(int fd, string path, int flags, uint mask, statx* result);

    [StructLayout(LayoutKind.Explicit, Size = 256)]
    internal struct @statx
    {
        [FieldOffset(20)]
        public uint stx_uid;
        [FieldOffset(28)]
        public ushort stx_mode;
        [FieldOffset(32)]
        public ulong stx_ino;
        [FieldOffset(40)]
        public ulong stx_size;
        [FieldOffset(136)]
        public uint stx_dev_major;
        [FieldOffset(140)]
        public uint stx_dev_minor;
    }
}

// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;

namespace Iwpmd.Os.Interop;

// The calls of this header return the error number itself.
internal static unsafe partial class Libc
{
    public const short POSIX_SPAWN_SETSID = 0x80;

    // Opaque: only room for them.
    public const int sizeof_posix_spawn_file_actions_t = 80, sizeof_posix_spawnattr_t = 336;

    [LibraryImport(Name, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int posix_spawn(
        int* pid, string path, byte* fileActions, byte* attributes, byte** argv, byte** envp);

    [LibraryImport(Name)]
    internal static partial int posix_spawnattr_init(byte* attributes);

    [LibraryImport(Name)]
    internal static partial int posix_spawnattr_setflags(byte* attributes, short flags);

    [LibraryImport(Name)]
    internal static partial int posix_spawnattr_destroy(byte* attributes);

    [LibraryImport(Name)]
    internal static partial int posix_spawn_file_actions_init(byte* fileActions);

    [LibraryImport(Name, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int posix_spawn_file_actions_addopen(
        byte* fileActions, int fd, string path, int flags, uint mode);

    [LibraryImport(Name)]
    internal static partial int posix_spawn_file_actions_adddup2(byte* fileActions, int fd, int newFd);

    [LibraryImport(Name)]
    internal static partial int posix_spawn_file_actions_destroy(byte* fileActions);
}

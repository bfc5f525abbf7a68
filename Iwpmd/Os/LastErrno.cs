// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;
using Iwpmd.Os.Interop;
using Iwpmd.Wire;

namespace Iwpmd.Os;

internal static class LastErrno
{
    extension(Errno)
    {
        /// <summary>
        /// That of the last call through <see cref="Libc"/> on this thread: to be read at once, and only when it
        /// failed. It is the C library's own: a copy of it per call (SetLastError) costs more than reading it after a
        /// failure, and the runtime keeps it over what it does at the return of a call.
        /// </summary>
        public static Errno Last => (Errno)Marshal.GetLastSystemError();
    }
}

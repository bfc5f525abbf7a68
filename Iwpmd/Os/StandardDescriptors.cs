// SPDX-License-Identifier: MIT
using Iwpmd.Os.Interop;

namespace Iwpmd.Os;

/// <summary>
/// Descriptors 0, 1 and 2. A caller can leave them closed; the next thing opened would get such a number, and what we
/// say would be written into it.
/// </summary>
internal static class StandardDescriptors
{
    private const int Stdout = 1, Count = 3;

    /// <summary>
    /// Opens those that are closed, on nothing; stdout so that each write to it fails, as it would have.
    /// </summary>
    public static void Fill()
    {
        for (int fd = 0; fd < Count; fd++)
        {
            if (Libc.fcntl(fd, Libc.F_GETFD, 0) < 0)
            {
                // Gets the lowest number, which is this one.
                _ = Libc.open("/dev/null", fd == Stdout ? Libc.O_RDONLY : Libc.O_RDWR, 0);
            }
        }
    }
}

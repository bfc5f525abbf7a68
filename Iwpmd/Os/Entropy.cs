// SPDX-License-Identifier: MIT
using Iwpmd.Os.Interop;
using Iwpmd.Wire;

namespace Iwpmd.Os;

/// <summary>Random numbers that nobody can guess, from the kernel.</summary>
internal static class Entropy
{
    public static unsafe ulong Random64()
    {
        ulong value;
        while (Libc.getrandom(&value, sizeof(ulong), 0) != sizeof(ulong))
        {
            Errno error = Errno.Last;
            if (error != Errno.EINTR)
            {
                throw new InvalidOperationException($"getrandom: {error.Text()}");
            }
        }
        return value;
    }
}

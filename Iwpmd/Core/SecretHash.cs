// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;

namespace Iwpmd.Core;

/// <summary>
/// A keyed hash for tables whose keys other hosts choose: without the secret they cannot make keys collide.
/// </summary>
internal static class SecretHash
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint Of(ulong secret, ulong key)
    {
        ulong mixed = (secret ^ key) * 0xff51afd7ed558ccd;
        return Finish(mixed ^ (mixed >> 32));
    }

    public static uint Of(ulong secret, params ReadOnlySpan<ulong> keys)
    {
        ulong mixed = secret;
        foreach (ulong key in keys)
        {
            mixed = (mixed ^ key) * 0xff51afd7ed558ccd;
            mixed ^= mixed >> 32;
        }
        return Finish(mixed);
    }

    private static uint Finish(ulong mixed) => (uint)((mixed * 0xc4ceb9fe1a85ec53) >> 32);
}

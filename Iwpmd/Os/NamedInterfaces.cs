// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;
using Iwpmd.Os.Interop;

namespace Iwpmd.Os;

/// <summary>Network interfaces by their names, which may come and go, and others may come under them.</summary>
internal sealed class NamedInterfaces(string[] names)
{
    private const uint Loopback = 1; // in every network namespace

    private static readonly TimeSpan LookAgain = TimeSpan.FromSeconds(1);

    private readonly uint[] _indexes = new uint[names.Length];
    private TimeSpan _lookedAt = TimeSpan.MinValue;

    /// <summary>Those that the host does not have.</summary>
    public static string[] FindMissing(string[] names) => Array.FindAll(names, name => Libc.if_nametoindex(name) == 0);

    /// <summary>
    /// True when a datagram that came by the interface with this index is to be taken: by one of these, or by the
    /// host's own; without names by any.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool Takes(uint index, TimeSpan now)
    {
        if (names.Length == 0 || index == Loopback)
        {
            return true;
        }
        if (now > _lookedAt + LookAgain)
        {
            _lookedAt = now;
            for (int i = 0; i < names.Length; i++)
            {
                _indexes[i] = Libc.if_nametoindex(names[i]);
            }
        }
        return index != 0 && _indexes.AsSpan().Contains(index);
    }
}

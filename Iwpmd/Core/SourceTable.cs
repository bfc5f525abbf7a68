// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;
using Iwpmd.Wire;

namespace Iwpmd.Core;

/// <summary>
/// What is known of one source of Requests: a v4 address, or a v6 network of 64 bits, since a host that has one address
/// of such a network has them all.
/// </summary>
internal struct Source
{
    public ulong Key;
    public TokenBucket Bucket;

    /// <summary>REMOTE_INFOs that were sent for it since its last Ack.</summary>
    public int Unconfirmed;
}

/// <summary>
/// Sources in a table of fixed size, set-associative by a keyed hash. The one whose bucket is full the longest is
/// replaced: it loses least by it.
/// </summary>
/// <param name="capacity">A power of two.</param>
internal sealed class SourceTable(int capacity, ulong secret)
{
    private const int Ways = 16;

    private readonly Source[] _sources = new Source[capacity];
    private int _last; // a host is looked up several times for each of its messages

    /// <summary>The row of this source, or a null reference.</summary>
    public ref Source Find(in InetEndpoint address)
    {
        ulong key = KeyOf(address);
        ref Source source = ref FindOrEmpty(key);
        return ref Unsafe.IsNullRef(ref source) || source.Key != key ? ref Unsafe.NullRef<Source>() : ref source;
    }

    public ref Source FindOrAdd(in InetEndpoint address)
    {
        ulong key = KeyOf(address);
        ref Source source = ref FindOrEmpty(key);
        source = ref Unsafe.IsNullRef(ref source) ? ref Oldest(_sources.AsSpan(First(key), Ways)) : ref source;
        if (source.Key != key)
        {
            source = new Source { Key = key };
        }
        return ref source;
    }

    /// <summary>Writes the sources of a family, v4 addresses or v6 networks of 64 bits; returns how many.</summary>
    public int Copy(IpFamily family, Span<ulong> to)
    {
        int count = 0;
        foreach (ref readonly Source source in _sources.AsSpan())
        {
            bool isV4 = source.Key >> 32 == uint.MaxValue;
            if (source.Key != 0 && isV4 == (family == IpFamily.V4))
            {
                to[count++] = isV4 ? ~source.Key : source.Key;
            }
        }
        return count;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong KeyOf(in InetEndpoint address) =>
        address.Family == IpFamily.V4 ? ~address.Low // as no v6 address begins
        : address.High == 0 ? 1 : address.High; // ::1, and 0 is an empty row

    /// <summary>The row with this key, else the first empty one, else a null reference: a set fills in order.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private ref Source FindOrEmpty(ulong key) =>
        ref _sources[_last].Key == key ? ref _sources[_last] : ref SearchSet(key);

    private ref Source SearchSet(ulong key)
    {
        int first = First(key);
        Span<Source> set = _sources.AsSpan(first, Ways);
        for (int i = 0; i < set.Length; i++)
        {
            if (set[i].Key == key || set[i].Key == 0)
            {
                _last = first + i;
                return ref set[i];
            }
        }
        return ref Unsafe.NullRef<Source>();
    }

    private static ref Source Oldest(Span<Source> set)
    {
        ref Source oldest = ref set[0];
        foreach (ref Source source in set)
        {
            if (source.Bucket.FullAt < oldest.Bucket.FullAt)
            {
                oldest = ref source;
            }
        }
        return ref oldest;
    }

    private int First(ulong key) => (int)SecretHash.Of(secret, key) & (_sources.Length - Ways);
}

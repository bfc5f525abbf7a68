// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;

namespace Iwpmd.Core;

/// <summary>Tokens per second, and the burst.</summary>
internal readonly record struct TokenRate(long Interval, long Depth)
{
    public static TokenRate Of(int perSecond, int burst)
    {
        long interval = TimeSpan.TicksPerSecond / perSecond;
        return new TokenRate(interval, interval * burst);
    }
}

/// <summary>A token bucket in eight bytes: the moment at which it will be full again. Zeros are a full one.</summary>
internal struct TokenBucket
{
    public long FullAt { get; private set; }

    public static TokenBucket FullFrom(TimeSpan now) => new() { FullAt = now.Ticks };

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryTake(in TokenRate rate, TimeSpan now)
    {
        long fullAt = Math.Max(FullAt, now.Ticks) + rate.Interval;
        if (fullAt - now.Ticks > rate.Depth)
        {
            return false;
        }
        FullAt = fullAt;
        return true;
    }

    public void GiveBack(in TokenRate rate) => FullAt -= rate.Interval;
}

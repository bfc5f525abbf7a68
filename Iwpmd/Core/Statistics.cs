// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;
using Iwpmd.State;

namespace Iwpmd.Core;

/// <summary>Counters and losses, in the state.</summary>
internal sealed class Statistics(StateLayout state)
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Count(Counter counter, long count = 1) => state.Counters[(int)counter] += (ulong)count;

    /// <summary>A loss for a user of the host: health reports it for <see cref="LossRow.Memory"/>.</summary>
    public void Lose(LossCause cause, TimeSpan now, long count = 1)
    {
        using var health = new RowChange<HealthRow>(ref state.Health);
        health.Row.Losses[(int)cause].Add((ulong)count, now);
    }
}

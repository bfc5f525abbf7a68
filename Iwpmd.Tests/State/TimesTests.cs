// SPDX-License-Identifier: MIT
using Iwpmd.State;
using Xunit;

namespace Iwpmd.Tests.State;

/// <summary>Times in the state, since boot: zero is never, and of another process anything may come.</summary>
public class TimesTests
{
    [Theory]
    [InlineData(3, 10, 7)]
    [InlineData(0, 10, 10)]
    [InlineData(11, 10, 0)] // of a clock that is ahead
    [InlineData(-1, 10, 0)]
    public void A_time_is_so_long_ago_and_one_that_cannot_be_is_now(int then, int now, int since) =>
        Assert.Equal(Seconds(since), StateTime.Since(Seconds(then), Seconds(now)));

    [Fact]
    public void A_loss_is_recent_for_less_than_a_minute()
    {
        LossRow row = default;
        row.Add(1, Seconds(1000));

        Assert.True(row.IsRecent(Seconds(1059)));
        Assert.False(row.IsRecent(Seconds(1060)));
    }

    [Fact]
    public void A_host_that_has_just_booted_has_lost_nothing() => Assert.False(default(LossRow).IsRecent(Seconds(30)));

    [Fact]
    public void Losses_are_added_until_a_minute_has_passed_without_one()
    {
        LossRow row = default;
        row.Add(2, Seconds(1000));
        row.Add(3, Seconds(1059));
        Assert.Equal((5ul, Seconds(1000), Seconds(1059)), (row.Count, row.Since, row.LastAt));

        row.Add(4, Seconds(1119));
        Assert.Equal((4ul, Seconds(1119), Seconds(1119)), (row.Count, row.Since, row.LastAt));
    }

    /// <summary>A damaged one could make the daemon answer a request that the kernel has given up.</summary>
    [Theory]
    [InlineData(-1)]
    [InlineData(+1)]
    public unsafe void Of_a_damaged_heartbeat_the_older_copy_counts(int damage)
    {
        StateHeader header = default;
        header.SeenEmptyAt = new TimeSpan(5000);
        Assert.Equal(5000, header.SeenEmptyAt.Ticks);

        // behind StartedAt and before the end: see the fields of StateHeader
        long* first = (long*)&header.EndedAt - 1, second = &header.ConversationsHighWater + 1;
        *first += damage;
        Assert.Equal(Math.Min(5000, 5000 + damage), header.SeenEmptyAt.Ticks);
        *first -= damage;
        *second -= damage;
        Assert.Equal(Math.Min(5000, 5000 + damage), header.SeenEmptyAt.Ticks);
    }

    private static TimeSpan Seconds(int seconds) => TimeSpan.FromSeconds(seconds);
}

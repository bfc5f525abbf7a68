// SPDX-License-Identifier: MIT
using System.Globalization;
using Iwpmd.Os;
using Xunit;

namespace Iwpmd.Tests.Os;

[Collection(OsCollection.Name)]
public sealed class ClockTests
{
    [Fact]
    public void The_clock_reads_the_time_since_boot()
    {
        TimeSpan before = Clock.Now;
        double uptime = double.Parse(File.ReadAllText("/proc/uptime").Split(' ')[0], CultureInfo.InvariantCulture);
        TimeSpan after = Clock.Now;
        var hundredth = TimeSpan.FromMilliseconds(10); // the file rounds down to that
        Assert.InRange(TimeSpan.FromSeconds(uptime), before - hundredth, after);
    }

    [Fact]
    public void The_time_of_day_is_that_of_people_here()
    {
        TimeSpan before = DateTime.Now.TimeOfDay, time = Clock.LocalTimeOfDay, after = DateTime.Now.TimeOfDay;
        if (after > before) // else midnight came between
        {
            Assert.InRange(time, before - TimeSpan.FromMilliseconds(1), after);
        }
    }

    [Fact]
    public void Random_numbers_differ()
    {
        var numbers = Enumerable.Range(0, 100).Select(_ => Entropy.Random64()).ToHashSet();
        Assert.Equal(100, numbers.Count);
    }
}

// SPDX-License-Identifier: MIT
using Xunit;

namespace Iwpmd.Tests;

public class LogLimiterTests
{
    [Fact]
    public void The_first_lines_of_a_period_pass_and_the_next_period_tells_how_many_did_not()
    {
        var gate = new LogLimiter(TimeSpan.FromSeconds(10), burst: 2);
        bool[] passed = [.. Enumerable.Range(0, 5).Select(second => gate.TryPass(TimeSpan.FromSeconds(second), out _))];
        Assert.Equal([true, true, false, false, false], passed);
        Assert.True(gate.TryPass(TimeSpan.FromSeconds(10), out string suppressed));
        Assert.Equal(" (3 similar messages suppressed)", suppressed);
        Assert.True(gate.TryPass(TimeSpan.FromSeconds(11), out suppressed));
        Assert.Equal("", suppressed);
    }
}

// SPDX-License-Identifier: MIT
using System.Reflection;
using Iwpmd.Tests.Support;
using Microsoft.Extensions.Logging;
using Xunit;

namespace Iwpmd.Tests;

public class LogLimiterTests
{
    private const int ClaimFailed = 401, Overrun = 107, Unlimited = 502;

    private TimeSpan _now = TimeSpan.FromDays(1);

    [Fact]
    public void The_first_lines_of_a_period_pass_and_the_next_period_tells_how_many_did_not()
    {
        var limiter = new LogLimiter(() => _now);
        Assert.Equal([true, true, true, false, false, false], Enumerable.Range(0, 6).Select(_ =>
        {
            _now += TimeSpan.FromSeconds(1);
            return limiter.TryPass(ClaimFailed, out string _);
        }));
        _now += TimeSpan.FromSeconds(5);
        Assert.True(limiter.TryPass(ClaimFailed, out string suppressed));
        Assert.Equal(" (3 similar messages suppressed)", suppressed);
        _now += TimeSpan.FromSeconds(1);
        Assert.True(limiter.TryPass(ClaimFailed, out suppressed));
        Assert.Equal("", suppressed);
    }

    [Fact]
    public void Each_event_has_its_own_limit_and_some_have_none()
    {
        var limiter = new LogLimiter(() => _now);
        Assert.True(limiter.TryPass(Overrun, out string _));
        Assert.False(limiter.TryPass(Overrun, out string _));
        Assert.True(limiter.TryPass(ClaimFailed, out string suppressed));
        Assert.Equal("", suppressed);
        Assert.All(Enumerable.Range(0, 10_000), _ => Assert.True(limiter.TryPass(Unlimited, out string _)));
    }

    [Fact]
    public void A_limit_is_that_of_a_line_of_the_log()
    {
        int[] numbers =
        [
            .. typeof(Log).GetMethods(BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic)
                .Select(method => method.GetCustomAttribute<LoggerMessageAttribute>()?.EventId).OfType<int>(),
        ];
        int[] limited = [.. Enumerable.Range(0, 1000).Where(number => Log.BurstOf(number) is not null)];
        Assert.NotEmpty(limited);
        Assert.Empty(limited.Except(numbers));
    }

    [Fact]
    public void A_sink_ends_the_line_with_the_number_of_those_that_it_suppressed()
    {
        var sink = new RecordedLog(() => _now);
        Log.KernelOverrun(sink);
        Log.KernelOverrun(sink);
        Log.KernelReloaded(sink);
        _now += TimeSpan.FromSeconds(10);
        Log.KernelOverrun(sink);
        Assert.Equal(3, sink.Lines.Count);
        Assert.DoesNotContain("suppressed", sink.Lines[0]);
        Assert.Equal(sink.Lines[0] + " (1 similar messages suppressed)", sink.Lines[2]);
    }
}

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
            return limiter.TryPass(ClaimFailed, LogLevel.Warning, out string _);
        }));
        _now += TimeSpan.FromSeconds(5);
        Assert.True(limiter.TryPass(ClaimFailed, LogLevel.Warning, out string suppressed));
        Assert.Equal(" (3 similar messages suppressed)", suppressed);
        _now += TimeSpan.FromSeconds(1);
        Assert.True(limiter.TryPass(ClaimFailed, LogLevel.Warning, out suppressed));
        Assert.Equal("", suppressed);
    }

    [Fact]
    public void Each_event_has_its_own_limit_and_some_have_none()
    {
        var limiter = new LogLimiter(() => _now);
        Assert.True(limiter.TryPass(Overrun, LogLevel.Warning, out string _));
        Assert.False(limiter.TryPass(Overrun, LogLevel.Warning, out string _));
        Assert.True(limiter.TryPass(ClaimFailed, LogLevel.Warning, out string suppressed));
        Assert.Equal("", suppressed);
        Assert.All(
            Enumerable.Range(0, 10_000), _ => Assert.True(limiter.TryPass(Unlimited, LogLevel.Warning, out string _)));
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

    [Fact]
    public void What_was_suppressed_is_told_when_its_period_has_ended_and_no_line_came()
    {
        var sink = new RecordedLog(() => _now);
        for (int i = 0; i < 150; i++)
        {
            Log.MappingUnprotected(sink, default, default, 5000 + i);
        }
        Log.KernelOverrun(sink);
        sink.Lines.Clear();
        sink.TellSuppressed(_now + TimeSpan.FromSeconds(9.9));
        Assert.Empty(sink.Lines);
        sink.TellSuppressed(_now + TimeSpan.FromSeconds(10));
        sink.TellSuppressed(_now + TimeSpan.FromSeconds(20));
        Assert.Equal(["log: suppressed: 50 more lines of event 203"], sink.Lines);
    }

    [Fact]
    public void A_cause_for_which_no_port_is_claimed_does_not_hide_another()
    {
        var sink = new RecordedLog(() => _now);
        for (int i = 0; i < 10; i++)
        {
            Log.NoPortFree(sink, 40000, 40009, "", "widen port_range");
        }
        sink.Lines.Clear();
        Log.NoPortSocket(sink, "socket: x", "y");
        Log.PortNotBound(sink, "bind: x", "y");
        Assert.Equal(2, sink.Lines.Count);
    }

    [Fact]
    public void What_other_processes_can_cause_without_end_is_limited()
    {
        var sink = new RecordedLog(() => _now) { MinimumLevel = LogLevel.Trace };
        for (int i = 0; i < 1000; i++)
        {
            Log.KernelReceiveFailed(sink, "x");
            Log.RequestRefused(sink, 0, "x");
            Log.KernelForeign(sink, 4711);
            Log.KernelDropped(sink, "x");
        }
        Assert.InRange(sink.Lines.Count, 4, 300);
    }

    [Fact]
    public void At_the_end_all_that_was_suppressed_is_told_at_the_level_of_its_lines()
    {
        var sink = new RecordedLog(() => _now) { MinimumLevel = LogLevel.Error };
        for (int i = 0; i < 3; i++)
        {
            Log.KernelOverrun(sink);
            Log.MappingTableFull(sink, default, 16);
        }
        sink.Lines.Clear();
        sink.TellSuppressed(TimeSpan.MaxValue);
        Assert.Equal(["log: suppressed: 2 more lines of event 208"], sink.Lines);
    }
}

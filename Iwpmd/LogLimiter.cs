// SPDX-License-Identifier: MIT
using Microsoft.Extensions.Logging;

namespace Iwpmd;

/// <summary>Lines of an event that were not logged.</summary>
internal readonly record struct SuppressedLines(int EventId, LogLevel Level, int Count);

/// <summary>
/// Lets the first lines of an event pass in each period, as many as <see cref="Log.BurstOf"/> says, and counts the
/// rest, so that a fault that repeats does not fill the log.
/// </summary>
internal sealed class LogLimiter(Func<TimeSpan> clock)
{
    private static readonly TimeSpan Period = TimeSpan.FromSeconds(10);

    private readonly Dictionary<int, Repeated> _events = [];
    private TimeSpan _nextEnd = TimeSpan.MaxValue; // of a period with suppressed lines, or earlier

    private sealed class Repeated
    {
        public TimeSpan PeriodEnds;
        public LogLevel Level;
        public int Passed, Suppressed;
    }

    /// <param name="suppressed">Text to end the line with: how many lines were suppressed since the last one.</param>
    public bool TryPass(int eventId, LogLevel level, out string suppressed)
    {
        suppressed = "";
        if (Log.BurstOf(eventId) is not int burst)
        {
            return true;
        }
        if (!_events.TryGetValue(eventId, out Repeated? seen))
        {
            _events[eventId] = seen = new Repeated();
        }
        TimeSpan now = clock();
        if (now >= seen.PeriodEnds)
        {
            (seen.PeriodEnds, seen.Passed) = (now + Period, 0);
        }
        if (seen.Passed >= burst)
        {
            (seen.Level, seen.Suppressed) = (level, seen.Suppressed + 1);
            _nextEnd = seen.PeriodEnds < _nextEnd ? seen.PeriodEnds : _nextEnd;
            return false;
        }
        seen.Passed++;
        if (seen.Suppressed > 0)
        {
            suppressed = $" ({seen.Suppressed} similar messages suppressed)";
            seen.Suppressed = 0;
        }
        return true;
    }

    /// <summary>Of each period that has ended by <paramref name="now"/>, if no line has told it yet.</summary>
    public SuppressedLines[] TakeSuppressed(TimeSpan now)
    {
        if (now < _nextEnd)
        {
            return [];
        }
        _nextEnd = TimeSpan.MaxValue;
        List<SuppressedLines> taken = [];
        foreach ((int eventId, Repeated seen) in _events)
        {
            if (seen.Suppressed == 0)
            {
                continue;
            }
            if (now >= seen.PeriodEnds)
            {
                taken.Add(new SuppressedLines(eventId, seen.Level, seen.Suppressed));
                seen.Suppressed = 0;
            }
            else if (seen.PeriodEnds < _nextEnd)
            {
                _nextEnd = seen.PeriodEnds;
            }
        }
        return [.. taken];
    }
}

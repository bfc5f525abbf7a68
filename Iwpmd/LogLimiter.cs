// SPDX-License-Identifier: MIT
namespace Iwpmd;

/// <summary>
/// Lets the first lines of an event pass in each period, as many as <see cref="Log.BurstOf"/> says, and counts the
/// rest, so that a fault that repeats does not fill the log.
/// </summary>
internal sealed class LogLimiter(Func<TimeSpan> clock)
{
    private static readonly TimeSpan Period = TimeSpan.FromSeconds(10);

    private readonly Dictionary<int, Repeated> _events = [];

    private sealed class Repeated
    {
        public TimeSpan PeriodEnds;
        public int Passed, Suppressed;
    }

    /// <param name="suppressed">Text to end the line with: how many lines were suppressed since the last one.</param>
    public bool TryPass(int eventId, out string suppressed)
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
            seen.Suppressed++;
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
}

// SPDX-License-Identifier: MIT
namespace Iwpmd;

/// <summary>
/// Lets the first lines of each period pass and counts the rest, so that a fault that repeats does not fill the log.
/// </summary>
internal struct LogLimiter(TimeSpan period, int burst)
{
    private TimeSpan _periodEnds;
    private int _passed, _suppressed;

    /// <param name="suppressed">Text to end the line with: how many lines were suppressed since the last one.</param>
    public bool TryPass(TimeSpan now, out string suppressed)
    {
        suppressed = "";
        if (now >= _periodEnds)
        {
            _periodEnds = now + period;
            _passed = 0;
        }
        if (_passed >= burst)
        {
            _suppressed++;
            return false;
        }
        _passed++;
        if (_suppressed > 0)
        {
            suppressed = $" ({_suppressed} similar messages suppressed)";
            _suppressed = 0;
        }
        return true;
    }
}

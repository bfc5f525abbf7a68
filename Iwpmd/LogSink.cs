// SPDX-License-Identifier: MIT
using Microsoft.Extensions.Logging;

namespace Iwpmd;

/// <summary>
/// Where log lines go, for one thread: drops those below the minimum level, and those of an event that repeats too
/// often.
/// </summary>
internal abstract class LogSink(Func<TimeSpan> clock) : ILogger
{
    private const int FirstOfConfiguration = 600; // Log.cs

    private readonly LogLimiter _limiter = new(clock);

    public LogLevel MinimumLevel { get; set; } = LogLevel.Information;

    /// <summary>
    /// Gets what is wrong with configuration and state as well, and why the daemon fails, whatever the minimum level.
    /// </summary>
    public Action<string>? Terminal { get; set; }

    public bool IsEnabled(LogLevel logLevel) =>
        logLevel != LogLevel.None
            && (logLevel >= MinimumLevel || (Terminal is not null && logLevel >= LogLevel.Warning));

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public void Log<TState>(
        LogLevel logLevel, EventId eventId, TState state, Exception? exception,
        Func<TState, Exception?, string> formatter)
    {
        if (IsEnabled(logLevel) && _limiter.TryPass(eventId.Id, logLevel, out string suppressed))
        {
            string text = formatter(state, exception) + suppressed;
            if (logLevel == LogLevel.Critical || (logLevel >= LogLevel.Warning && eventId.Id >= FirstOfConfiguration))
            {
                Terminal?.Invoke(text);
            }
            if (logLevel >= MinimumLevel)
            {
                Write(logLevel, eventId, text, exception);
            }
        }
    }

    /// <summary>
    /// Logs how many lines were suppressed, of each event that has not been logged since; at every wake-up, and at the
    /// end with a time that is never reached.
    /// </summary>
    public void TellSuppressed(TimeSpan now)
    {
        foreach (SuppressedLines lines in _limiter.TakeSuppressed(now))
        {
            Iwpmd.Log.LinesSuppressed(this, lines.Level, lines.Count, lines.EventId);
        }
    }

    protected abstract void Write(LogLevel level, EventId id, string text, Exception? exception);
}

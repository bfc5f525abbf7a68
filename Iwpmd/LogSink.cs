// SPDX-License-Identifier: MIT
using Microsoft.Extensions.Logging;

namespace Iwpmd;

/// <summary>
/// Where log lines go, for one thread: drops those below the minimum level, and those of an event that repeats too
/// often.
/// </summary>
internal abstract class LogSink(Func<TimeSpan> clock) : ILogger
{
    private readonly LogLimiter _limiter = new(clock);

    public LogLevel MinimumLevel { get; set; } = LogLevel.Information;

    public bool IsEnabled(LogLevel logLevel) => logLevel >= MinimumLevel && logLevel != LogLevel.None;

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public void Log<TState>(
        LogLevel logLevel, EventId eventId, TState state, Exception? exception,
        Func<TState, Exception?, string> formatter)
    {
        if (IsEnabled(logLevel) && _limiter.TryPass(eventId.Id, out string suppressed))
        {
            Write(logLevel, eventId, formatter(state, exception) + suppressed, exception);
        }
    }

    protected abstract void Write(LogLevel level, EventId id, string text, Exception? exception);
}

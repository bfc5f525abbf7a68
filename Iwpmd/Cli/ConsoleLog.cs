// SPDX-License-Identifier: MIT
using Iwpmd.Os;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Logging.Console;
using Microsoft.Extensions.Options;

namespace Iwpmd.Cli;

/// <summary>
/// The console logger of Microsoft.Extensions.Logging on stderr, put together by hand: its own set-up, by dependency
/// injection, is a third of the time and memory of a start. What cannot be written at once is dropped, since a stuck
/// terminal must not make answers late.
/// </summary>
internal sealed class ConsoleLog : LogSink, IDisposable
{
    private readonly ConsoleLoggerProvider _provider;
    private readonly ILogger _console;

    public ConsoleLog(ConsoleFormatter formatter, LogLevel minimum)
        : base(() => Clock.Now)
    {
        var options = new ConsoleLoggerOptions
        {
            FormatterName = formatter.Name,
            LogToStandardErrorThreshold = LogLevel.Trace,
            MaxQueueLength = 10_000, // a dump of so many mappings, 2 MB
            QueueFullMode = ConsoleLoggerQueueFullMode.DropWrite,
        };
        Console.SetOut(TextWriter.Null);
        Console.SetError(new StandardErrorWriter());
        MinimumLevel = minimum;
        _provider = new ConsoleLoggerProvider(new FixedOptions(options), [formatter]);
        _console = _provider.CreateLogger("iwpmd");
    }

    public void Dispose() => _provider.Dispose();

    /// <summary>
    /// The text, not what it is made of: where the library first meets another kind of line it looks for its code of
    /// that kind, which takes longer than to write it.
    /// </summary>
    protected override void Write(LogLevel level, EventId id, string text, Exception? exception) =>
        _console.Log(level, id, text, exception, static (text, _) => text);

    private sealed class FixedOptions(ConsoleLoggerOptions options) : IOptionsMonitor<ConsoleLoggerOptions>
    {
        public ConsoleLoggerOptions CurrentValue => options;

        public ConsoleLoggerOptions Get(string? name) => options;

        public IDisposable? OnChange(Action<ConsoleLoggerOptions, string?> listener) => null;
    }
}

/// <summary>Who reads a line.</summary>
internal enum LineAudience
{
    People,
    ServiceManager,
}

/// <summary>
/// One line of the console log: <c>&lt;6&gt;text (event 502)</c> for a service manager,
/// <c>12:00:00.000 info: text (event 502)</c> for people.
/// </summary>
internal sealed class LineFormatter(LineAudience audience) : ConsoleFormatter("line")
{
    public override void Write<TState>(
        in LogEntry<TState> logEntry, IExternalScopeProvider? scopeProvider, TextWriter textWriter)
    {
        string text = logEntry.Formatter(logEntry.State, logEntry.Exception);
        // The rest apart: there is a copy of this for each kind of line.
        textWriter.Write(Line(logEntry.LogLevel, LogLine.Of(logEntry.EventId, text, logEntry.Exception)));
    }

    private string Line(LogLevel level, string text)
    {
        TimeSpan time = Clock.LocalTimeOfDay;
        string start = audience == LineAudience.ServiceManager ? $"<{Syslog.SeverityOf(level)}>"
            : $"{time.Hours:D2}:{time.Minutes:D2}:{time.Seconds:D2}.{time.Milliseconds:D3} {NameOf(level)}: ";
        return $"{start}{text}\n";
    }

    private static string NameOf(LogLevel level) => level switch
    {
        LogLevel.Critical => "crit",
        LogLevel.Error => "fail",
        LogLevel.Warning => "warn",
        LogLevel.Information => "info",
        _ => "dbug",
    };
}

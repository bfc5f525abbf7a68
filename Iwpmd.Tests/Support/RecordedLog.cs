// SPDX-License-Identifier: MIT
using Microsoft.Extensions.Logging;

namespace Iwpmd.Tests.Support;

/// <summary>Keeps what is logged, from Information up if no other level is set, without the program's prefix.</summary>
/// <param name="clock">None: its time does not pass.</param>
internal sealed class RecordedLog(Func<TimeSpan>? clock = null) : LogSink(clock ?? (() => TimeSpan.Zero))
{
    public List<string> Lines { get; } = [];

    protected override void Write(LogLevel level, EventId id, string text, Exception? exception) => Lines.Add(text);
}

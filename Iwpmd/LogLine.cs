// SPDX-License-Identifier: MIT
using Microsoft.Extensions.Logging;

namespace Iwpmd;

/// <summary>
/// What each sink of the log writes behind what it adds of its own (time, level, program): the text on one line, then
/// the number of the event, by which a line is found whatever its words.
/// </summary>
internal static class LogLine
{
    public static string Of(EventId id, string text, Exception? exception) =>
        $"{Printable.Of(exception is null ? text : $"{text}: {exception}")} (event {id.Id})";
}

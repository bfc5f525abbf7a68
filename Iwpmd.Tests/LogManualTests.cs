// SPDX-License-Identifier: MIT
using System.Reflection;
using System.Text.RegularExpressions;
using Iwpmd.Tests.Support;
using Microsoft.Extensions.Logging;
using Xunit;

namespace Iwpmd.Tests;

/// <summary>
/// DIAGNOSTICS in the manual page knows every line that an administrator sees at the usual level, by its beginning;
/// words in capitals stand for what differs.
/// </summary>
public partial class LogManualTests
{
    private static readonly LoggerMessageAttribute[] Lines =
    [
        .. typeof(Log).GetMethods(BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic)
            .Select(method => method.GetCustomAttribute<LoggerMessageAttribute>()).OfType<LoggerMessageAttribute>(),
    ];

    private static string Manual => File.ReadAllText(Repository.PathOf("iwpmd.8"));

    /// <summary>
    /// Messages from Information up; 504 carries the reasons of a start that failed, which have a section of their own.
    /// </summary>
    private static string[] Messages(IEnumerable<LoggerMessageAttribute> lines) =>
    [
        .. lines.Where(line => line.Level >= LogLevel.Information && line.EventId != 504)
            .Select(line => Placeholder().Replace(line.Message, "x")),
    ];

    private static IEnumerable<string> Undocumented(IEnumerable<string> messages, string page)
    {
        Regex[] entries =
        [
            .. Entry().Matches(page).Select(entry =>
                new Regex("^" + Capitals().Replace(Regex.Escape(entry.Groups[1].Value), ".+?"))),
        ];
        return messages.Where(message => !Array.Exists(entries, entry => entry.IsMatch(message)));
    }

    [Fact]
    public void Every_line_from_Information_up_is_explained()
    {
        string[] messages = Messages(Lines);

        Assert.True(messages.Length > 30, $"only {messages.Length} messages are found");
        Assert.Empty(Undocumented(messages, Manual));
    }

    [Fact]
    public void No_two_lines_have_one_number()
    {
        int[] numbers = [.. Lines.Select(line => line.EventId)];

        Assert.Equal(numbers.Distinct(), numbers);
    }

    [Fact]
    public void A_line_that_is_not_explained_is_seen()
    {
        string[] messages = Messages(
        [
            new LoggerMessageAttribute(1, LogLevel.Warning, "a: b: {X} of {Y}{Suppressed}"),
            new LoggerMessageAttribute(2, LogLevel.Debug, "c: d"),
        ]);

        Assert.Equal(["a: b: x of xx"], messages);
        Assert.Empty(Undocumented(messages, ".It \"a: b: NUMBER of\""));
        Assert.Equal(messages, Undocumented(messages, ".It \"a: c: NUMBER of\""));
    }

    [GeneratedRegex(@"\{\w+\}")]
    private static partial Regex Placeholder();

    [Fact]
    public void Of_a_changed_library_the_line_says_what_to_do() => Assert.Contains(
        Lines, line => line.EventId == 108 && line.Message.Contains(": refused: restart the daemon"));

    [GeneratedRegex("(?m)^\\.It \"(.*)\"$")]
    private static partial Regex Entry();

    [GeneratedRegex("[A-Z]{2,}")]
    private static partial Regex Capitals();
}

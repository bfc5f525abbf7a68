// SPDX-License-Identifier: MIT
using System.Text.RegularExpressions;
using Iwpmd.Tests.Support;
using Xunit;

namespace Iwpmd.Tests;

/// <summary>DIAGNOSTICS in the manual page knows every line that an administrator sees at the usual level, by its beginning; words in capitals stand for what differs.</summary>
public partial class LogManualTests
{
    private static string Read(string path) => File.ReadAllText(Repository.PathOf(path));

    /// <summary>Messages from Information up; 504 carries the reasons of a start that failed, which have a section of their own.</summary>
    private static string[] Messages(string log) =>
        [.. Line().Matches(log).Where(line => line.Groups["id"].Value != "504").Select(line => Placeholder().Replace(line.Groups["text"].Value, "x"))];

    private static IEnumerable<string> Undocumented(IEnumerable<string> messages, string page)
    {
        Regex[] entries = [.. Entry().Matches(page).Select(entry => new Regex("^" + Capitals().Replace(Regex.Escape(entry.Groups[1].Value), ".+?")))];
        return messages.Where(message => !Array.Exists(entries, entry => entry.IsMatch(message)));
    }

    [Fact]
    public void Every_line_from_Information_up_is_explained()
    {
        string[] messages = Messages(Read("Iwpmd/Log.cs"));

        Assert.True(messages.Length > 30, $"only {messages.Length} messages are found");
        Assert.Empty(Undocumented(messages, Read("iwpmd.8")));
    }

    [Fact]
    public void No_two_lines_have_one_number()
    {
        string[] numbers = [.. Number().Matches(Read("Iwpmd/Log.cs")).Select(number => number.Groups[1].Value)];

        Assert.Equal(numbers.Distinct(), numbers);
    }

    [Fact]
    public void A_line_that_is_not_explained_is_seen()
    {
        string[] messages = Messages("[LoggerMessage(1, LogLevel.Warning, \"a: b: {X} of {Y}{Suppressed}\")]\n[LoggerMessage(2, LogLevel.Debug, \"c: d\")]");

        Assert.Equal(["a: b: x of xx"], messages);
        Assert.Empty(Undocumented(messages, ".It \"a: b: NUMBER of\""));
        Assert.Equal(messages, Undocumented(messages, ".It \"a: c: NUMBER of\""));
    }

    [GeneratedRegex("""
        LoggerMessage\((?<id>\d+),\ LogLevel\.(?:Information|Warning|Error|Critical),\ "(?<text>[^"]*)"\)
        """, RegexOptions.IgnorePatternWhitespace)]
    private static partial Regex Line();

    [GeneratedRegex(@"LoggerMessage\((\d+),")]
    private static partial Regex Number();

    [GeneratedRegex(@"\{\w+\}")]
    private static partial Regex Placeholder();

    [GeneratedRegex("(?m)^\\.It \"(.*)\"$")]
    private static partial Regex Entry();

    [GeneratedRegex("[A-Z]{2,}")]
    private static partial Regex Capitals();
}

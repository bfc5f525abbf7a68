// SPDX-License-Identifier: MIT
using System.Reflection;
using System.Text.RegularExpressions;
using Iwpmd.Tests.Support;
using Microsoft.Extensions.Logging;
using Xunit;

namespace Iwpmd.Tests;

/// <summary>
/// No log line, manual page, document, script or comment has a word that the glossary of CONTRIBUTING replaced.
/// </summary>
public partial class GlossaryTests
{
    private static readonly string[] Documents =
        ["iwpmd.8", "iwpmd.conf.5", "iwpmd.conf", "NEWS", "README.md", "UPGRADING.md", "doc/operation.md"];

    private static readonly string[] Folders =
    [
        "Iwpmd/Cli", "Iwpmd/Os", "Iwpmd/Wire", "Iwpmd/Core", "Iwpmd/State", "Iwpmd/Daemon",
        "Iwpmd.Tests/Core", "Iwpmd.Tests/Daemon", "Iwpmd.Tests/Native", "Iwpmd.Tests/Support",
    ];

    private static readonly string[] ScriptFolders =
        ["bench", "deb", "dist", "findings", "fuzz", "rpm", "simkernel"];

    private static IEnumerable<string> LogLines =>
        typeof(Log).GetMethods(BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic)
            .Select(method => method.GetCustomAttribute<LoggerMessageAttribute>()?.Message).OfType<string>();

    private static IEnumerable<string> Replaced(string name, IEnumerable<string> lines) =>
        lines.Select((line, index) => (line, index))
            .Where(one => Words().IsMatch(one.line))
            .Select(one => $"{name}:{one.index + 1}: {Words().Match(one.line).Value}");

    [Fact]
    public void Log_lines_documents_and_sources_have_no_replaced_word()
    {
        string[] pictures = [".png", ".svg"];
        string[] files =
        [
            .. Documents, .. Folders.SelectMany(Repository.Sources),
            .. ScriptFolders.SelectMany(Repository.Files).Where(path => !pictures.Contains(Path.GetExtension(path))),
        ];
        Assert.True(files.Length > 300, $"{files.Length} files");

        Assert.Empty(Replaced("Log.cs", LogLines));
        Assert.Empty(files.SelectMany(file => Replaced(file, File.ReadLines(Repository.PathOf(file)))));
    }

    [Theory]
    [InlineData("most of what strangers send", true)]
    [InlineData("the connection goes on unmapped", true)]
    [InlineData("another process said hello in our place", true)]
    [InlineData("the connection continues unmapped", false)]
    [InlineData("categories of devices", false)]
    public void A_replaced_word_is_seen(string line, bool expected) =>
        Assert.Equal(expected, Replaced("x", [line]).Any());

    [GeneratedRegex(
        @"\b(strangers?|census|usurp\w*|going on with|(goes|go|went) on\b|anew|set right|tells? of|in our place"
        + @"|proved itself|in vain|at work|as asked\b)", RegexOptions.IgnoreCase)]
    private static partial Regex Words();
}

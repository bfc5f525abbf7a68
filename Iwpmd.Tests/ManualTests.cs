// SPDX-License-Identifier: MIT
using System.Text.RegularExpressions;
using Iwpmd.Daemon;
using Iwpmd.Tests.Support;
using Xunit;

namespace Iwpmd.Tests;

/// <summary>The manual as mandoc and man-db render it.</summary>
public partial class ManualTests
{
    public static TheoryData<string> Pages => ["iwpmd.8", "iwpmd.conf.5"];

    [Theory]
    [MemberData(nameof(Pages))]
    public async Task Neither_renderer_has_a_warning(string page)
    {
        Tool.Run("mandoc", "mandoc", "-T", "lint", "-W", "warning", Repository.PathOf(page));
        using var man = Tool.Start(
            "man", "man-db", "--warnings=w,mac", "--pager=cat", "--local-file", Repository.PathOf(page));
        Task<string> output = man.StandardOutput.ReadToEndAsync();
        Assert.Equal("", await man.StandardError.ReadToEndAsync());
        Assert.NotEmpty(await output);
    }

    [Theory]
    [MemberData(nameof(Pages))]
    public void Both_renderers_show_the_same(string page)
    {
        string mandoc = ManualPage.ByMandoc(page).Letters;

        Assert.True(mandoc.Length > 3000, $"only {mandoc.Length} letters");
        Assert.Equal(mandoc, ManualPage.ByManDb(page).Letters);
    }

    [Theory]
    [InlineData("iwpmd.8", "System Manager's Manual")]
    [InlineData("iwpmd.conf.5", "File Formats Manual")]
    public void The_header_names_the_section_and_no_other_system(string page, string section)
    {
        foreach (ManualPage rendered in ManualPage.Rendered(page))
        {
            Assert.Matches($@"^IWPMD(\.CONF)?\(\d\)\s+{section}\s+IWPMD(\.CONF)?\(\d\)$", rendered.Lines[0]);
            Assert.DoesNotContain("BSD", rendered.Lines[^1]);
        }
    }

    [Theory]
    [MemberData(nameof(Pages))]
    public void What_is_opened_is_closed(string page)
    {
        foreach (ManualPage rendered in ManualPage.Rendered(page))
        {
            Assert.DoesNotContain(rendered.Paragraphs, paragraph => !IsBalanced(paragraph));
        }
    }

    [Fact]
    public void Each_key_has_the_unit_the_default_and_the_bounds_of_the_program()
    {
        string[] keys = File.ReadAllText(Repository.PathOf("iwpmd.conf.5")).Split(".It Ic ")[1..];

        Assert.Equal(Configuration.Keys.Select(key => key.Name), keys.Select(key => key.Split(' ')[0]));
        foreach ((string entry, ConfigurationKey key) in keys.Zip(Configuration.Keys))
        {
            string text = Markup().Replace(entry, "").Replace('\n', ' ');
            Assert.Contains($"Default: {key.Default}", text);
            if (Bounds().Match(key.Expected) is { Success: true } bounds)
            {
                string unit = bounds.Groups[3].Value == "ms" ? "milliseconds" : bounds.Groups[3].Value;
                Assert.Contains($"Unit: {unit}. Default: {key.Default}. ", text);
                Assert.Contains($"Range: {bounds.Groups[1].Value} to {bounds.Groups[2].Value}. ", text);
            }
        }
        Assert.True(Configuration.Keys.Count(key => Bounds().IsMatch(key.Expected)) > 7);
    }

    [Theory]
    [InlineData("a (b [c] \"d\")", true)]
    [InlineData("state (\"held, \"advertised\"\")", false)]
    [InlineData("mapped: a -> b (client c", false)]
    [InlineData("[-j [-w seconds]", false)]
    public void What_is_not_closed_is_seen(string line, bool expected) => Assert.Equal(expected, IsBalanced(line));

    /// <summary>
    /// Brackets in pairs; a quotation mark opens behind a blank or bracket and closes before anything but a letter.
    /// </summary>
    private static bool IsBalanced(string line)
    {
        if (Count('(') != Count(')') || Count('[') != Count(']') || Count('{') != Count('}') || Count('"') % 2 != 0)
        {
            return false;
        }
        string[] parts = line.Split('"');
        return Enumerable.Range(0, parts.Length / 2).All(
            i => parts[(2 * i) + 1] is { Length: > 0 } quoted && quoted.Trim() == quoted && !NoEnd().IsMatch(
                parts[(2 * i) + 2]));

        int Count(char wanted) => line.Count(letter => letter == wanted);
    }

    [GeneratedRegex(@"^\w")]
    private static partial Regex NoEnd();

    [GeneratedRegex(@"^\.[A-Z][a-z] ", RegexOptions.Multiline)]
    private static partial Regex Markup();

    [GeneratedRegex(@"^(\d+) to (\d+) (.+)$")]
    private static partial Regex Bounds();
}

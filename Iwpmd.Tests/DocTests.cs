// SPDX-License-Identifier: MIT
using System.Text.RegularExpressions;
using Iwpmd.Tests.Support;
using Xunit;

namespace Iwpmd.Tests;

/// <summary>The manual as <c>make doc</c> renders it.</summary>
public sealed partial class DocTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("iwpmd-doc-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Each_link_leads_somewhere()
    {
        Tool.Run(Repository.PathOf("dist/manual"), "mandoc", _folder);
        Dictionary<string, string> pages = Directory.GetFiles(_folder).ToDictionary(
            file => Path.GetFileName(file), File.ReadAllText);
        (string Page, string Link)[] links =
            [.. pages.SelectMany(page => Href().Matches(page.Value).Select(link => (page.Key, link.Groups[1].Value)))];

        Assert.Equal(["index.html", "iwpmd.8.html", "iwpmd.conf.5.html"], pages.Keys.Order());
        Assert.Contains(("index.html", "iwpmd.8.html#DIAGNOSTICS"), links);
        Assert.Contains(("iwpmd.8.html", "iwpmd.conf.5.html"), links);
        foreach ((string page, string link) in links.Where(
            link => !link.Link.StartsWith("https://manpages.debian.org/")))
        {
            string[] parts = link.Split('#');
            string target = parts[0].Length == 0 ? page : parts[0];
            Assert.True(pages.ContainsKey(target), $"{page}: {link}: there is no {target}");
            Assert.True(
                parts.Length == 1 || pages[target].Contains($"id=\"{parts[1]}\""),
                $"{page}: {link}: {target} has no such place");
        }
    }

    [GeneratedRegex("href=\"([^\"]*)\"")]
    private static partial Regex Href();
}

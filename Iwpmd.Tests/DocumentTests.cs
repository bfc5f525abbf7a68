// SPDX-License-Identifier: MIT
using System.Text.RegularExpressions;
using Iwpmd.Tests.Support;
using Xunit;

namespace Iwpmd.Tests;

/// <summary>
/// What the documents name is there: files, tests, facts of the protocol; and their lines can be read.
/// </summary>
public partial class DocumentTests
{
    private const int Columns = 120, ReadmeLines = 120;

    private static readonly string[] Documents =
        [.. Repository.Files("doc").Where(path => path.EndsWith(".md")), "README.md", "CONTRIBUTING.md", "UPGRADING.md",
            "SECURITY.md", "NEWS", "bench/README.md", "fuzz/README.md", "lab/README.md"];

    private static readonly string[] SourceFolders =
    [
        "bench", "deb", "dist", "findings", "fuzz", "lab", "mutants", "rpm", "simkernel", "simulator", "Iwpmd",
        "Iwpmd.Tests",
    ];

    private static readonly string[] SourceFiles =
        ["Makefile", "Directory.Build.props", "Directory.Build.targets", "iwpmd.8", "iwpmd.conf", "iwpmd.conf.5"];

    [Fact]
    public void Whatever_a_document_names_is_there() =>
        AssertNone(Documents.SelectMany(path => Missing(path, Read(path))));

    [Theory]
    [InlineData("see [the list](no-such-list.md)", "README.md: no-such-list.md")]
    [InlineData("(`Core/NoSuchFile.cs`)", "README.md: Core/NoSuchFile.cs")]
    [InlineData("`NoSuchTests`", "README.md: NoSuchTests")]
    [InlineData("`DocumentTests.No_such_test`", "README.md: DocumentTests.No_such_test")]
    [InlineData("`DocumentTests.No_such...`", "README.md: DocumentTests.No_such...")]
    [InlineData("`Log.NoSuchLine`", "README.md: `Log.NoSuchLine`")]
    [InlineData("`NoSuchType.Lines`", "README.md: `NoSuchType.Lines`")]
    [InlineData("`Log.BurstOf` `PortRange.Count`", "")]
    [InlineData("[here](README.md) [there](https://host.example/x) `DocumentTests.Whatever_a...` `Program.cs`", "")]
    public void What_is_missing_is_seen(string text, string missing) =>
        Assert.Equal(missing, string.Join('\n', Missing("README.md", text)));

    [Fact]
    public void The_architecture_lists_each_source_file_and_its_journeys_name_methods_that_are_there()
    {
        string text = Read("doc/architecture.md");
        string[] sources = [.. Repository.Sources("Iwpmd").Where(path => !path.StartsWith("Iwpmd/Os/Interop/"))];
        (string File, string Method)[] steps = [.. Step().Matches(text[text.IndexOf("## Journey")..]).SelectMany(
            step => step.Groups[2].Captures.Select(method => (step.Groups[1].Value, method.Value)))];

        Assert.True(sources.Length > 100 && steps.Length > 15, $"{sources.Length} sources, {steps.Length} steps");
        Assert.DoesNotContain(sources, path => !text.Contains($"`{path["Iwpmd/".Length..]}`"));
        Assert.DoesNotContain(steps, step => !Read("Iwpmd/" + step.File).Contains($" {step.Method}("));
    }

    [Fact]
    public void The_facts_of_the_protocol_have_one_number_each_and_those_that_sources_cite_are_among_them()
    {
        string[] facts = [.. Fact().Matches(Read("doc/protocol.md")).Select(fact => fact.Groups[1].Value)];
        IEnumerable<string> cited = Repository.Files().Where(
            path => Path.GetExtension(path) is ".cs" or ".c" or ".sh" or ".md")
            .SelectMany(path => Citation().Matches(Read(path)).SelectMany(cited => Number().Matches(cited.Value)))
            .Select(number => number.Value);

        Assert.True(facts.Length > 90, $"only {facts.Length} facts");
        Assert.Equal(facts, facts.Distinct());
        Assert.Empty(cited.Except(facts));
    }

    [Fact]
    public void Lines_have_at_most_120_columns_and_the_readme_120_lines()
    {
        AssertNone(Documents.SelectMany(TooWide));
        Assert.InRange(File.ReadLines(Repository.PathOf("README.md")).Count(), 1, ReadmeLines);
    }

    /// <summary>But for data: pictures, tables that programs write, dashboards, recorded bytes.</summary>
    [Fact]
    public void Lines_of_code_and_of_scripts_have_at_most_120_columns()
    {
        string[] data = [".gz", ".json", ".jsonl", ".md", ".pcap", ".pcapng", ".png", ".svg", ".txt"];
        string[] files = [.. SourceFolders.SelectMany(Repository.Files).Concat(SourceFiles).Where(
            path => !data.Contains(Path.GetExtension(path)) && path is not "dist/need")];
        Assert.True(files.Length > 400, $"{files.Length} files");
        AssertNone(files.SelectMany(TooWide));
    }

    private static IEnumerable<string> TooWide(string path) =>
        File.ReadLines(Repository.PathOf(path)).Select((line, at) => (line.Length, At: at + 1))
            .Where(line => line.Length > Columns).Select(line => $"{path}:{line.At}: {line.Length} columns");

    private static IEnumerable<string> Missing(string document, string text)
    {
        string folder = Path.GetDirectoryName(document)!;
        var missing = Link().Matches(text).Select(link => link.Groups[1].Value)
            .Where(link => !Path.Exists(Repository.PathOf(Path.Combine(folder, link))))
            .Concat(Source().Matches(text).Select(source => source.Groups[1].Value)
                .Where(source => !File.Exists(Repository.PathOf(source)) && !File.Exists(
                    Repository.PathOf("Iwpmd/" + source))))
            .Concat(Test().Matches(text).Where(
                test => !IsTest(test.Groups[1].Value, test.Groups[2].Value, test.Groups[3].Success))
                .Select(test => test.Value))
            .Concat(Member().Matches(text).Where(
                member => !IsMember(member.Groups[1].Value, member.Groups[2].Value)).Select(member => member.Value));
        return missing.Select(what => $"{document}: {what}");
    }

    /// <param name="isBeginning">Of a method's name only the beginning is given.</param>
    private static bool IsTest(string type, string method, bool isBeginning)
    {
        string[] sources =
            [.. Repository.Sources("Iwpmd.Tests").Where(path => Path.GetFileName(path) == type + ".cs").Select(Read)];
        return sources.Length > 0
            && (method.Length == 0 || sources.Any(source => source.Contains($" {method}{(isBeginning ? "" : "(")}")));
    }

    private static bool IsMember(string type, string member) => Repository.Sources("Iwpmd").Select(Read).Any(
        source => Regex.IsMatch(source, $@"\b(class|struct|record|enum|interface) {type}\b")
            && Regex.IsMatch(source, $@"\b{member}\b"));

    private static void AssertNone(IEnumerable<string> violations) => Assert.Equal("", string.Join('\n', violations));

    private static string Read(string path) => File.ReadAllText(Repository.PathOf(path));

    [GeneratedRegex(@"\]\(([^)#:]+)\)")]
    private static partial Regex Link();

    [GeneratedRegex(@"`([\w./]+\.cs)`")]
    private static partial Regex Source();

    [GeneratedRegex(@"\b([A-Z]\w*Tests)\b(?:\.([A-Z]\w*)(\.\.\.)?)?(?!/)")]
    private static partial Regex Test();

    [GeneratedRegex(@"`(?!System\.|Iwpmd\.|\w+Tests\.)([A-Z]\w+)\.([A-Z]\w+)(?:\(\))?`")]
    private static partial Regex Member();

    [GeneratedRegex(@"^(?:- |\| )([A-Z]\d\.\d+) ", RegexOptions.Multiline)]
    private static partial Regex Fact();

    [GeneratedRegex(@"`([\w./]+\.cs)`\s(?:(?:,\s|and\s)?([A-Z]\w+)\s?)+")]
    private static partial Regex Step();

    [GeneratedRegex(@"protocol\.md ((, |and )?[A-Z]\d\.\d+)+")]
    private static partial Regex Citation();

    [GeneratedRegex(@"[A-Z]\d\.\d+")]
    private static partial Regex Number();
}

// SPDX-License-Identifier: MIT
using Iwpmd.Tests.Support;
using Xunit;

namespace Iwpmd.Tests;

/// <summary>Each source file says its license where tools look for that (SPDX), whatever its language.</summary>
public class LicenseTests
{
    private const string Line = "SPDX-License-Identifier: MIT";

    private static readonly string[] s_kinds =
        [
            ".cs", ".c", ".h", ".sh", ".bash", ".service", ".timer", ".rules", ".spec", ".te", ".fc", ".if", ".csproj",
            ".props", ".targets", ".8", ".5",
        ];

    [Fact]
    public void Each_source_file_names_its_license()
    {
        string[] sources = [.. Repository.Files().Where(IsSource)];

        Assert.True(sources.Length > 200, $"only {sources.Length} files are found");
        Assert.DoesNotContain(sources, source => !Beginning(source).Any(line => line.Contains(Line)));
    }

    private static bool IsSource(string path) =>
        s_kinds.Contains(Path.GetExtension(path)) || Path.GetFileName(path) == "Makefile"
            || Beginning(path).FirstOrDefault("").StartsWith("#!");

    /// <summary>Scripts have their interpreter in the first line.</summary>
    private static IEnumerable<string> Beginning(string path) => File.ReadLines(Repository.PathOf(path)).Take(2);
}

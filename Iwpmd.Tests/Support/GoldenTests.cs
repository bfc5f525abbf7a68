// SPDX-License-Identifier: MIT
using Xunit;

namespace Iwpmd.Tests.Support;

public sealed class GoldenTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("iwpmd-golden-").FullName;

    private string Stem => Path.Combine(_folder, "Type.Method");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task A_missing_golden_is_a_mismatch_that_leaves_what_was_received()
    {
        Assert.Contains("There is no Type.Method.verified.txt", await Golden.Mismatch("a\nb", Stem));
        Assert.Equal("a\nb\n", File.ReadAllText(Stem + ".received.txt"));
    }

    [Fact]
    public async Task A_differing_golden_is_a_mismatch_that_shows_the_first_line()
    {
        File.WriteAllText(Stem + ".verified.txt", "a\nb\n");

        Assert.Contains("line 2:\n  expected  b\n  received  c", await Golden.Mismatch("a\nc", Stem));
    }

    [Fact]
    public async Task An_equal_golden_removes_what_was_received_before()
    {
        File.WriteAllText(Stem + ".verified.txt", "a\r\nb\r\n");
        File.WriteAllText(Stem + ".received.txt", "old");

        Assert.Null(await Golden.Mismatch("a\nb", Stem));
        Assert.False(File.Exists(Stem + ".received.txt"));
    }
}

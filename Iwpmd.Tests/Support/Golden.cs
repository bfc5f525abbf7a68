// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;
using System.Text;
using Xunit;

namespace Iwpmd.Tests.Support;

/// <summary>
/// Compares a text with a file beside the test, by Verify's conventions: Type.Method.verified.txt is what is expected,
/// Type.Method.received.txt is left behind on a mismatch, a row of a theory adds _name=value. IWPMD_ACCEPT=1 takes what
/// was received as what is expected.
/// </summary>
internal static class Golden
{
    public static Task Verify(
        string received, [CallerFilePath] string file = "", [CallerMemberName] string method = "") =>
        Compare(received, Path.ChangeExtension(Repository.RealPath(file), null) + "." + method);

    /// <summary><paramref name="row"/> tells the rows of a theory apart, as "name=value".</summary>
    public static Task VerifyRow(
        string received, string row, [CallerFilePath] string file = "", [CallerMemberName] string method = "") =>
        Compare(received, $"{Path.ChangeExtension(Repository.RealPath(file), null)}.{method}_{row.Replace('/', '-')}");

    /// <summary>Null when the file says the same; else what is wrong, with what was received left beside it.</summary>
    internal static async Task<string?> Mismatch(string received, string stem)
    {
        string verifiedPath = stem + ".verified.txt", receivedPath = stem + ".received.txt";
        received = received.ReplaceLineEndings("\n").TrimEnd('\n') + "\n";
        string? verified =
            File.Exists(verifiedPath) ? (await File.ReadAllTextAsync(verifiedPath)).ReplaceLineEndings("\n") : null;
        if (received == verified)
        {
            File.Delete(receivedPath);
            return null;
        }
        await File.WriteAllTextAsync(receivedPath, received);
        return verified is null
            ? $"There is no {Path.GetFileName(verifiedPath)}; what was received is beside it. IWPMD_ACCEPT=1 accepts "
                + "it."
            : $"{Path.GetFileName(verifiedPath)} differs. IWPMD_ACCEPT=1 accepts what was "
                + $"received.\n{FirstDifference(verified, received)}";
    }

    private static async Task Compare(string received, string stem)
    {
        string? mismatch = await Mismatch(received, stem);
        if (mismatch is not null && Environment.GetEnvironmentVariable("IWPMD_ACCEPT") == "1")
        {
            File.Move(stem + ".received.txt", stem + ".verified.txt", overwrite: true);
            return;
        }
        Assert.True(mismatch is null, mismatch);
    }

    private static string FirstDifference(string verified, string received)
    {
        string[] expected = verified.Split('\n'), actual = received.Split('\n');
        int line = 0;
        while (line < expected.Length && line < actual.Length && expected[line] == actual[line])
        {
            line++;
        }
        var text = new StringBuilder();
        text.Append("line ").Append(line + 1).Append(":\n  expected  ").Append(
            expected.ElementAtOrDefault(line) ?? "(end)");
        return text.Append("\n  received  ").Append(actual.ElementAtOrDefault(line) ?? "(end)").ToString();
    }
}

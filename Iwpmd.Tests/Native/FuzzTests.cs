// SPDX-License-Identifier: MIT
using System.Diagnostics;
using System.Text.RegularExpressions;
using Iwpmd.Tests.Support;
using Xunit;

namespace Iwpmd.Tests.Native;

/// <summary>
/// `make fuzz` for seconds, with a fixed seed; and each thing that it watches for, done on purpose, ends it.
/// </summary>
public class FuzzTests
{
    [Fact]
    public void Noise_does_no_harm()
    {
        (int status, string output) = Fuzz("--seconds", "5", "--seed", "1");
        Assert.True(status == 0, $"{Outcome(output)}\n{output}");
    }

    [Theory]
    [InlineData("die", "life: the daemon died of signal 6")]
    [InlineData("hang", "hang: ")]
    [InlineData("memory", "memory: ")]
    [InlineData("descriptor", "descriptors: ")]
    [InlineData("thread", "threads: ")]
    [InlineData("port", "port: ")]
    [InlineData("short", "output: an attribute is missing")]
    [InlineData("accept-twice", "output: more answers than Requests")]
    [InlineData("answer-twice", "output: one answer more than there were requests")]
    [InlineData("unasked", "output: an answer to what nobody asked")]
    [InlineData("wrong-port", "answer: ADD_MAPPING into an empty table")]
    [InlineData("no-audit", "released: ", 2)]
    [InlineData("foreign-audit", "kept: ", 2)]
    [InlineData("interrupted-audit", "kept: ", 2)]
    [InlineData("one-device", "kept: ", 2)]
    [InlineData("not-claimed", "kept: ")]
    [InlineData("forgotten", "kept: ")]
    [InlineData("left-bound", "(port|descriptors): ")] // whichever look comes first
    [InlineData("carrier", "descriptors: ")]
    public void A_fault_is_found(string fault, string verdict, int seed = 1) // an even one begins with audits
    {
        // It ends as soon as something is found: so many seconds are for a machine with other work.
        (int status, string output) = Fuzz("--seconds", "200", "--seed", $"{seed}", "--fault", fault);
        Assert.True(
            status == 1 && Regex.IsMatch(output, $"FAILED: {verdict}"),
            $"{Outcome(output)}\n{output}");
    }

    private static string Outcome(string output) =>
        output.Split('\n').FirstOrDefault(line => line.StartsWith("FAILED", StringComparison.Ordinal)) ?? "passed";

    private static (int Status, string Output) Fuzz(params string[] arguments)
    {
        using var run = Process.Start(
            new ProcessStartInfo(Repository.PathOf("fuzz/run"), ["--daemon", Binaries.Ours, .. arguments])
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            })!;
        Task<string> errors = run.StandardError.ReadToEndAsync();
        string output = run.StandardOutput.ReadToEnd();
        run.WaitForExit();
        return (run.ExitCode, output + errors.Result);
    }
}

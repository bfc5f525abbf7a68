// SPDX-License-Identifier: MIT
using System.Diagnostics;
using Xunit;

namespace Iwpmd.Tests.Support;

/// <summary>Lets the C compiler be the judge of numbers that C headers define.</summary>
internal static class CCompiler
{
    /// <summary>Compiles a whole C program with cc, runs it and returns what it printed, line by line.</summary>
    public static string[] Run(string program)
    {
        string folder = Directory.CreateTempSubdirectory("iwpmd-cc-").FullName;
        try
        {
            string source = Path.Combine(folder, "judge.c"), binary = Path.Combine(folder, "judge");
            File.WriteAllText(source, program);
            Execute("cc", "-Wall", "-Werror", "-o", binary, source); // packages gcc, libc6-dev and linux-libc-dev
            return Execute(binary).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static string Execute(string file, params string[] arguments)
    {
        using Process process = Process.Start(
            new ProcessStartInfo(file, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, $"{file}: exit {process.ExitCode}\n{errors.Result}");
        return output;
    }
}

// SPDX-License-Identifier: MIT
using System.ComponentModel;
using System.Diagnostics;
using Xunit;

namespace Iwpmd.Tests.Support;

/// <summary>
/// A program of the system that a test needs: when it is missing the test fails and names the package.
/// </summary>
internal static class Tool
{
    public static Process Start(string program, string package, params string[] arguments)
    {
        try
        {
            return Process.Start(
                new ProcessStartInfo(program, arguments)
                {
                    RedirectStandardInput = true,
                    RedirectStandardOutput = true,
                    RedirectStandardError = true,
                })!;
        }
        catch (Win32Exception e)
        {
            throw new InvalidOperationException(
                $"{program} cannot be run ({e.Message}): install the package {package} (make deps)");
        }
    }

    /// <summary>Runs it to its end, which must be a good one, and returns what it printed.</summary>
    public static string Run(string program, string package, params string[] arguments)
    {
        using Process process = Start(program, package, arguments);
        process.StandardInput.Close();
        Task<string> complaints = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.True(
            process.ExitCode == 0,
            $"{program} {string.Join(' ', arguments)}: exit {process.ExitCode}\n{complaints.Result}");
        return output;
    }
}

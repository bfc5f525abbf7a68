// SPDX-License-Identifier: MIT
using System.Diagnostics;
using Xunit;

namespace Iwpmd.Tests.Support;

/// <summary>What one run of a command came to.</summary>
internal readonly record struct CommandResult(int Status, string Output, string Errors)
{
    /// <summary>For messages of assertions: all of it.</summary>
    public override string ToString() => $"status {Status}\n{Output}{Errors}";

    /// <summary>The daemon found all that it needs but a kernel with RDMA in the initial network namespace.</summary>
    public void ExpectNothingMissingButTheKernel()
    {
        Assert.True(Status == 69, ToString());
        Assert.Matches(
            "netlink: NETLINK_RDMA is not available: load ib_core|kernel: (iw_cm is not loaded|this is not the initial "
                + "network namespace)",
            Errors);
        Assert.DoesNotContain("/proc is not mounted", Errors);
    }
}

/// <summary>The published executable as a command on a host.</summary>
internal static class Command
{
    public static CommandResult Run(Host host, params string[] arguments) =>
        Run(host, [], [Binaries.Ours, .. arguments]);

    public static CommandResult Run(Host host, IEnumerable<KeyValuePair<string, string>> environment, string[] command)
    {
        var start =
            new ProcessStartInfo(
                command[0],
                command[1..]) { RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = "/" };
        foreach ((string name, string value) in environment)
        {
            start.Environment[name] = value;
        }
        using Process process = host.Run(() => Process.Start(start)!);
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        Assert.True(process.WaitForExit(Timeouts.Exit));
        return new CommandResult(process.ExitCode, output, errors.GetAwaiter().GetResult());
    }
}

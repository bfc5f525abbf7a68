// SPDX-License-Identifier: MIT
using Iwpmd.Daemon;

namespace Iwpmd.Cli;

/// <summary><c>iwpmd --check-config</c>: every complaint with its line.</summary>
internal static class CheckConfig
{
    public static int Execute(string? path)
    {
        string file = path ?? Configuration.DefaultPath;
        Complaint[] complaints = Configuration.Load(file, isRequired: path is not null).Complaints;
        foreach (Complaint complaint in complaints)
        {
            Output.Line($"{file}:{complaint}");
        }
        return complaints.Length == 0 ? ExitStatus.Ended : ExitStatus.Failure;
    }
}

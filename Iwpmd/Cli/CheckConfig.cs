// SPDX-License-Identifier: MIT
using Iwpmd.Daemon;

namespace Iwpmd.Cli;

/// <summary><c>iwpmd --check-config</c>: every complaint with its line, and whether the daemon would start.</summary>
internal static class CheckConfig
{
    public static int Execute(string? path)
    {
        string file = path ?? Configuration.DefaultPath;
        try
        {
            Complaint[] complaints = Configuration.Load(file, isRequired: path is not null).Complaints;
            foreach (Complaint complaint in complaints)
            {
                Output.Line($"{file}:{complaint}");
            }
            return Array.Exists(complaints, complaint => complaint.IsFatal) ? ExitStatus.Configuration
                : complaints.Length > 0 ? ExitStatus.Failure
                : ExitStatus.Ended;
        }
        catch (SetupException e)
        {
            Output.Complain(e.Message);
            return e.ExitStatus;
        }
    }
}

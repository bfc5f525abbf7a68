// SPDX-License-Identifier: MIT
using Iwpmd.Daemon;
using Iwpmd.Os;

namespace Iwpmd.Cli;

/// <summary>What the doctor finds in the configuration, as root and as the user that the daemon is.</summary>
internal static class ConfigurationChecks
{
    private const string Check = "configuration";

    /// <summary>Adds at least one finding; returns what the file says, or the defaults.</summary>
    public static Configuration Load(string? configPath, List<Finding> findings)
    {
        string path = configPath ?? Configuration.DefaultPath;
        try
        {
            LoadedConfiguration loaded = Configuration.Load(path, configPath is not null);
            findings.AddRange(Array.ConvertAll(loaded.Complaints, complaint => Judge(path, complaint)));
            if (findings.Count == 0)
            {
                findings.Add(File.Exists(path) ? CheckDaemonMayRead(path)
                    : Finding.Ok(Check, $"there is no {path}: the defaults are used"));
            }
            return loaded.Configuration;
        }
        catch (SetupException e)
        {
            findings.Add(Finding.Failure(Check, e.Message, "what follows assumes the defaults"));
            return new Configuration();
        }
    }

    private static Finding Judge(string path, Complaint complaint) =>
        complaint.Line == 0 && Limits.UserId != 0
            ? Finding.Warning(
                Check, $"{path} is not for this user: what follows assumes the defaults", Finding.AsRoot)
        : complaint.IsFatal ? Finding.Failure(Check, $"{path}:{complaint}", "correct the line")
        : Finding.Warning(Check, $"{path}:{complaint}", "correct it, unless it is meant so");

    /// <summary>As far as this user can tell.</summary>
    private static bool MayDaemonRead(string path) =>
        !(Limits.UserId == 0 & PrivilegeDrop.TryFind(PrivilegeDrop.User, out uint userId, out uint groupId))
        || PrivilegeDrop.Ask(userId, groupId, () => HostSettings.MayRead(path));

    private static Finding CheckDaemonMayRead(string path)
    {
        if (MayDaemonRead(path))
        {
            return Finding.Ok(Check, $"{path} has no faults");
        }
        string text = $"{path} cannot be read by the user {PrivilegeDrop.User}, as whom the unit starts the daemon: "
            + "it uses the defaults";
        return Finding.Failure(Check, text, $"chmod a+r {path}");
    }
}

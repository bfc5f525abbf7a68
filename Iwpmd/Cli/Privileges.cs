// SPDX-License-Identifier: MIT
using Iwpmd.Daemon;
using Iwpmd.Os;

namespace Iwpmd.Cli;

/// <summary>
/// What a daemon that root starts without a service manager keeps of root: the one capability that it needs, in a user
/// of its own if the host has it.
/// </summary>
internal static class Privileges
{
    public const string User = "iwpmd";

    /// <summary>
    /// In the launcher, since capabilities belong to threads and the daemon has several before its first line runs.
    /// </summary>
    public static void Drop(RunOptions options)
    {
        if (Limits.UserId != 0)
        {
            return;
        }
        HandedOnFile.HandOn(options.ConfigPath ?? Configuration.DefaultPath);
        string operation = "state_dir";
        Errno error = PrivilegeDrop.TryFind(User, out uint userId, out uint groupId)
            ? PrivilegeDrop.GiveDirectory(StateDirectory(options), userId, groupId)
            : Errno.None;
        error = error != Errno.None ? error : PrivilegeDrop.To(userId, groupId, out operation);
        if (error != Errno.None)
        {
            Output.Complain($"privileges: {operation}: {error}: continuing with the present ones");
        }
    }

    /// <summary>What is wrong with the configuration is the daemon's to say.</summary>
    private static string StateDirectory(RunOptions options)
    {
        try
        {
            return Configuration.Load(
                options.ConfigPath ?? Configuration.DefaultPath, isRequired: false).Configuration.StateDirectory;
        }
        catch (SetupException)
        {
            return new Configuration().StateDirectory;
        }
    }
}

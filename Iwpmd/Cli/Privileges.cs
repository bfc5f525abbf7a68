// SPDX-License-Identifier: MIT
using Iwpmd.Daemon;
using Iwpmd.Os;
using Iwpmd.Wire;

namespace Iwpmd.Cli;

/// <summary>
/// What a daemon that root starts without a service manager keeps of root: the one capability that it needs, in a user
/// of its own if the host has it.
/// </summary>
internal static class Privileges
{
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
        if (PrivilegeDrop.TryFind(PrivilegeDrop.User, out uint userId, out uint groupId))
        {
            PrivilegeDrop.GiveDirectory(StateDirectory(options), userId, groupId); // the daemon says what it lacks
        }
        if (PrivilegeDrop.To(userId, groupId) is OpError error)
        {
            Output.Complain($"privileges: {error}: continuing with the present ones");
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

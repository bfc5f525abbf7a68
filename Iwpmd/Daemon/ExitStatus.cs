// SPDX-License-Identifier: MIT
namespace Iwpmd.Daemon;

/// <summary>
/// Exit statuses, as the manual page lists them: first the daemon's, then what the commands say of it.
/// </summary>
internal static class ExitStatus
{
    public const int Ended = 0;
    public const int Failure = 1;
    public const int Usage = 2;

    /// <summary>
    /// This host has nothing to serve: no RDMA netlink, no iw_cm, or not the initial network namespace.
    /// </summary>
    public const int Unavailable = 69;

    /// <summary>A fault of this program.</summary>
    public const int Fault = 70;

    /// <summary>What a command printed could not be written.</summary>
    public const int Output = 74;

    /// <summary>Of the commands: only root and the daemon's user may do that.</summary>
    public const int NotPermitted = 77;

    /// <summary>
    /// The configuration cannot be read, or has a fault in what restricts who is served or heard.
    /// </summary>
    public const int Configuration = 78;

    public const int Healthy = Ended;
    public const int Degraded = Failure;
    public const int NotRunning = 3;
}

/// <summary>The daemon cannot be set up: the message says what, why and what to do. Only before the loop.</summary>
internal sealed class SetupException(int exitStatus, string message) : Exception(message)
{
    public int ExitStatus { get; } = exitStatus;
}

// SPDX-License-Identifier: MIT
namespace Iwpmd.Tests.Support;

/// <summary>
/// How long these tests wait for what must come. Nothing waits for the clock where it can wait for an event.
/// </summary>
internal static class Timeouts
{
    /// <summary>For one answer, on a machine that is busy with other things.</summary>
    public static readonly TimeSpan Answer = TimeSpan.FromSeconds(30);

    /// <summary>For the end of a process.</summary>
    public static readonly TimeSpan Exit = TimeSpan.FromSeconds(30);
}

// SPDX-License-Identifier: MIT
using Iwpmd.Simulation;

namespace Iwpmd.Daemon;

/// <summary>What the loop sleeps by, in simulated time.</summary>
internal static class Thread
{
    public static void Sleep(int milliseconds) => Machine.Current!.Stop(TimeSpan.FromMilliseconds(milliseconds));
}

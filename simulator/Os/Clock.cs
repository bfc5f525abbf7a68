// SPDX-License-Identifier: MIT
using Iwpmd.Simulation;

namespace Iwpmd.Os;

/// <summary>The time since the simulated host's boot.</summary>
internal static class Clock
{
    public static TimeSpan Now
    {
        get
        {
            Machine machine = Machine.Current!;
            machine.Step();
            return machine.BootTime;
        }
    }

    public static TimeSpan LocalTimeOfDay => default;
}

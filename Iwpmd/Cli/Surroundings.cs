// SPDX-License-Identifier: MIT
using Iwpmd.Os;

namespace Iwpmd.Cli;

/// <summary>What of the host matters when no daemon runs.</summary>
/// <param name="Start">How to start one, as a remedy.</param>
internal readonly record struct Surroundings(PortOwner Owner, bool HasDevice, string Start)
{
    public static Surroundings Find() =>
        new(PortOwner.Find(), RdmaDevices.Read().Length > 0, InstalledFile.HowToStart());
}

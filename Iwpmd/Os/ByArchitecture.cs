// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;

namespace Iwpmd.Os;

/// <summary>
/// A number of the C headers that differs between architectures; -1 where the headers of one do not have it.
/// </summary>
internal readonly record struct ByArchitecture(int X64, int Arm64)
{
    public static bool IsArm64 => RuntimeInformation.ProcessArchitecture == Architecture.Arm64;

    public static implicit operator int(ByArchitecture number) => IsArm64 ? number.Arm64 : number.X64;
}

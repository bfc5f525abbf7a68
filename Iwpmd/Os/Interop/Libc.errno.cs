// SPDX-License-Identifier: MIT
namespace Iwpmd.Os.Interop;

internal static unsafe partial class Libc
{
    public const int ENOTTY = 25;
}

// SPDX-License-Identifier: MIT
namespace Iwpmd.Os;

internal static unsafe partial class Libc
{
    public const int ENOTTY = 25;
}

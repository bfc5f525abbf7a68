// SPDX-License-Identifier: MIT
namespace Iwpmd.Os;

internal static unsafe partial class Libc
{
    public const int CLONE_THREAD = 0x10000;
}

// SPDX-License-Identifier: MIT
namespace Iwpmd.Os.Interop;

internal static unsafe partial class Libc
{
    public const int CLONE_THREAD = 0x10000;
}

// SPDX-License-Identifier: MIT
namespace Iwpmd.Os.Interop;

internal static unsafe partial class Libc
{
    public const int sizeof_sockaddr_un = 110, offsetof_sockaddr_un__sun_path = 2;
}

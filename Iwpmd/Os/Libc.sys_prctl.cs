using System.Runtime.InteropServices;

namespace Iwpmd.Os;

internal static unsafe partial class Libc
{
    public const int PR_SET_NAME = 15, PR_SET_NO_NEW_PRIVS = 38;

    [LibraryImport(Name, SetLastError = true)]
    internal static partial int prctl(int option, nuint second, nuint third, nuint fourth, nuint fifth);
}

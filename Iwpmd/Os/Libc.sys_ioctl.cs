namespace Iwpmd.Os;

internal static unsafe partial class Libc
{
    public const int TCGETS = 0x5401, TIOCGWINSZ = 0x5413, SIOCGIFINDEX = 0x8933;
}

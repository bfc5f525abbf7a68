// SPDX-License-Identifier: MIT
namespace Iwpmd.Os.Interop;

// linux/icmp.h and linux/icmpv6.h
internal static unsafe partial class Libc
{
    public const byte ICMP_DEST_UNREACH = 3, ICMP_FRAG_NEEDED = 4, ICMPV6_DEST_UNREACH = 1;
}

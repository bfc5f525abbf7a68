// SPDX-License-Identifier: MIT
using static Iwpmd.Wire.RdmaNetlink;

namespace Iwpmd.Wire;

/// <summary>Where the kernel's port mapper client is found, and which versions of its protocol there are.</summary>
internal static class KernelProtocol
{
    public const int NetlinkProtocol = NETLINK_RDMA;
    public const int MulticastGroup = RDMA_NL_GROUP_IWPM;

    /// <summary>The netlink client of today's kernels.</summary>
    public const byte IwCm = RDMA_NL_IWCM;

    /// <summary>Kernels before 4.6 had one client a driver: this is the second (doc/protocol.md K1.9).</summary>
    public const byte SecondDriver = RDMA_NL_C4IW;

    public const ushort Abi = IWPM_UABI_VERSION;
    public const ushort OldestAbi = IWPM_UABI_VERSION_MIN;

    /// <summary>-ENOMEM, the ACK of a MAPINFO whose kernel has more mappings than it can name.</summary>
    public const int ReplayCut = -12;

    /// <summary>
    /// How many mappings a kernel with pages of this size can name (doc/protocol.md K6.2): iwpm_send_mapinfo() sends 19
    /// datagrams (the twentieth is never sent), each of a page, but of 8 KiB at most, less what the kernel keeps beside
    /// it (320 bytes), and leaves the room of one mapping (288 bytes) in each. 228 with 4 KiB, 494 with more.
    /// </summary>
    public static int MaxReplayed(int pageSize) => 19 * (((Math.Min(pageSize, 8192) - 320) / 288) - 1);
}

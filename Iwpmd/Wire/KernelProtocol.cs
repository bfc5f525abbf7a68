using static Iwpmd.Wire.RdmaNetlink;

namespace Iwpmd.Wire;

/// <summary>Where the kernel's port mapper client is found, and which versions of its protocol there are.</summary>
internal static class KernelProtocol
{
    public const int NetlinkProtocol = NETLINK_RDMA;
    public const int MulticastGroup = RDMA_NL_GROUP_IWPM;

    /// <summary>The netlink client of today's kernels.</summary>
    public const byte IwCm = RDMA_NL_IWCM;

    /// <summary>Kernels before 4.6 had one client a driver: this is the second.</summary>
    public const byte SecondDriver = RDMA_NL_C4IW;

    public const ushort Abi = IWPM_UABI_VERSION;
    public const ushort OldestAbi = IWPM_UABI_VERSION_MIN;
}

// SPDX-License-Identifier: MIT
namespace Iwpmd.Wire;

/// <summary>
/// Constants of linux/netlink.h, rdma/rdma_netlink.h and (the sizes) the kernel's own iwpm_util.h, with C's names, in
/// C's order; nothing else.
/// </summary>
internal static class RdmaNetlink
{
    public const int NETLINK_RDMA = 20;

    public const ushort NLMSG_ERROR = 2;
    public const ushort NLMSG_DONE = 3;
    public const ushort NLMSG_MIN_TYPE = 16;
    public const ushort NLM_F_REQUEST = 1;
    public const ushort NLM_F_MULTI = 2;
    public const ushort NLM_F_DUMP_INTR = 0x10;
    public const ushort NLM_F_DUMP = 0x300;

    public const int RDMA_NL_IWCM = 2;
    public const int RDMA_NL_C4IW = 3; // kernels before 4.6
    public const int RDMA_NL_NLDEV = 5;
    public const int RDMA_NL_GROUP_IWPM = 2;

    public const int RDMA_NL_IWPM_REG_PID = 0;
    public const int RDMA_NL_IWPM_ADD_MAPPING = 1;
    public const int RDMA_NL_IWPM_QUERY_MAPPING = 2;
    public const int RDMA_NL_IWPM_REMOVE_MAPPING = 3;
    public const int RDMA_NL_IWPM_REMOTE_INFO = 4;
    public const int RDMA_NL_IWPM_HANDLE_ERR = 5;
    public const int RDMA_NL_IWPM_MAPINFO = 6;
    public const int RDMA_NL_IWPM_MAPINFO_NUM = 7;
    public const int RDMA_NL_IWPM_HELLO = 8;

    public const ushort IWPM_UABI_VERSION_MIN = 3;
    public const ushort IWPM_UABI_VERSION = 4;
    public const uint IWPM_FLAGS_NO_PORT_MAP = 1;
    public const int IWPM_ULIBNAME_SIZE = 32;
    public const int IWPM_DEVNAME_SIZE = 32;
    public const int IWPM_IFNAME_SIZE = 16;

    public const ushort IWPM_NLA_REG_PID_SEQ = 1;
    public const ushort IWPM_NLA_REG_IF_NAME = 2;
    public const ushort IWPM_NLA_REG_IBDEV_NAME = 3;
    public const ushort IWPM_NLA_REG_ULIB_NAME = 4;

    public const ushort IWPM_NLA_RREG_PID_SEQ = 1;
    public const ushort IWPM_NLA_RREG_IBDEV_NAME = 2;
    public const ushort IWPM_NLA_RREG_ULIB_NAME = 3;
    public const ushort IWPM_NLA_RREG_ULIB_VER = 4;
    public const ushort IWPM_NLA_RREG_PID_ERR = 5;

    public const ushort IWPM_NLA_MANAGE_MAPPING_SEQ = 1;
    public const ushort IWPM_NLA_MANAGE_ADDR = 2;
    public const ushort IWPM_NLA_MANAGE_FLAGS = 3;

    public const ushort IWPM_NLA_RMANAGE_MAPPING_SEQ = 1;
    public const ushort IWPM_NLA_RMANAGE_ADDR = 2;
    public const ushort IWPM_NLA_RMANAGE_MAPPED_LOC_ADDR = 3;
    public const ushort IWPM_NLA_RMANAGE_MAPPING_ERR = 4;

    public const ushort IWPM_NLA_QUERY_MAPPING_SEQ = 1;
    public const ushort IWPM_NLA_QUERY_LOCAL_ADDR = 2;
    public const ushort IWPM_NLA_QUERY_REMOTE_ADDR = 3;
    public const ushort IWPM_NLA_QUERY_FLAGS = 4;

    public const ushort IWPM_NLA_RQUERY_MAPPING_SEQ = 1;
    public const ushort IWPM_NLA_RQUERY_LOCAL_ADDR = 2;
    public const ushort IWPM_NLA_RQUERY_REMOTE_ADDR = 3;
    public const ushort IWPM_NLA_RQUERY_MAPPED_LOC_ADDR = 4;
    public const ushort IWPM_NLA_RQUERY_MAPPED_REM_ADDR = 5;
    public const ushort IWPM_NLA_RQUERY_MAPPING_ERR = 6;

    public const ushort IWPM_NLA_MAPINFO_ULIB_NAME = 1;
    public const ushort IWPM_NLA_MAPINFO_ULIB_VER = 2;

    public const ushort IWPM_NLA_MAPINFO_LOCAL_ADDR = 1;
    public const ushort IWPM_NLA_MAPINFO_MAPPED_ADDR = 2;
    public const ushort IWPM_NLA_MAPINFO_FLAGS = 3;

    public const ushort IWPM_NLA_MAPINFO_SEQ = 1;
    public const ushort IWPM_NLA_MAPINFO_SEND_NUM = 2;
    public const ushort IWPM_NLA_MAPINFO_ACK_NUM = 3;

    public const ushort IWPM_NLA_ERR_SEQ = 1;
    public const ushort IWPM_NLA_ERR_CODE = 2;

    public const ushort IWPM_NLA_HELLO_ABI_VERSION = 1;

    public const byte RDMA_NODE_RNIC = 4;

    public const int RDMA_NLDEV_CMD_GET = 1;
    public const int RDMA_NLDEV_CMD_SYS_GET = 6;
    public const int RDMA_NLDEV_CMD_RES_GET = 9;
    public const int RDMA_NLDEV_CMD_RES_CM_ID_GET = 11;

    public const ushort RDMA_NLDEV_ATTR_DEV_INDEX = 1;
    public const ushort RDMA_NLDEV_ATTR_DEV_NODE_TYPE = 14;
    public const ushort RDMA_NLDEV_ATTR_RES_SUMMARY = 15;
    public const ushort RDMA_NLDEV_ATTR_RES_SUMMARY_ENTRY = 16;
    public const ushort RDMA_NLDEV_ATTR_RES_SUMMARY_ENTRY_NAME = 17;
    public const ushort RDMA_NLDEV_ATTR_RES_SUMMARY_ENTRY_CURR = 18;
    public const ushort RDMA_NLDEV_ATTR_RES_STATE = 27;
    public const ushort RDMA_NLDEV_ATTR_RES_CM_ID = 30;
    public const ushort RDMA_NLDEV_ATTR_RES_CM_ID_ENTRY = 31;
    public const ushort RDMA_NLDEV_ATTR_RES_SRC_ADDR = 33;
    public const ushort RDMA_NLDEV_SYS_ATTR_NETNS_MODE = 66;
}

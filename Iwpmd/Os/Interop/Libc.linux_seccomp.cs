// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;

namespace Iwpmd.Os.Interop;

// linux/seccomp.h, linux/bpf_common.h, linux/filter.h and linux/audit.h
internal static unsafe partial class Libc
{
    public const int SECCOMP_SET_MODE_FILTER = 1, SECCOMP_FILTER_FLAG_TSYNC = 1, SECCOMP_FILTER_FLAG_LOG = 2;
    public const uint SECCOMP_RET_KILL_PROCESS = 0x80000000, SECCOMP_RET_LOG = 0x7ffc0000,
        SECCOMP_RET_ERRNO = 0x00050000, SECCOMP_RET_ALLOW = 0x7fff0000;
    public const uint AUDIT_ARCH_X86_64 = 0xc000003e, AUDIT_ARCH_AARCH64 = 0xc00000b7;
    public const int BPF_LD = 0, BPF_W = 0, BPF_ABS = 0x20, BPF_ALU = 4, BPF_AND = 0x50, BPF_RSH = 0x70, BPF_XOR = 0xa0,
        BPF_JMP = 5, BPF_JA = 0, BPF_JEQ = 0x10, BPF_JGE = 0x30;
    public const int BPF_RET = 6, BPF_MISC = 7, BPF_TAX = 0, BPF_K = 0, BPF_X = 8;
    public const int SKF_AD_OFF = -0x1000, SKF_AD_RANDOM = 56, SKF_NET_OFF = -0x100000;

    public const int offsetof_seccomp_data__nr = 0, offsetof_seccomp_data__arch = 4, offsetof_seccomp_data__args = 16;

    [StructLayout(LayoutKind.Sequential)]
    internal struct @sock_filter
    {
        public ushort code;
        public byte jt;
        public byte jf;
        public uint k;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal struct @sock_fprog
    {
        public ushort len;
        public sock_filter* filter;
    }
}

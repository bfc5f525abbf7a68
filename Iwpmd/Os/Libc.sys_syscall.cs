using System.Runtime.InteropServices;

namespace Iwpmd.Os;

// Of x86-64: each architecture has numbers of its own.
internal static unsafe partial class Libc
{
    public const int
        SYS_read = 0, SYS_write = 1, SYS_open = 2, SYS_close = 3, SYS_stat = 4, SYS_fstat = 5, SYS_lstat = 6, SYS_poll = 7, SYS_lseek = 8, SYS_mmap = 9,
        SYS_mprotect = 10, SYS_munmap = 11, SYS_brk = 12, SYS_rt_sigaction = 13, SYS_rt_sigprocmask = 14, SYS_rt_sigreturn = 15, SYS_ioctl = 16,
        SYS_pread64 = 17, SYS_writev = 20, SYS_access = 21, SYS_sched_yield = 24, SYS_mremap = 25, SYS_madvise = 28, SYS_nanosleep = 35, SYS_getpid = 39,
        SYS_socket = 41, SYS_connect = 42, SYS_sendto = 44, SYS_recvfrom = 45, SYS_sendmsg = 46, SYS_recvmsg = 47, SYS_shutdown = 48, SYS_bind = 49,
        SYS_listen = 50, SYS_getsockname = 51, SYS_getpeername = 52, SYS_socketpair = 53, SYS_setsockopt = 54, SYS_getsockopt = 55, SYS_clone = 56,
        SYS_exit = 60, SYS_uname = 63, SYS_fcntl = 72, SYS_getcwd = 79, SYS_chdir = 80, SYS_readlink = 89, SYS_gettimeofday = 96, SYS_getrlimit = 97, SYS_getrusage = 98,
        SYS_sysinfo = 99, SYS_getuid = 102, SYS_getgid = 104, SYS_geteuid = 107, SYS_getegid = 108, SYS_setgroups = 116, SYS_setresuid = 117, SYS_setresgid = 119, SYS_capset = 126, SYS_rt_sigtimedwait = 128, SYS_sigaltstack = 131,
        SYS_prctl = 157, SYS_gettid = 186, SYS_time = 201, SYS_futex = 202, SYS_sched_getaffinity = 204, SYS_getdents64 = 217, SYS_set_tid_address = 218,
        SYS_restart_syscall = 219, SYS_clock_gettime = 228, SYS_clock_getres = 229, SYS_clock_nanosleep = 230, SYS_exit_group = 231, SYS_epoll_wait = 232,
        SYS_epoll_ctl = 233, SYS_tgkill = 234, SYS_openat = 257, SYS_newfstatat = 262, SYS_readlinkat = 267, SYS_faccessat = 269, SYS_ppoll = 271,
        SYS_set_robust_list = 273, SYS_epoll_pwait = 281, SYS_accept4 = 288, SYS_eventfd2 = 290, SYS_fallocate = 285, SYS_epoll_create1 = 291, SYS_dup3 = 292, SYS_pipe2 = 293,
        SYS_recvmmsg = 299, SYS_prlimit64 = 302, SYS_sendmmsg = 307, SYS_getcpu = 309, SYS_seccomp = 317, SYS_getrandom = 318, SYS_membarrier = 324,
        SYS_statx = 332, SYS_rseq = 334, SYS_clone3 = 435, SYS_faccessat2 = 439;

    [LibraryImport(Name, SetLastError = true)]
    internal static partial nint syscall(nint number, nint first, nint second, void* third);
}

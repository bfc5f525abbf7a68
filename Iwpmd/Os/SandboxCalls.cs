// SPDX-License-Identifier: MIT
using Iwpmd.Os.Interop;

namespace Iwpmd.Os;

/// <summary>The system calls that are judged by their numbers alone.</summary>
internal static class SandboxCalls
{
    /// <summary>
    /// In the order of their frequency, as far as it matters: kernels before 5.11 go through them one by one.
    /// </summary>
    public static ByArchitecture[] Harmless =>
    [
        // What the loop does.
        Libc.SYS_read, Libc.SYS_write, Libc.SYS_recvfrom, Libc.SYS_sendto, Libc.SYS_recvmsg, Libc.SYS_sendmsg,
        Libc.SYS_recvmmsg, Libc.SYS_sendmmsg, Libc.SYS_epoll_wait, Libc.SYS_epoll_pwait, Libc.SYS_close,
        Libc.SYS_bind, Libc.SYS_getsockname, Libc.SYS_getrandom, Libc.SYS_futex, Libc.SYS_clock_gettime,
        Libc.SYS_poll, Libc.SYS_ppoll,

        // The runtime, the C library, the log, a hand-over, the end.
        Libc.SYS_fstat, Libc.SYS_newfstatat, Libc.SYS_statx, Libc.SYS_stat, Libc.SYS_lstat, Libc.SYS_lseek,
        Libc.SYS_pread64, Libc.SYS_writev, Libc.SYS_munmap, Libc.SYS_mremap, Libc.SYS_madvise, Libc.SYS_brk,
        Libc.SYS_rt_sigaction, Libc.SYS_rt_sigprocmask, Libc.SYS_rt_sigreturn, Libc.SYS_rt_sigtimedwait,
        Libc.SYS_sigaltstack, Libc.SYS_restart_syscall, Libc.SYS_sched_yield, Libc.SYS_sched_getaffinity,
        Libc.SYS_getcpu, Libc.SYS_clock_getres, Libc.SYS_clock_nanosleep, Libc.SYS_nanosleep, Libc.SYS_gettimeofday,
        Libc.SYS_time, Libc.SYS_getpid, Libc.SYS_gettid, Libc.SYS_getuid, Libc.SYS_geteuid, Libc.SYS_getgid,
        Libc.SYS_getegid, Libc.SYS_uname, Libc.SYS_sysinfo, Libc.SYS_getrlimit, Libc.SYS_getrusage, Libc.SYS_exit,
        Libc.SYS_exit_group, Libc.SYS_set_robust_list, Libc.SYS_set_tid_address, Libc.SYS_rseq, Libc.SYS_membarrier,
        Libc.SYS_access, Libc.SYS_faccessat, Libc.SYS_faccessat2, Libc.SYS_readlink, Libc.SYS_readlinkat,
        Libc.SYS_getcwd, Libc.SYS_getdents64, Libc.SYS_connect, Libc.SYS_listen, Libc.SYS_accept4,
        Libc.SYS_socketpair, Libc.SYS_shutdown, Libc.SYS_getpeername, Libc.SYS_getsockopt, Libc.SYS_epoll_create1,
        Libc.SYS_epoll_ctl, Libc.SYS_eventfd2, Libc.SYS_pipe2, Libc.SYS_dup3, Libc.SYS_fcntl, Libc.SYS_chdir,
        Libc.SYS_clone3,
    ];

    /// <summary>What the daemon and its libraries never do, and an intruder must.</summary>
    public static ByArchitecture[] Attacks =>
    [
        // Programs, and code.
        Libc.SYS_execve, Libc.SYS_execveat, Libc.SYS_fork, Libc.SYS_vfork, Libc.SYS_pkey_mprotect,
        Libc.SYS_personality, Libc.SYS_modify_ldt,
        // Other processes.
        Libc.SYS_ptrace, Libc.SYS_process_vm_readv, Libc.SYS_process_vm_writev, Libc.SYS_kcmp, Libc.SYS_pidfd_open,
        Libc.SYS_pidfd_send_signal, Libc.SYS_pidfd_getfd, Libc.SYS_tkill, Libc.SYS_rt_sigqueueinfo,
        Libc.SYS_rt_tgsigqueueinfo,
        // Other users and rights.
        Libc.SYS_setuid, Libc.SYS_setgid, Libc.SYS_setreuid, Libc.SYS_setregid, Libc.SYS_setresuid,
        Libc.SYS_setresgid, Libc.SYS_setgroups, Libc.SYS_setfsuid, Libc.SYS_setfsgid, Libc.SYS_capset,
        Libc.SYS_add_key, Libc.SYS_request_key, Libc.SYS_keyctl,
        // Files.
        Libc.SYS_creat, Libc.SYS_rename, Libc.SYS_renameat, Libc.SYS_renameat2, Libc.SYS_unlink, Libc.SYS_unlinkat,
        Libc.SYS_link, Libc.SYS_linkat, Libc.SYS_symlink, Libc.SYS_symlinkat, Libc.SYS_mkdir, Libc.SYS_mkdirat,
        Libc.SYS_rmdir, Libc.SYS_mknod, Libc.SYS_mknodat, Libc.SYS_truncate, Libc.SYS_chmod, Libc.SYS_fchmod,
        Libc.SYS_fchmodat, Libc.SYS_chown, Libc.SYS_fchown, Libc.SYS_lchown, Libc.SYS_fchownat, Libc.SYS_setxattr,
        Libc.SYS_lsetxattr, Libc.SYS_fsetxattr, Libc.SYS_open_by_handle_at,
        // Namespaces and mounts.
        Libc.SYS_unshare, Libc.SYS_setns, Libc.SYS_chroot, Libc.SYS_pivot_root, Libc.SYS_mount, Libc.SYS_umount2,
        Libc.SYS_move_mount, Libc.SYS_open_tree, Libc.SYS_fsopen, Libc.SYS_fspick, Libc.SYS_fsmount,
        Libc.SYS_mount_setattr,
        // The kernel and the host.
        Libc.SYS_init_module, Libc.SYS_finit_module, Libc.SYS_delete_module, Libc.SYS_kexec_load,
        Libc.SYS_kexec_file_load, Libc.SYS_reboot, Libc.SYS_swapon, Libc.SYS_swapoff, Libc.SYS_acct, Libc.SYS_bpf,
        Libc.SYS_perf_event_open, Libc.SYS_userfaultfd, Libc.SYS_io_uring_setup, Libc.SYS_io_uring_enter,
        Libc.SYS_io_uring_register, Libc.SYS_settimeofday, Libc.SYS_clock_settime, Libc.SYS_adjtimex,
        Libc.SYS_clock_adjtime, Libc.SYS_sethostname, Libc.SYS_setdomainname, Libc.SYS_iopl, Libc.SYS_ioperm,
    ];
}

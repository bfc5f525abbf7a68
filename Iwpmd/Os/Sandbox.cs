using System.Runtime.InteropServices;

namespace Iwpmd.Os;

/// <summary>What becomes of a system call that the daemon does not need.</summary>
internal enum SandboxMode
{
    /// <summary>It ends the process.</summary>
    Kill,

    /// <summary>The kernel's log tells of it.</summary>
    Log,
    Off,
}

/// <summary>
/// A seccomp filter for all threads: from here on the process can make only the system calls that it, its runtime and the C library need. No file can be opened for
/// writing, no program started, no memory become code. The filter sees numbers and flags, never what a pointer points to.
/// </summary>
internal static unsafe class Sandbox
{
    /// <summary>Calls that are younger than the numbers below: a C library that tries one gets on without it.</summary>
    private const int Unknown = 450;
    private const uint OtherNumbers = 0x40000000; // of x32
    private const int NoSuchCall = 38; // ENOSYS
    private const int Writing = Libc.O_ACCMODE | Libc.O_CREAT | Libc.O_TRUNC | Libc.O_APPEND;

    /// <summary>In the order of their frequency, as far as it matters: kernels before 5.11 go through them one by one.</summary>
    private static ReadOnlySpan<int> Harmless =>
    [
        // What the loop does.
        Libc.SYS_read, Libc.SYS_write, Libc.SYS_recvfrom, Libc.SYS_sendto, Libc.SYS_recvmsg, Libc.SYS_sendmsg, Libc.SYS_recvmmsg, Libc.SYS_sendmmsg,
        Libc.SYS_epoll_wait, Libc.SYS_epoll_pwait, Libc.SYS_close, Libc.SYS_bind, Libc.SYS_getsockname, Libc.SYS_getrandom, Libc.SYS_futex,
        Libc.SYS_clock_gettime, Libc.SYS_poll, Libc.SYS_ppoll,
        // The runtime, the C library, the log, a hand-over, the end.
        Libc.SYS_fstat, Libc.SYS_newfstatat, Libc.SYS_statx, Libc.SYS_stat, Libc.SYS_lstat, Libc.SYS_lseek, Libc.SYS_pread64, Libc.SYS_writev,
        Libc.SYS_munmap, Libc.SYS_mremap, Libc.SYS_madvise, Libc.SYS_brk, Libc.SYS_rt_sigaction, Libc.SYS_rt_sigprocmask, Libc.SYS_rt_sigreturn,
        Libc.SYS_rt_sigtimedwait, Libc.SYS_sigaltstack, Libc.SYS_restart_syscall, Libc.SYS_sched_yield, Libc.SYS_sched_getaffinity, Libc.SYS_getcpu,
        Libc.SYS_clock_getres, Libc.SYS_clock_nanosleep, Libc.SYS_nanosleep, Libc.SYS_gettimeofday, Libc.SYS_time, Libc.SYS_getpid, Libc.SYS_gettid,
        Libc.SYS_getuid, Libc.SYS_geteuid, Libc.SYS_getgid, Libc.SYS_getegid, Libc.SYS_uname, Libc.SYS_sysinfo, Libc.SYS_getrlimit, Libc.SYS_getrusage, Libc.SYS_exit,
        Libc.SYS_exit_group, Libc.SYS_set_robust_list, Libc.SYS_set_tid_address, Libc.SYS_rseq, Libc.SYS_membarrier, Libc.SYS_access, Libc.SYS_faccessat,
        Libc.SYS_faccessat2, Libc.SYS_readlink, Libc.SYS_readlinkat, Libc.SYS_getcwd, Libc.SYS_getdents64, Libc.SYS_connect, Libc.SYS_listen,
        Libc.SYS_accept4, Libc.SYS_socketpair, Libc.SYS_shutdown, Libc.SYS_getpeername, Libc.SYS_setsockopt, Libc.SYS_getsockopt, Libc.SYS_epoll_create1,
        Libc.SYS_epoll_ctl, Libc.SYS_eventfd2, Libc.SYS_pipe2, Libc.SYS_dup3, Libc.SYS_fcntl, Libc.SYS_chdir,
    ];

    public static bool IsSupported => RuntimeInformation.ProcessArchitecture == Architecture.X64;

    /// <summary>Takes away what is not needed, with the right to get anything by starting another program.</summary>
    public static Errno Enter(SandboxMode mode)
    {
        if (Libc.prctl(Libc.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        {
            return Errno.Last;
        }
        return Rules(mode == SandboxMode.Log ? Libc.SECCOMP_RET_LOG : Libc.SECCOMP_RET_KILL_PROCESS).JudgeCalls();
    }

    private static BpfProgram Rules(uint refuse)
    {
        var rules = new BpfProgram();
        rules.Load(Libc.offsetof_seccomp_data__arch);
        rules.Jump(Libc.BPF_JEQ, Libc.AUDIT_ARCH_X86_64, otherwise: 0, then: 1); // the numbers of others mean other calls
        rules.Return(refuse);
        rules.Load(Libc.offsetof_seccomp_data__nr);
        foreach (int call in Harmless)
        {
            rules.Jump(Libc.BPF_JEQ, (uint)call, then: 0, otherwise: 1);
            rules.Return(Libc.SECCOMP_RET_ALLOW);
        }
        Allow(rules, Libc.SYS_openat, argument: 2, Writing, refuse, 0);
        Allow(rules, Libc.SYS_open, argument: 1, Writing, refuse, 0);
        Allow(rules, Libc.SYS_mmap, argument: 2, Libc.PROT_EXEC, refuse, 0);
        Allow(rules, Libc.SYS_mprotect, argument: 2, Libc.PROT_EXEC, refuse, 0);
        Allow(rules, Libc.SYS_clone, argument: 0, Libc.CLONE_THREAD, refuse, Libc.CLONE_THREAD);
        Allow(rules, Libc.SYS_socket, argument: 0, -1, refuse, Libc.AF_UNIX, Libc.AF_INET, Libc.AF_INET6, Libc.AF_NETLINK);
        Allow(rules, Libc.SYS_ioctl, argument: 1, -1, refuse, Libc.SIOCGIFINDEX, Libc.TCGETS, Libc.TIOCGWINSZ);
        Allow(rules, Libc.SYS_prctl, argument: 0, -1, refuse, Libc.PR_SET_NAME);
        Allow(rules, Libc.SYS_tgkill, argument: 0, -1, refuse, Libc.getpid()); // abort()
        Allow(rules, Libc.SYS_fallocate, argument: 1, -1, refuse, 0); // the rest of a new state file
        Allow(rules, Libc.SYS_prlimit64, argument: 2, -1, refuse, 0); // only to read
        rules.Jump(Libc.BPF_JEQ, Libc.SYS_clone3, then: 2, otherwise: 0); // its flags are behind a pointer: the C library takes clone instead
        rules.Jump(Libc.BPF_JGE, OtherNumbers, then: 2, otherwise: 0);
        rules.Jump(Libc.BPF_JGE, Unknown, then: 0, otherwise: 1);
        rules.Return(Libc.SECCOMP_RET_ERRNO | NoSuchCall);
        rules.Return(refuse);
        return rules;
    }

    /// <summary>Allows a call when the lower half of an argument, as far as <paramref name="mask"/> shows it, has one of these values.</summary>
    private static void Allow(BpfProgram rules, int call, int argument, int mask, uint refuse, params ReadOnlySpan<int> values)
    {
        rules.Jump(Libc.BPF_JEQ, (uint)call, then: 0, otherwise: 3 + (2 * values.Length));
        rules.Load(Libc.offsetof_seccomp_data__args + (argument * sizeof(ulong)));
        rules.Compute(Libc.BPF_AND, (uint)mask);
        foreach (int value in values)
        {
            rules.Jump(Libc.BPF_JEQ, (uint)value, then: 0, otherwise: 1);
            rules.Return(Libc.SECCOMP_RET_ALLOW);
        }
        rules.Return(refuse);
    }
}

// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;
using Iwpmd.Os.Interop;
using Iwpmd.Wire;

namespace Iwpmd.Os;

/// <summary>What becomes of a system call that the daemon does not need.</summary>
internal enum SandboxMode
{
    /// <summary>It fails; one that serves an attack ends the process.</summary>
    On,

    /// <summary>The kernel logs it.</summary>
    Log,
    Off,
}

/// <summary>
/// A seccomp filter for all threads: from here on the process can make only the system calls that it, its runtime and
/// the C library need. No file can be opened for writing, no program started, no memory become code: each of that ends
/// the process. What is neither needed nor an attack fails as on a kernel that does not know it, and the kernel's log
/// has it: so a newer C library, which tries newer calls first, continues with the older ones. The filter sees
/// numbers and flags, never what a pointer points to.
/// </summary>
internal static unsafe class Sandbox
{
    private const uint OtherNumbers = 0x40000000; // of x32
    private const int Writing = Libc.O_ACCMODE | Libc.O_CREAT | Libc.O_TRUNC | Libc.O_APPEND;
    private const int SocketKind = ~(Libc.SOCK_NONBLOCK | Libc.SOCK_CLOEXEC);
    private const int FirewallOptions = ~63; // by these, with CAP_NET_ADMIN, any socket reaches the firewall

    public static bool IsSupported => RuntimeInformation.ProcessArchitecture is Architecture.X64 or Architecture.Arm64;

    /// <summary>Takes away what is not needed, with the right to get anything by starting another program.</summary>
    public static Errno Enter(SandboxMode mode)
    {
        if (Libc.prctl(Libc.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        {
            return Errno.Last;
        }
        Errno error = QuietRules().AttachSeccomp(flags: 0);
        return error != Errno.None ? error
            : mode == SandboxMode.Log ? Rules(Libc.SECCOMP_RET_LOG, _ => Libc.SECCOMP_RET_LOG).AttachSeccomp(flags: 0)
            : Rules(Libc.SECCOMP_RET_KILL_PROCESS, Failure).AttachSeccomp(Libc.SECCOMP_FILTER_FLAG_LOG);
    }

    private static uint Failure(Errno error) => Libc.SECCOMP_RET_ERRNO | (uint)error;

    /// <summary>
    /// What every new thread asks for fails without a line in the log: clone3, whose flags are behind a pointer, so
    /// that the C library takes clone.
    /// </summary>
    private static BpfProgram QuietRules()
    {
        var rules = new SandboxRules();
        rules.Each([Libc.SYS_clone3], Failure(Errno.ENOSYS));
        rules.Return(Libc.SECCOMP_RET_ALLOW);
        return rules.Program;
    }

    /// <param name="attack">What becomes of a call that serves an attack.</param>
    /// <param name="unneeded">What becomes of any other that is not needed, and fails so.</param>
    private static BpfProgram Rules(uint attack, Func<Errno, uint> unneeded)
    {
        var rules = new SandboxRules();
        // the numbers of others mean other calls
        rules.RequireArchitecture(ByArchitecture.IsArm64 ? Libc.AUDIT_ARCH_AARCH64 : Libc.AUDIT_ARCH_X86_64, attack);
        rules.Each(SandboxCalls.Harmless, Libc.SECCOMP_RET_ALLOW);
        rules.Allow(Libc.SYS_openat, argument: 2, Writing, attack, 0);
        rules.Allow(Libc.SYS_open, argument: 1, Writing, attack, 0);
        rules.Allow(Libc.SYS_mmap, argument: 2, Libc.PROT_EXEC, attack, 0);
        rules.Allow(Libc.SYS_mprotect, argument: 2, Libc.PROT_EXEC, attack, 0);
        rules.Allow(Libc.SYS_clone, argument: 0, Libc.CLONE_THREAD, attack, Libc.CLONE_THREAD);
        rules.Allow(Libc.SYS_tgkill, argument: 0, -1, attack, (uint)Libc.getpid()); // abort()
        rules.Allow(Libc.SYS_kill, argument: 0, -1, attack, (uint)Libc.getpid());
        rules.Allow(Libc.SYS_setsockopt, argument: 2, FirewallOptions, unneeded(Errno.EINVAL), 0);
        rules.Allow(Libc.SYS_prctl, argument: 0, -1, unneeded(Errno.EINVAL), Libc.PR_SET_NAME);
        // the rest of a new state file
        rules.Allow(Libc.SYS_fallocate, argument: 1, -1, unneeded(Errno.EOPNOTSUPP), 0);
        rules.Allow(Libc.SYS_prlimit64, argument: 2, -1, unneeded(Errno.EPERM), 0); // only to read
        AddSockets(rules, unneeded(Errno.EACCES));
        AddDevices(rules, attack, unneeded(Errno.ENOTTY));
        rules.Each(SandboxCalls.Attacks, attack);
        rules.RefuseFrom(OtherNumbers, attack);
        rules.Return(unneeded(Errno.ENOSYS));
        return rules.Program;
    }

    /// <summary>
    /// Of netlink the kernel's RDMA alone: with CAP_NET_ADMIN the other protocols reach routes and the firewall.
    /// </summary>
    private static void AddSockets(SandboxRules rules, uint refuse)
    {
        const int Family = 0, Kind = 1, Protocol = 2;
        int end = rules.BeginCall(Libc.SYS_socket);
        int notUnix = rules.BeginWhere(Family, Libc.AF_UNIX);
        rules.Return(Libc.SECCOMP_RET_ALLOW);
        rules.End(notUnix);
        int notNetlink = rules.BeginWhere(Family, Libc.AF_NETLINK);
        rules.Require(Protocol, -1, refuse, Libc.NETLINK_RDMA);
        rules.Return(Libc.SECCOMP_RET_ALLOW);
        rules.End(notNetlink);
        rules.Require(Family, -1, refuse, Libc.AF_INET, Libc.AF_INET6);
        rules.Require(Kind, SocketKind, refuse, Libc.SOCK_STREAM, Libc.SOCK_DGRAM);
        rules.Require(Protocol, -1, refuse, 0, Libc.IPPROTO_TCP, Libc.IPPROTO_UDP);
        rules.Return(Libc.SECCOMP_RET_ALLOW);
        rules.End(end);
    }

    /// <summary>A terminal may be looked at. To type into it for others is an attack.</summary>
    private static void AddDevices(SandboxRules rules, uint attack, uint refuse)
    {
        const int Request = 1;
        int end = rules.BeginCall(Libc.SYS_ioctl);
        foreach (uint request in (ReadOnlySpan<uint>)[Libc.TIOCSTI, Libc.TIOCLINUX])
        {
            int other = rules.BeginWhere(Request, request);
            rules.Return(attack);
            rules.End(other);
        }
        rules.Require(Request, -1, refuse, Libc.SIOCGIFINDEX, Libc.TCGETS, Libc.TCGETS2, Libc.TIOCGWINSZ);
        rules.Return(Libc.SECCOMP_RET_ALLOW);
        rules.End(end);
    }
}

// SPDX-License-Identifier: MIT
using System.Globalization;
using Iwpmd.Os.Interop;
using Iwpmd.Os;
using Iwpmd.Tests.Os;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Native;

/// <summary>
/// What the daemon can no longer do once it is set up. The calls are put into it from outside, as an intruder would
/// from inside.
/// </summary>
public sealed class SandboxTests : IDisposable
{
    private const int SYS_memfd_create = 319, SYS_timerfd_create = 283, FirstUnknown = 600;
    private const int SignalledBySys = 128 + 31;
    private const string Target = "/run/iwpmd/other";

    private static readonly string s_inject = Binaries.Compile("Iwpmd.Tests/Support/inject.c");

    private readonly Host _host = new();
    private readonly SimulatedKernel _kernel = new();
    private DaemonProcess? _daemon;

    public static TheoryData<string, int, object[]> Forbidden => new()
    {
        { "execve", Libc.SYS_execve, ["/bin/sh", 0, 0] },
        { "ptrace", Libc.SYS_ptrace, [0, 0, 0, 0] },
        { "open for writing", Libc.SYS_openat, [-100, Target, Libc.O_RDWR | Libc.O_CREAT, 0x180] },
        { "open to cut off", Libc.SYS_openat, [-100, Target, Libc.O_TRUNC, 0] },
        { "the old open", Libc.SYS_open, [Target, 1, 0] },
        {
            "memory that is code",
            Libc.SYS_mmap,
            [0, 4096, Libc.PROT_READ | Libc.PROT_EXEC, Libc.MAP_PRIVATE | Libc.MAP_ANONYMOUS, -1, 0]
        },
        { "a process", Libc.SYS_clone, [17, 0, 0, 0, 0] },
        { "terminal input", Libc.SYS_ioctl, [0, 0x5412, 0] },
        { "a signal to another process", Libc.SYS_kill, [1, 0] },
        { "another user", Libc.SYS_setresuid, [1, 1, 1] },
        { "a namespace", Libc.SYS_unshare, [0] },
        { "a ring", Libc.SYS_io_uring_setup, [1, 0] },
        { "rename", Libc.SYS_rename, ["/run/iwpmd/state", Target] },
        { "unlink", Libc.SYS_unlink, ["/run/iwpmd/state"] },
        { "a call of the 32-bit kind", Libc.SYS_getpid | 0x40000000, [] },
    };

    private static TheoryData<string, int, object[], Errno> Unneeded => new()
    {
        { "a raw packet socket", Libc.SYS_socket, [17, 3, 0], Errno.EACCES },
        { "a raw socket", Libc.SYS_socket, [Libc.AF_INET, Libc.SOCK_RAW, 0], Errno.EACCES },
        { "a protocol of its own", Libc.SYS_socket, [Libc.AF_INET6, Libc.SOCK_STREAM, 132], Errno.EACCES },
        { "routes", Libc.SYS_socket, [Libc.AF_NETLINK, Libc.SOCK_RAW, 0], Errno.EACCES },
        {
            "the firewall",
            Libc.SYS_socket,
            [Libc.AF_NETLINK, Libc.SOCK_RAW | Libc.SOCK_CLOEXEC, 12],
            Errno.EACCES
        },
        { "the old way to the firewall", Libc.SYS_setsockopt, [3, 0, 64, 0, 0], Errno.EINVAL },
        {
            "a hole in a file",
            Libc.SYS_fallocate,
            [1, Libc.FALLOC_FL_PUNCH_HOLE | Libc.FALLOC_FL_KEEP_SIZE, 0, 4096],
            Errno.EOPNOTSUPP
        },
        { "the settings of a terminal", Libc.SYS_ioctl, [2, 0x402c542b, 0], Errno.ENOTTY },
        { "an option of the process", Libc.SYS_prctl, [4, 0, 0, 0, 0], Errno.EINVAL },
        { "a file without a name", SYS_memfd_create, ["name", 0], Errno.ENOSYS },
        { "a timer", SYS_timerfd_create, [0, 0], Errno.ENOSYS },
        { "a call of tomorrow", FirstUnknown, [], Errno.ENOSYS },
        { "clone with flags behind a pointer", Libc.SYS_clone3, [0, 0], Errno.ENOSYS },
    };

    public void Dispose()
    {
        _daemon?.Dispose();
        _kernel.Dispose();
        _host.Dispose();
    }

    [Theory]
    [MemberData(nameof(Forbidden))]
    public void A_forbidden_call_ends_the_process(string what, int call, object[] arguments)
    {
        Start();
        Assert.Equal(("killed 31", what), (Inject(call, arguments), what));
        Assert.Equal(SignalledBySys, _daemon!.ExpectExit());
        Assert.False(_host.Run(() => File.Exists(Target)));
    }

    [Fact]
    public void Calls_that_are_neither_needed_nor_an_attack_fail_and_the_daemon_continues()
    {
        Start();
        Assert.All(Unneeded, row => Assert.Equal(
            (row[0], $"{-(int)(Errno)row[3]}"), (row[0], Inject((int)row[1], (object[])row[2]))));
        _kernel.Expect(KernelReplyKind.AddMapping, _kernel.Send(Scene.Add("10.0.0.1:5000")));
        _daemon!.Stop();
    }

    [Fact]
    public void Stopped_and_continued_in_a_terminal_it_serves_again()
    {
        _host.Run(() =>
        {
            Directory.CreateDirectory("/dev/pts");
            Tool.Run("mount", "mount", "-t", "devpts", "-o", "newinstance,ptmxmode=0666", "devpts", "/dev/pts");
            File.CreateSymbolicLink("/dev/ptmx", "pts/ptmx");
        });
        // package bsdutils
        _daemon = DaemonProcess.Start(
            _host, _kernel,
            ["script", "--quiet", "--flush", "--return", "--command", $"exec {Binaries.Ours} -f", "/dev/null"]);
        _kernel.ExpectHandshake();
        _kernel.Expect(KernelReplyKind.RegisterPid, _kernel.Send(Scene.Register));
        int daemon = _kernel.Socket.ProcessId;
        Assert.NotEqual(_daemon.Id, daemon);
        Assert.StartsWith("/dev/pts/", new FileInfo($"/proc/{daemon}/fd/2").LinkTarget);
        for (int port = 5000; port < 5005; port++)
        {
            NativeCalls.Succeed(TestLibc.kill(daemon, NativeCalls.SIGSTOP), "kill");
            _daemon.WaitStopped(); // script stops with what it runs
            _daemon.Signal(NativeCalls.SIGCONT);
            NativeCalls.Succeed(TestLibc.kill(daemon, NativeCalls.SIGCONT), "kill");
            Thread.Sleep(100); // the runtime has a thread for signals
            _kernel.Expect(KernelReplyKind.AddMapping, _kernel.Send(Scene.Add($"10.0.0.1:{port}")));
        }
        NativeCalls.Succeed(TestLibc.kill(daemon, TestLibc.SIGTERM), "kill");
        Assert.Equal(0, _daemon.ExpectExit());
    }

    [Fact]
    public void What_the_daemon_and_its_libraries_need_passes()
    {
        Start();
        int fd = int.Parse(
            Inject(Libc.SYS_openat, -100, "/proc/self/status", Libc.O_RDONLY), CultureInfo.InvariantCulture);
        Assert.InRange(fd, 3, 1000);
        Assert.Equal("0", Inject(3, fd));
        _kernel.Expect(KernelReplyKind.AddMapping, _kernel.Send(Scene.Add("10.0.0.1:5000")));
        _daemon!.Stop();
    }

    [Theory]
    [InlineData("--no-sandbox")]
    [InlineData("--log-sandbox")]
    public void Without_it_the_same_call_works(string option)
    {
        Start(option);
        Assert.InRange(
            int.Parse(
                Inject(Libc.SYS_openat, -100, Target, Libc.O_RDWR | Libc.O_CREAT, 0x180), CultureInfo.InvariantCulture),
            3, 1000);
        Assert.True(_host.Run(() => File.Exists(Target)));
        _daemon!.Stop();
    }

    [Fact]
    public void It_holds_in_every_thread_and_forbids_new_privileges()
    {
        Start();
        string[] threads = Directory.GetDirectories($"/proc/{_daemon!.Id}/task");
        Assert.True(threads.Length > 1);
        Assert.All(threads, thread =>
        {
            string[] status = File.ReadAllLines(Path.Combine(thread, "status"));
            Assert.Contains("Seccomp:\t2", status);
            Assert.Contains("NoNewPrivs:\t1", status);
        });
        _daemon.Signal(TestLibc.SIGUSR1); // which makes a thread
        _daemon.ExpectLog("mapping: 0 mappings");
        _daemon.Stop();
    }

    private void Start(params string[] options)
    {
        _daemon = DaemonProcess.Foreground(_host, _kernel, options);
        _daemon.ExpectLog("daemon: ready");
        _kernel.ExpectHandshake();
        _daemon.WaitIdle();
    }

    private string Inject(int call, params object[] arguments) =>
        Tool.Run(
            s_inject, "gcc",
            [
                $"{_daemon!.Id}", $"{call}",
                .. arguments.Select(argument => argument is int number ? $"{number}" : (string)argument),
            ]).Trim();
}

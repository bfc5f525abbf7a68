using System.Globalization;
using Iwpmd.Os;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Native;

/// <summary>What the daemon can no longer do once it is set up. The calls are put into it from outside, as an intruder would from inside.</summary>
public sealed class SandboxTests : IDisposable
{
    private const int SYS_execve = 59, SYS_kill = 62, SYS_rename = 82, SYS_ptrace = 101, SYS_unlink = 87;
    private const int SignalledBySys = 128 + 31;
    private const string Target = "/run/iwpmd/other";

    private static readonly string s_inject = Binaries.Compile("inject.c");

    private readonly Host _host = new();
    private readonly SimulatedKernel _kernel = new();
    private DaemonProcess? _daemon;

    public static TheoryData<string, int, object[]> Forbidden => new()
    {
        { "execve", SYS_execve, ["/bin/sh", 0, 0] },
        { "ptrace", SYS_ptrace, [0, 0, 0, 0] },
        { "open for writing", Libc.SYS_openat, [-100, Target, Libc.O_RDWR | Libc.O_CREAT, 0x180] },
        { "open to cut off", Libc.SYS_openat, [-100, Target, Libc.O_TRUNC, 0] },
        { "the old open", Libc.SYS_open, [Target, 1, 0] },
        { "memory that is code", Libc.SYS_mmap, [0, 4096, Libc.PROT_READ | Libc.PROT_EXEC, Libc.MAP_PRIVATE | Libc.MAP_ANONYMOUS, -1, 0] },
        { "a process", Libc.SYS_clone, [17, 0, 0, 0, 0] },
        { "a raw packet socket", Libc.SYS_socket, [17, 3, 0] },
        { "terminal input", Libc.SYS_ioctl, [0, 0x5412, 0] },
        { "a signal to another process", SYS_kill, [1, 0] },
        { "a hole in a file", Libc.SYS_fallocate, [1, Libc.FALLOC_FL_PUNCH_HOLE | Libc.FALLOC_FL_KEEP_SIZE, 0, 4096] },
        { "rename", SYS_rename, ["/run/iwpmd/state", Target] },
        { "unlink", SYS_unlink, ["/run/iwpmd/state"] },
        { "a call of the 32-bit kind", Libc.SYS_getpid | 0x40000000, [] },
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
    public void A_call_that_is_needed_or_younger_than_the_filter_does_not()
    {
        Start();
        int fd = int.Parse(Inject(Libc.SYS_openat, -100, "/proc/self/status", Libc.O_RDONLY), CultureInfo.InvariantCulture);
        Assert.InRange(fd, 3, 1000);
        Assert.Equal("0", Inject(3, fd));
        Assert.Equal("-38", Inject(Libc.SYS_clone3, 0, 0));
        Assert.Equal("-38", Inject(600));
        _kernel.Expect(KernelReplyKind.AddMapping, _kernel.Send(Scene.Add("10.0.0.1:5000")));
        _daemon!.Stop();
    }

    [Theory]
    [InlineData("--no-sandbox")]
    [InlineData("--log-sandbox")]
    public void Without_it_the_same_call_works(string option)
    {
        Start(option);
        Assert.InRange(int.Parse(Inject(Libc.SYS_openat, -100, Target, Libc.O_RDWR | Libc.O_CREAT, 0x180), CultureInfo.InvariantCulture), 3, 1000);
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
        _daemon.Signal(Os.TestLibc.SIGUSR1); // which makes a thread
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
        Tool.Run(s_inject, "gcc", [$"{_daemon!.Id}", $"{call}", .. arguments.Select(argument => argument is int number ? $"{number}" : (string)argument)]).Trim();
}

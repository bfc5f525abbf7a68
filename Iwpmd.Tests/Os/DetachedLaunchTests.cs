// SPDX-License-Identifier: MIT
using Iwpmd.Os.Interop;
using Iwpmd.Os;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Os;

/// <summary>The launcher with a shell in the daemon's place.</summary>
[Collection(OsCollection.Name)]
public sealed unsafe class DetachedLaunchTests
{
    private const string ReportReady = "echo >/proc/self/fd/$IWPMD_READY_FD";

    [Theory]
    [InlineData(ReportReady, 0)]
    [InlineData(ReportReady + "; exit 3", 0)]
    [InlineData("exit 7", 7)]
    [InlineData("exit 69", 69)]
    [InlineData("exit 0", 1)]
    [InlineData("kill -KILL $$", 137)]
    public void The_exit_status_is_0_only_when_the_daemon_is_ready(string script, int expected) =>
        Assert.Equal(expected, Launch(script));

    [Theory]
    [InlineData("read -r pid name state parent group session rest </proc/self/stat; [ $session = $$ ]")]
    [InlineData("[ \"$(readlink /proc/$$/fd/0)\" = /dev/null ]")]
    [InlineData("[ \"$(readlink /proc/$$/fd/1)\" = /dev/null ]")]
    [InlineData("[ /proc/$$/fd/2 -ef /proc/$PPID/fd/2 ]")]
    [InlineData("[ $0 = iwpmd ] && [ \"$1\" = \"an argument\" ]")]
    [InlineData("[ -n \"$PATH\" ]")]
    public void The_daemon_has_a_session_of_its_own_and_only_the_caller_s_stderr(string condition) =>
        Assert.Equal(0, Launch($"{condition} && {ReportReady}"));

    [Fact]
    public void A_program_that_is_not_there_says_so()
    {
        OpError? error = DetachedLaunch.Run("/nowhere/iwpmd", ["iwpmd"], out int exitStatus);
        Assert.Equal((new OpError("posix_spawn", Errno.ENOENT), 1), (error, exitStatus));
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("x")]
    [InlineData("2")]
    [InlineData("-1")]
    [InlineData("1000000")]
    public void What_is_no_open_descriptor_is_no_ready_pipe(string? text) => Assert.Null(ReadyPipe.FromText(text));

    [Fact]
    public void Reporting_ready_leaves_terminal_and_directory_and_writes_one_byte_once()
    {
        int* pipe = stackalloc int[2];
        TestLibc.Succeed(Libc.pipe2(pipe, Libc.O_CLOEXEC));
        (int readEnd, int writeEnd) = (pipe[0], pipe[1]);
        OwnThread.Run(() =>
        {
            TestLibc.Succeed(TestLibc.unshare(TestLibc.CLONE_FS | TestLibc.CLONE_FILES));
            int copy = writeEnd == 63 ? 62 : 63;
            TestLibc.Succeed(Libc.dup3(2, copy, Libc.O_CLOEXEC));
            ReadyPipe? ready = ReadyPipe.FromText($"{writeEnd}");
            ready!.ReportReady();
            ready.ReportReady();
            Assert.Equal("/dev/null", LinkTarget("fd/2"));
            Assert.Equal("/dev/null", LinkTarget($"fd/{copy}"));
            Assert.Equal("/", LinkTarget("cwd"));
            Assert.False(File.Exists($"/proc/thread-self/fd/{writeEnd}"));
        });
        _ = Libc.close(writeEnd);
        byte* bytes = stackalloc byte[4];
        Assert.Equal(1, Libc.read(readEnd, bytes, 4));
        _ = Libc.close(readEnd);
    }

    private static string LinkTarget(string name) =>
        File.ResolveLinkTarget("/proc/thread-self/" + name, returnFinalTarget: false)!.FullName;

    private static int Launch(string script)
    {
        Assert.Null(DetachedLaunch.Run("/bin/sh", ["sh", "-c", script, "iwpmd", "an argument"], out int exitStatus));
        return exitStatus;
    }
}

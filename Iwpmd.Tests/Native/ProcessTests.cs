// SPDX-License-Identifier: MIT
using System.Diagnostics;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Native;

/// <summary>What the published executable is as a file and as a process.</summary>
public class ProcessTests
{
    [Fact]
    public void It_depends_on_the_C_library_only()
    {
        string[] needed =
            [.. Tool.Run("readelf", "binutils", "-d", Binaries.Ours).Split('\n').Where(
                line => line.Contains("(NEEDED)")).Select(line => line.Split('[', ']')[1])];

        Assert.Contains("libc.so.6", needed);
        Assert.All(needed, library => Assert.Matches(
            @"^(libc\.so\.6|libpthread\.so\.0|libdl\.so\.2|libm\.so\.6|ld-linux-x86-64\.so\.2)$", library));
    }

    [Fact]
    public void Its_stack_is_not_executable_and_no_segment_is_writable_code()
    {
        string[] segments =
            [.. Tool.Run("readelf", "binutils", "-lW", Binaries.Ours).Split('\n').Select(line => line.Trim())];

        Assert.Contains(segments, line => line.StartsWith("GNU_STACK") && line.Contains(" RW "));
        Assert.DoesNotContain(segments, line => line.Contains(" RWE "));
        Assert.Contains(segments, line => line.StartsWith("LOAD") && line.Contains(" R E "));
    }

    [Fact]
    public void No_memory_of_it_is_writable_code()
    {
        using Scene scene = new Scene().Ready();
        scene.AddMapping("10.0.0.1:5000");

        string[] permissions =
            [.. File.ReadAllLines($"/proc/{scene.Daemon.Id}/maps").Select(line => line.Split(' ')[1])];
        Assert.Contains("r-xp", permissions);
        Assert.DoesNotContain(permissions, permission => permission.Contains('w') && permission.Contains('x'));
    }

    [Fact]
    public void It_runs_where_memory_cannot_become_code()
    {
        string launcher = Binaries.Compile("Iwpmd.Tests/Support/denyexec.c");
        Tool.Run(launcher, "gcc"); // its own check that the rule holds
        using var host = new Host();
        using var kernel = new SimulatedKernel();
        using var daemon = DaemonProcess.Start(host, kernel, [launcher, Binaries.Ours, "-f", "-l", "debug"]);
        daemon.ExpectLog("daemon: ready");
        kernel.Expect(KernelReplyKind.RegisterPid, kernel.Send(Scene.Register));

        for (int i = 0; i < 50; i++)
        {
            kernel.Expect(KernelReplyKind.AddMapping, kernel.Send(Scene.Add($"10.0.0.1:{5000 + i}")));
        }
        daemon.Signal(TestLibc.SIGUSR1);
        daemon.ExpectLog("mapping: 50 mappings");
        daemon.Stop();
    }

    [Fact]
    public void It_survives_an_address_space_limit()
    {
        using var host = new Host();
        using var kernel = new SimulatedKernel();
        // package util-linux
        using var daemon = DaemonProcess.Start(
            host, kernel, ["prlimit", "--as=1073741824", Binaries.Ours, "-f", "-l", "debug"]);
        daemon.ExpectLog("daemon: ready");
        daemon.Stop();
    }

    [Fact]
    public void It_starts_and_ends_without_reading_files_it_does_not_need()
    {
        using var host = new Host();
        using var kernel = new SimulatedKernel();
        string trace = host["trace"];
        using var daemon = DaemonProcess.Start(host, null, [
            "strace", "-f", "-qq", "-o", trace, "-e", "trace=openat,open",
            .. kernel.Environment.SelectMany(pair => (string[])["-E", $"{pair.Key}={pair.Value}"]),
            Binaries.Ours, "-f", "-l", "error"]); // package strace
        kernel.ExpectHandshake();
        int pid = kernel.Socket.ProcessId;
        kernel.Expect(KernelReplyKind.RegisterPid, kernel.Send(Scene.Register));
        Assert.Equal(0, TestLibc.kill(pid, TestLibc.SIGTERM));
        Assert.Equal(0, daemon.ExpectExit());

        string[] opened =
            [.. File.ReadAllLines(trace).Where(line => line.Contains("open") && !line.Contains("ENOENT")).Select(
                line => line.Split('"')[1])];
        string[] allowed =
            [
                Binaries.SimulatedKernel, "/etc/ld.so", "/lib/", "/usr/lib/", "/proc/", "/sys/", "/run/iwpmd/",
                "/dev/null", "/dev/urandom", Path.GetTempPath(),
            ];
        Assert.Contains(opened, path => path.StartsWith("/run/iwpmd/"));
        Assert.All(opened, path => Assert.Contains(allowed, prefix => path.StartsWith(prefix)));
    }
}

// SPDX-License-Identifier: MIT
using System.Diagnostics;
using Iwpmd.Tests.Support;
using Xunit;

namespace Iwpmd.Tests.Native;

/// <summary>
/// Where what a command prints cannot be written: it ends, with a status of its own and at most one line, never a
/// trace.
/// </summary>
public sealed class OutputTests : IDisposable
{
    private readonly Scene _scene = new Scene().Ready();

    public static TheoryData<string> Commands =>
        [
            "status", "status --json", "mappings", "mappings -j", "peers", "metrics", "doctor", "doctor --json",
            "ping 127.0.0.1 -c 1", "--version", "--help", "help", "status --help",
        ];

    public void Dispose() => _scene.Dispose();

    private CommandResult Shell(string script) => Command.Run(
        _scene.Host, [], ["bash", "-c", $"set -o pipefail; iwpmd() {{ {Binaries.Ours} \"$@\"; }}; {script}"]);

    [Theory]
    [MemberData(nameof(Commands))]
    public void A_full_disk_is_reported_in_one_line(string command) =>
        Assert.Equal(
            new CommandResult(74, "", "iwpmd: stdout: No space left on device (ENOSPC)\n"),
            Shell($"iwpmd {command} > /dev/full"));

    [Theory]
    [MemberData(nameof(Commands))]
    public void A_closed_stdout_is_reported_in_one_line(string command) =>
        Assert.Equal(
            new CommandResult(74, "", "iwpmd: stdout: Bad file descriptor (EBADF)\n"), Shell($"iwpmd {command} >&-"));

    [Theory]
    [MemberData(nameof(Commands))]
    public void A_closed_pipe_needs_no_line(string command) =>
        Assert.Equal(
            new CommandResult(74, "", ""),
            Shell($"mkfifo /run/p; (exec 4< /run/p) & exec 3> /run/p; wait; iwpmd {command} >&3"));

    [Theory]
    [InlineData("status --watch 0.1")]
    [InlineData("mappings --watch 3600")]
    [InlineData("peers --json --watch 3600")]
    public void A_watch_ends_with_its_reader(string command)
    {
        var waited = Stopwatch.StartNew();
        Assert.Equal(74, Shell($"iwpmd {command} | head -n 1 > /dev/null").Status);
        Assert.True(waited.Elapsed < Timeouts.Answer);
    }

    [Fact]
    public void A_closed_or_full_stderr_changes_nothing_but_the_text()
    {
        Assert.Equal(new CommandResult(2, "", ""), Shell("iwpmd --frobnicate 2>&-"));
        Assert.Equal(new CommandResult(2, "", ""), Shell("iwpmd status --frobnicate 2> /dev/full"));
    }

    [Fact]
    public void Metrics_replace_no_device_pipe_or_link()
    {
        CommandResult result = Shell("cd /run; mknod null c 1 3; echo old > target; ln -s target link; mkfifo pipe; "
            + "iwpmd metrics -o null && iwpmd metrics -o link && { head -c 6 pipe & iwpmd metrics -o pipe; wait; }; "
            + "echo; stat -c '%n %F' null link pipe; head -c 6 target");

        Assert.Equal(
            new CommandResult(0, "# HELP\nnull character special file\nlink symbolic link\npipe fifo\n# HELP", ""),
            result);
    }

    [Fact]
    public void Metrics_on_a_full_disk_leave_the_old_file_and_no_other()
    {
        CommandResult result = Shell(
            "mkdir /run/small; mount -t tmpfs -o size=4k none /run/small; echo old > /run/small/m; iwpmd metrics -o "
                + "/run/small/m; status=$?; cat /run/small/m; ls /run/small; exit $status");

        Assert.Equal(
            new CommandResult(
                74, "old\nm\n", "iwpmd: /run/small/m cannot be written: No space left on device (ENOSPC)\n"),
            result);
    }
}

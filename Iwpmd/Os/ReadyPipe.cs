// SPDX-License-Identifier: MIT
using System.Globalization;
using Iwpmd.Os.Interop;
using Iwpmd.Wire;

namespace Iwpmd.Os;

/// <summary>The detached daemon's end of the pipe on which its launcher waits for the verdict.</summary>
internal sealed unsafe class ReadyPipe
{
    /// <summary>Names the descriptor to the daemon, and by being there says that it was launched detached.</summary>
    public const string EnvironmentVariable = "IWPMD_READY_FD";

    private const int StandardError = 2, FirstFreeFd = 3;
    private const int CopiesBelow = 64; // they were made at the start

    // now: the sandbox lets nothing be opened for writing
    private readonly int _nothing = Libc.open("/dev/null", Libc.O_RDWR | Libc.O_CLOEXEC, 0);
    private int _fd;

    private ReadyPipe(int fd) => _fd = fd;

    /// <summary>Null when the daemon was not launched by <see cref="DetachedLaunch"/>.</summary>
    public static ReadyPipe? FromEnvironment() => FromText(Environment.GetEnvironmentVariable(EnvironmentVariable));

    public static ReadyPipe? FromText(string? text)
    {
        if (!int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int fd) || fd < FirstFreeFd
            || Libc.fcntl(fd, Libc.F_SETFD, Libc.FD_CLOEXEC) != 0)
        {
            return null;
        }
        return new ReadyPipe(fd);
    }

    /// <summary>Stderr is not the caller's any more.</summary>
    public bool HasReported => _fd < 0;

    /// <summary>
    /// Leaves the caller's directory and terminal, then tells the launcher, which exits with 0. Until then stderr is
    /// the caller's, so that a failure can be read there.
    /// </summary>
    public void ReportReady()
    {
        if (_fd < 0)
        {
            return;
        }
        _ = Libc.chdir("/");
        LeaveStandardError();
        byte verdict = 1;
        _ = Libc.write(_fd, &verdict, 1);
        _ = Libc.close(_fd);
        _fd = -1;
    }

    // With its copies, such as the one that the runtime's console works on: a caller that reads our stderr to its end
    // would wait for them for ever.
    private void LeaveStandardError()
    {
        if (_nothing < 0)
        {
            return;
        }
        bool isOpen = FileStatus.Read(StandardError, out Libc.statx stderr) == Errno.None;
        for (int fd = FirstFreeFd; isOpen && fd < CopiesBelow; fd++)
        {
            if (FileStatus.Read(fd, out Libc.statx other) == Errno.None
                && (stderr.stx_ino, stderr.stx_dev_major, stderr.stx_dev_minor) == (
                    other.stx_ino, other.stx_dev_major, other.stx_dev_minor))
            {
                _ = Libc.dup3(_nothing, fd, Libc.O_CLOEXEC);
            }
        }
        _ = Libc.dup3(_nothing, StandardError, 0);
        _ = Libc.close(_nothing);
    }
}

using System.Globalization;

namespace Iwpmd.Os;

/// <summary>The detached daemon's end of the pipe on which its launcher waits for the verdict.</summary>
internal sealed unsafe class ReadyPipe
{
    /// <summary>Names the descriptor to the daemon, and by being there says that it was launched detached.</summary>
    public const string EnvironmentVariable = "IWPMD_READY_FD";

    private const int FirstFreeFd = 3;

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

    /// <summary>
    /// Leaves the caller's directory and terminal, then tells the launcher, which exits with 0. Until then stderr is the caller's, so that a failure can be read there.
    /// </summary>
    public void ReportReady()
    {
        if (_fd < 0)
        {
            return;
        }
        _ = Libc.chdir("/");
        int nothing = Libc.open("/dev/null", Libc.O_RDWR | Libc.O_CLOEXEC, 0);
        if (nothing >= 0)
        {
            _ = Libc.dup2(nothing, 2);
            _ = Libc.close(nothing);
        }
        byte verdict = 1;
        _ = Libc.write(_fd, &verdict, 1);
        _ = Libc.close(_fd);
        _fd = -1;
    }
}

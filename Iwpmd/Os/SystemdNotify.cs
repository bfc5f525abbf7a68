using System.Globalization;
using System.Text;

namespace Iwpmd.Os;

/// <summary>Tells the service manager how the daemon is doing, where there is one. It never blocks; it must not know what the words mean.</summary>
internal sealed class SystemdNotify : IDisposable
{
    private const int MaxMessage = 1024;

    private int _fd = -1;

    /// <summary>A socket that cannot be reached makes this one silent, with the reason in <see cref="ConnectError"/>.</summary>
    public SystemdNotify(string? socketPath, string? watchdogMicroseconds, string? watchdogPid)
    {
        ConnectError = string.IsNullOrEmpty(socketPath) ? Errno.None : UnixDatagramSocket.TryConnect(socketPath, out _fd);
        WatchdogInterval = IntervalFor(watchdogMicroseconds, watchdogPid);
    }

    public Errno ConnectError { get; }

    public bool IsActive => _fd >= 0;

    /// <summary>How often the manager wants to hear WATCHDOG=1: half of its patience. Null when it does not.</summary>
    public TimeSpan? WatchdogInterval { get; }

    public static SystemdNotify FromEnvironment() => new(
        Environment.GetEnvironmentVariable("NOTIFY_SOCKET"),
        Environment.GetEnvironmentVariable("WATCHDOG_USEC"),
        Environment.GetEnvironmentVariable("WATCHDOG_PID"));

    /// <summary>Sends lines such as "READY=1\nSTATUS=..."; without a manager nothing happens.</summary>
    public Errno Send(string state)
    {
        if (!IsActive)
        {
            return Errno.None;
        }
        Span<byte> bytes = stackalloc byte[MaxMessage];
        return Encoding.UTF8.TryGetBytes(state, bytes, out int length)
            ? UnixDatagramSocket.Send(_fd, bytes[..length])
            : Errno.MessageTooLong;
    }

    public void Dispose()
    {
        if (IsActive)
        {
            SocketFd.Close(_fd);
            _fd = -1;
        }
    }

    private static TimeSpan? IntervalFor(string? microseconds, string? pid)
    {
        bool isForUs = string.IsNullOrEmpty(pid)
            || (int.TryParse(pid, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number == Libc.getpid());
        return isForUs && long.TryParse(microseconds, NumberStyles.None, CultureInfo.InvariantCulture, out long patience) && patience > 0
            ? TimeSpan.FromTicks(Math.Min(patience, long.MaxValue / TimeSpan.TicksPerMicrosecond) * TimeSpan.TicksPerMicrosecond / 2)
            : null;
    }
}

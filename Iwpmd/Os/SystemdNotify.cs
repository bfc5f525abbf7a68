// SPDX-License-Identifier: MIT
using System.Globalization;
using System.Text;
using Iwpmd.Os.Interop;
using Iwpmd.Wire;

namespace Iwpmd.Os;

/// <summary>
/// Tells the service manager how the daemon is doing, where there is one, and has it keep descriptors. What is sent as
/// text never blocks, and what it means is not known here.
/// </summary>
internal sealed class SystemdNotify : IDisposable
{
    private const int MaxMessage = 1024;
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(1);

    private readonly Errno _connectError;
    private int _fd = -1;

    /// <summary>
    /// A socket that cannot be reached makes this one silent, but for <see cref="SendSurely"/>, which has the reason.
    /// </summary>
    public SystemdNotify(string? socketPath, string? watchdogMicroseconds, string? watchdogPid)
    {
        _connectError = string.IsNullOrEmpty(socketPath)
            ? Errno.None
            : UnixDatagramSocket.TryConnect(socketPath, out _fd);
        WatchdogInterval = IntervalFor(watchdogMicroseconds, watchdogPid);
    }

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
            : Errno.EMSGSIZE;
    }

    /// <summary>The same for what must not be lost: waits a second at most when the manager has much to read.</summary>
    public Errno SendSurely(string state) =>
        !IsActive ? _connectError : PassedFds.Send(_fd, Encoding.UTF8.GetBytes(state), [], Timeout);

    /// <summary>
    /// Has the manager keep copies of descriptors for the next start, whatever becomes of this process. Not polled: a
    /// bound TCP socket would look dead.
    /// </summary>
    public Errno Store(string name, params ReadOnlySpan<int> fds) =>
        !IsActive
            ? Errno.None
            : PassedFds.Send(_fd, Encoding.ASCII.GetBytes($"FDSTORE=1\nFDNAME={name}\nFDPOLL=0"), fds, Timeout);

    /// <summary>Has it drop what it keeps by this name.</summary>
    public Errno Drop(string name) => SendSurely($"FDSTOREREMOVE=1\nFDNAME={name}");

    /// <summary>
    /// Returns when the manager has dealt with all that was sent to it: it cannot tell whose a message is once the
    /// sender is gone.
    /// </summary>
    public unsafe Errno AwaitManager(TimeSpan timeout)
    {
        int* pipe = stackalloc int[2];
        if (!IsActive)
        {
            return Errno.None;
        }
        if (Libc.pipe2(pipe, Libc.O_CLOEXEC) != 0)
        {
            return Errno.Last;
        }
        (int readEnd, int writeEnd) = (pipe[0], pipe[1]);
        Errno error = PassedFds.Send(_fd, "BARRIER=1"u8, [writeEnd], Timeout);
        SocketFd.Close(writeEnd);
        if (error == Errno.None && !SocketFd.WaitReadable(readEnd, timeout))
        {
            error = Errno.ETIMEDOUT;
        }
        SocketFd.Close(readEnd);
        return error;
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
            || (int.TryParse(
                pid, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number == Libc.getpid());
        return isForUs
            && long.TryParse(microseconds, NumberStyles.None, CultureInfo.InvariantCulture, out long patience)
            && patience > 0
            ? TimeSpan.FromTicks(
                Math.Min(patience, long.MaxValue / TimeSpan.TicksPerMicrosecond) * TimeSpan.TicksPerMicrosecond / 2)
            : null;
    }
}

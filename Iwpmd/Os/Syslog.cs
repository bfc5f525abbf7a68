// SPDX-License-Identifier: MIT
using System.Text;
using Iwpmd.Os.Interop;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;

namespace Iwpmd.Os;

/// <summary>
/// The log sink of the detached daemon: one RFC 3164 datagram a line, facility daemon, to the local syslog service. For
/// one thread. It never blocks: a line that cannot be sent at once, after one new connection, is dropped;
/// the next one ends with the number of those.
/// </summary>
internal sealed unsafe class Syslog(string path, string ident) : LogSink(() => Clock.Now), IDisposable
{
    public const string DefaultPath = "/dev/log";

    private const int Facility = 3 << 3; // LOG_DAEMON
    private const int MaxLine = 2048;
    private const int TimestampSize = 15;

    private readonly byte[] _line = new byte[MaxLine];
    private readonly int _pid = Libc.getpid();
    private int _fd = -1;
    private long _told; // of those dropped

    private static ReadOnlySpan<byte> Months => "JanFebMarAprMayJunJulAugSepOctNovDec"u8;

    /// <summary>Lines that could not be sent.</summary>
    public long Dropped { get; private set; }

    public void Dispose() => Disconnect();

    /// <summary>As in sys/syslog.h.</summary>
    public static int SeverityOf(LogLevel level) => level switch
    {
        LogLevel.Critical => 2,
        LogLevel.Error => 3,
        LogLevel.Warning => 4,
        LogLevel.Information => 6,
        _ => 7,
    };

    protected override void Write(LogLevel level, EventId id, string text, Exception? exception)
    {
        long dropped = Dropped;
        text = dropped == _told ? text : $"{text} ({dropped - _told} lines before this one were lost)";
        Span<byte> line = _line;
        Span<byte> time = stackalloc byte[TimestampSize];
        WriteLocalTime(time);
        Encoding.ASCII.TryGetBytes($"<{Facility | SeverityOf(level)}>", line, out int length);
        time.CopyTo(line[length..]);
        length += TimestampSize;
        length += Encoding.UTF8.GetBytes($" {ident}[{_pid}]: ", line[length..]);
        Encoder encoder = Encoding.UTF8.GetEncoder();
        encoder.Convert( // a longer line is cut off
            LogLine.Of(id, text, exception), line[length..], flush: true, out _, out int used, out _);
        _told = TrySend(line[..(length + used)]) ? dropped : _told;
    }

    // Mmm dd hh:mm:ss, by the C library: time zones in the runtime would cost megabytes.
    private static void WriteLocalTime(Span<byte> text)
    {
        Libc.timespec now;
        Libc.tm local = default;
        _ = Libc.clock_gettime(Libc.CLOCK_REALTIME, &now);
        nint seconds = now.tv_sec;
        _ = Libc.localtime_r(&seconds, &local);
        Months.Slice(local.tm_mon * 3, 3).CopyTo(text);
        text[3..].Fill((byte)' ');
        TwoDigits(text[4..], local.tm_mday);
        text[4] = local.tm_mday < 10 ? (byte)' ' : text[4];
        TwoDigits(text[7..], local.tm_hour);
        TwoDigits(text[10..], local.tm_min);
        TwoDigits(text[13..], local.tm_sec);
        text[9] = text[12] = (byte)':';
    }

    private static void TwoDigits(Span<byte> text, int value)
    {
        text[0] = (byte)('0' + (value / 10));
        text[1] = (byte)('0' + (value % 10));
    }

    private bool TrySend(ReadOnlySpan<byte> line)
    {
        Errno error = _fd < 0 ? Errno.ECONNREFUSED : UnixDatagramSocket.Send(_fd, line);
        if (error is not (Errno.None or Errno.EAGAIN))
        {
            Disconnect(); // the service was restarted: its socket is another one now
            error = UnixDatagramSocket.TryConnect(path, out _fd);
            error = error != Errno.None ? error : UnixDatagramSocket.Send(_fd, line);
        }
        Dropped += error == Errno.None ? 0 : 1;
        return error == Errno.None;
    }

    private void Disconnect()
    {
        if (_fd >= 0)
        {
            SocketFd.Close(_fd);
            _fd = -1;
        }
    }
}

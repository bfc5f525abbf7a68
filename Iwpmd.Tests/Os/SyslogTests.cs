// SPDX-License-Identifier: MIT
using System.Globalization;
using System.Net.Sockets;
using System.Text;
using Iwpmd.Os;
using Iwpmd.Tests.Support;
using Microsoft.Extensions.Logging;
using Xunit;

namespace Iwpmd.Tests.Os;

[Collection(OsCollection.Name)]
public sealed class SyslogTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly Syslog _log;
    private Socket? _service;

    public SyslogTests()
    {
        _log = new Syslog(_directory["log"], "iwpmd") { MinimumLevel = LogLevel.Trace };
        StartService();
    }

    public void Dispose()
    {
        _log.Dispose();
        _service?.Dispose();
        _directory.Dispose();
    }

    [Theory]
    [InlineData(LogLevel.Critical, 26)]
    [InlineData(LogLevel.Error, 27)]
    [InlineData(LogLevel.Warning, 28)]
    [InlineData(LogLevel.Information, 30)]
    [InlineData(LogLevel.Debug, 31)]
    [InlineData(LogLevel.Trace, 31)]
    public void A_line_has_priority_local_time_name_and_process(LogLevel level, int priority)
    {
        DateTime before = DateTime.Now;
        Write(level, "mapping: added: 10.0.0.1:5000");
        string line = Received();
        Assert.StartsWith($"<{priority}>", line, StringComparison.Ordinal);
        Assert.EndsWith(
            $" iwpmd[{Environment.ProcessId}]: mapping: added: 10.0.0.1:5000 (event 0)", line,
            StringComparison.Ordinal);
        string time = line[4..19];
        Assert.Contains(time, new[] { before, DateTime.Now }.Select(Rfc3164));
    }

    [Fact]
    public void Lines_below_the_minimum_are_not_sent()
    {
        _log.MinimumLevel = LogLevel.Warning;
        Write(LogLevel.Information, "small");
        Write(LogLevel.Warning, "large");
        Assert.EndsWith("large (event 0)", Received(), StringComparison.Ordinal);
        Assert.Equal((0, 0L), (_service!.Available, _log.Dropped));
    }

    [Fact]
    public void Text_with_line_breaks_stays_one_line()
    {
        Write(LogLevel.Warning, "name: a\n<26>b\0c\u001b");
        Assert.EndsWith("name: a\\x0a<26>b\\x00c\\x1b (event 0)", Received(), StringComparison.Ordinal);
    }

    [Fact]
    public void A_long_line_is_cut_off_between_characters()
    {
        Write(LogLevel.Warning, new string('\u00e4', 2000));
        string line = Received();
        Assert.InRange(Encoding.UTF8.GetByteCount(line), 2046, 2048);
        Assert.EndsWith("\u00e4\u00e4", line, StringComparison.Ordinal);
    }

    [Fact]
    public void An_exception_is_told_with_its_message()
    {
        _log.Log(LogLevel.Critical, default, "loop: failed", new InvalidOperationException("why"), (state, _) => state);
        Assert.Contains(": loop: failed: System.InvalidOperationException: why", Received(), StringComparison.Ordinal);
    }

    [Fact]
    public void A_restarted_service_gets_the_next_line()
    {
        Write(LogLevel.Warning, "one");
        StopService();
        Write(LogLevel.Warning, "two");
        Assert.Equal(1, _log.Dropped);
        StartService();
        Write(LogLevel.Warning, "three");
        Assert.EndsWith("three (1 lines before this one were lost) (event 0)", Received(), StringComparison.Ordinal);
        StopService();
        StartService();
        Write(LogLevel.Warning, "four");
        Assert.EndsWith("four (event 0)", Received(), StringComparison.Ordinal);
        Assert.Equal(1, _log.Dropped);
    }

    [Fact]
    public void A_service_that_does_not_read_never_blocks_and_its_lines_are_counted()
    {
        const int Lines = 2000; // more than any receive queue of net.unix.max_dgram_qlen datagrams takes
        for (int i = 0; i < Lines; i++)
        {
            Write(LogLevel.Warning, "again");
        }
        int received = 0;
        for (; _service!.Available > 0; received++)
        {
            _ = Received();
        }
        Assert.InRange(received, 1, Lines - 1);
        Assert.Equal(Lines, received + _log.Dropped);
    }

    private static string Rfc3164(DateTime time) =>
        time.ToString("MMM ", CultureInfo.InvariantCulture) + time.Day.ToString(CultureInfo.InvariantCulture).PadLeft(2)
            + time.ToString(" HH:mm:ss", CultureInfo.InvariantCulture);

    private void Write(LogLevel level, string text) => _log.Log(level, default, text, null, (state, _) => state);

    private string Received()
    {
        byte[] buffer = new byte[4096];
        _service!.ReceiveTimeout = 5000;
        return Encoding.UTF8.GetString(buffer, 0, _service.Receive(buffer));
    }

    private void StartService()
    {
        _service = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
        _service.Bind(new UnixDomainSocketEndPoint(_directory["log"]));
    }

    private void StopService()
    {
        _service!.Dispose();
        File.Delete(_directory["log"]);
    }
}

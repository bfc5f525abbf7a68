// SPDX-License-Identifier: MIT
using System.Globalization;
using System.Net.Sockets;
using System.Text;
using Iwpmd.Os;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Os;

[Collection(OsCollection.Name)]
public sealed class SystemdNotifyTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly Socket _manager =
        new(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified) { ReceiveTimeout = 5000 };

    public void Dispose()
    {
        _manager.Dispose();
        _directory.Dispose();
    }

    [Fact]
    public void A_message_reaches_a_path()
    {
        _manager.Bind(new UnixDomainSocketEndPoint(_directory["notify"]));
        AssertReaches(_directory["notify"]);
    }

    [Fact]
    public void A_message_reaches_an_abstract_name()
    {
        string name = $"iwpmd-test-{Environment.ProcessId}";
        _manager.Bind(new UnixDomainSocketEndPoint("\0" + name));
        AssertReaches("@" + name);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    public void Without_a_manager_nothing_happens(string? path)
    {
        using var notify = new SystemdNotify(path, null, null);
        Assert.False(notify.IsActive);
        Assert.Equal((Errno.None, Errno.None), (notify.SendSurely("READY=1"), notify.Send("STATUS=x")));
    }

    [Fact]
    public void A_manager_that_is_not_there_is_an_error_of_what_must_not_be_lost()
    {
        using var notify = new SystemdNotify(_directory["nobody"], null, null);
        Assert.Equal((Errno.ENOENT, Errno.None), (notify.SendSurely("READY=1"), notify.Send("STATUS=x")));
    }

    [Fact]
    public void A_path_that_is_too_long_is_an_error()
    {
        using var notify = new SystemdNotify("/" + new string('x', 107), null, null);
        Assert.Equal(Errno.EINVAL, notify.SendSurely("READY=1"));
    }

    [Theory]
    [InlineData("30000000", null, 15000)]
    [InlineData("30000000", "", 15000)]
    [InlineData("30000000", "us", 15000)]
    [InlineData("3000000000", "us", 1500000)]
    [InlineData("5000000000", "us", 2500000)]
    [InlineData("18446744073709551615", "us", null)]
    [InlineData("30000000", "1", null)]
    [InlineData("30000000", "x", null)]
    [InlineData("0", null, null)]
    [InlineData("-1", null, null)]
    [InlineData(null, "us", null)]
    public void The_watchdog_wants_to_hear_us_at_half_its_patience(string? microseconds, string? pid, int? milliseconds)
    {
        string? number = pid == "us" ? Environment.ProcessId.ToString(CultureInfo.InvariantCulture) : pid;
        using var notify = new SystemdNotify(null, microseconds, number);
        Assert.Equal(milliseconds, (int?)notify.WatchdogInterval?.TotalMilliseconds);
    }

    private void AssertReaches(string path)
    {
        using var notify = new SystemdNotify(path, null, null);
        Assert.Equal(Errno.None, notify.Send("READY=1\nSTATUS=3 mappings"));
        byte[] buffer = new byte[256];
        Assert.Equal("READY=1\nSTATUS=3 mappings", Encoding.UTF8.GetString(buffer, 0, _manager.Receive(buffer)));
        Assert.Equal(Errno.EMSGSIZE, notify.Send(new string('x', 2000)));
        Allocations.AssertNone(() =>
        {
            _ = notify.Send("WATCHDOG=1");
            Assert.True(_manager.Receive(buffer) == 10);
        });
    }
}

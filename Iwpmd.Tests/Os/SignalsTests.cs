// SPDX-License-Identifier: MIT
using Iwpmd.Os;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Os;

[Collection(OsCollection.Name)]
public sealed class SignalsTests : IDisposable
{
    private static readonly TimeSpan s_soon = TimeSpan.FromSeconds(5);

    private readonly Signals _signals;

    public SignalsTests()
    {
        Assert.Equal(Errno.None, Signals.TryInstall(out Signals? signals));
        _signals = signals!;
    }

    public void Dispose() => _signals.Dispose();

    [Theory]
    [InlineData(TestLibc.SIGTERM, PendingSignals.Terminate)]
    [InlineData(TestLibc.SIGINT, PendingSignals.Terminate)]
    [InlineData(TestLibc.SIGHUP, PendingSignals.Hangup)]
    [InlineData(TestLibc.SIGUSR1, PendingSignals.Dump)]
    internal void A_signal_becomes_readable_and_is_taken_once(int signal, PendingSignals expected)
    {
        TestLibc.Succeed(TestLibc.kill(Environment.ProcessId, signal));
        Assert.True(SocketFd.WaitReadable(_signals.Fd, s_soon));
        Assert.Equal(expected, _signals.Take());
        Assert.Equal(PendingSignals.None, _signals.Take());
        Assert.False(SocketFd.WaitReadable(_signals.Fd, TimeSpan.Zero));
    }

    [Fact]
    public void Several_signals_are_kept_apart()
    {
        TestLibc.Succeed(TestLibc.kill(Environment.ProcessId, TestLibc.SIGUSR1));
        TestLibc.Succeed(TestLibc.kill(Environment.ProcessId, TestLibc.SIGTERM));
        var taken = PendingSignals.None;
        while (taken != (PendingSignals.Dump | PendingSignals.Terminate))
        {
            Assert.True(SocketFd.WaitReadable(_signals.Fd, s_soon));
            taken |= _signals.Take();
        }
    }
}

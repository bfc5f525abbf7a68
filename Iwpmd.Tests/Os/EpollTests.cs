// SPDX-License-Identifier: MIT
using Iwpmd.Os;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Os;

[Collection(OsCollection.Name)]
public sealed class EpollTests : IDisposable
{
    private readonly Epoll _epoll;
    private readonly NetlinkSocket[] _sockets;
    private readonly EpollEvent[] _ready = new EpollEvent[8];

    public EpollTests()
    {
        Assert.Equal(Errno.None, Epoll.TryCreate(out Epoll? epoll));
        _epoll = epoll!;
        (int a, int b) = TestLibc.DatagramPair();
        (int c, int d) = TestLibc.DatagramPair();
        _sockets = [.. new[] { a, b, c, d }.Select(fd => new NetlinkSocket(fd, 0))];
        Assert.Equal(Errno.None, _epoll.Add(a, 11));
        Assert.Equal(Errno.None, _epoll.Add(c, -3));
    }

    public void Dispose()
    {
        _epoll.Dispose();
        Array.ForEach(_sockets, socket => socket.Dispose());
    }

    [Fact]
    public void It_tells_what_is_readable_by_token()
    {
        Assert.Equal(0, _epoll.Wait(_ready, TimeSpan.Zero));
        Assert.Equal(Errno.None, _sockets[1].Send("x"u8));
        Assert.Equal(1, _epoll.Wait(_ready, TimeSpan.FromSeconds(5)));
        Assert.Equal(new EpollEvent(11, HasError: false), _ready[0]);
        Assert.Equal(Errno.None, _sockets[3].Send("x"u8));
        Assert.Equal(2, _epoll.Wait(_ready, TimeSpan.FromSeconds(5)));
        Assert.Equal([-3, 11], _ready[..2].Select(one => one.Token).Order());
    }

    [Fact]
    public void More_events_than_there_is_room_for_come_with_the_next_wait()
    {
        Assert.Equal(Errno.None, _sockets[1].Send("x"u8));
        Assert.Equal(Errno.None, _sockets[3].Send("x"u8));
        Assert.Equal(1, _epoll.Wait(_ready.AsSpan(0, 1), TimeSpan.Zero));
        Assert.Equal(1, _epoll.Wait(_ready.AsSpan(1, 1), TimeSpan.Zero));
        Assert.Equal([-3, 11], _ready[..2].Select(one => one.Token).Order());
    }

    [Fact]
    public void What_was_removed_is_not_told()
    {
        Assert.Equal(Errno.None, _sockets[1].Send("x"u8));
        Assert.Equal(Errno.None, _epoll.Remove(_sockets[0].Fd));
        Assert.Equal(0, _epoll.Wait(_ready, TimeSpan.Zero));
        Assert.Equal(Errno.ENOENT, _epoll.Remove(_sockets[0].Fd));
    }

    [Fact]
    public void A_wait_never_ends_before_its_time()
    {
        TimeSpan deadline = Clock.Now + TimeSpan.FromTicks(15_001);
        Assert.Equal(0, _epoll.Wait(_ready, deadline - Clock.Now));
        Assert.True(Clock.Now >= deadline);
    }

    [Fact]
    public void Waiting_allocates_nothing() =>
        Allocations.AssertNone(() => Assert.True(_epoll.Wait(_ready, TimeSpan.Zero) == 0));

    [Theory]
    [InlineData(0, 0)]
    [InlineData(-1, 0)]
    [InlineData(1, 1)]
    [InlineData(TimeSpan.TicksPerMillisecond, 1)]
    [InlineData(TimeSpan.TicksPerMillisecond + 1, 2)]
    [InlineData(2 * TimeSpan.TicksPerSecond, 2000)]
    [InlineData(long.MaxValue, int.MaxValue)]
    [InlineData(long.MinValue, 0)]
    public void Time_outs_are_rounded_up_to_milliseconds(long ticks, int milliseconds) =>
        Assert.Equal(milliseconds, Milliseconds.RoundUp(TimeSpan.FromTicks(ticks)));
}

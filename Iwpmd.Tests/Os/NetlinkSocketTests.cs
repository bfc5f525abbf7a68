// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;
using Iwpmd.Os.Interop;
using Iwpmd.Os;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Os;

[Collection(OsCollection.Name)]
public sealed unsafe class NetlinkSocketTests : IDisposable
{
    private const int Route = 0, UserSock = 2, NoSuchProtocol = 31;
    private const int Group = 2;
    private const ushort GetLink = 18, DumpFlag = 0x300;
    private const int BufferBytes = 1 << 20;

    private readonly List<NetlinkSocket> _open = [];

    public void Dispose() => _open.ForEach(socket => socket.Dispose());

    [Fact]
    public void Port_ids_are_positive_explicit_and_step_aside_when_taken()
    {
        uint pid = (uint)Environment.ProcessId;
        uint[] ids = [.. Enumerable.Range(0, 5).Select(_ => Open(UserSock).PortId)];
        Assert.Equal(ids.Length, ids.Distinct().Count());
        Assert.All(ids, id => Assert.InRange(id, 1u, (uint)int.MaxValue));
        Assert.All(ids, id => Assert.Equal(pid, id & ((1 << 22) - 1)));
        Assert.Equal(pid, ids[0]);
    }

    [Fact]
    public void The_kernel_answers_with_source_0()
    {
        NetlinkSocket socket = Open(Route);
        Assert.Equal(Errno.None, socket.Send(LinkDump(socket.PortId)));
        Assert.True(socket.WaitReadable(TimeSpan.FromSeconds(5)));
        byte[] buffer = new byte[64 * 1024];
        Assert.Equal(Errno.None, socket.Receive(buffer, out int length, out uint source));
        Assert.Equal(0u, source);
        Assert.InRange(length, NetlinkHeader.Size, buffer.Length);
        Assert.Equal(socket.PortId, NetlinkHeader.Read(buffer).PortId);
    }

    [Fact]
    public void A_datagram_that_is_cut_off_tells_its_whole_length()
    {
        NetlinkSocket socket = Open(Route);
        Assert.Equal(Errno.None, socket.Send(LinkDump(socket.PortId)));
        byte[] buffer = new byte[NetlinkHeader.Size];
        Assert.Equal(Errno.None, socket.Receive(buffer, out int length, out _));
        Assert.True(length > buffer.Length);
    }

    [Fact]
    public void An_empty_socket_says_try_again()
    {
        NetlinkSocket socket = Open(UserSock);
        Assert.Equal(Errno.EAGAIN, socket.Receive(new byte[64], out int length, out _));
        Assert.Equal(0, length);
        Assert.False(socket.WaitReadable(TimeSpan.FromMilliseconds(1)));
    }

    [Fact]
    public void A_datagram_of_another_process_shows_its_source()
    {
        NetlinkSocket receiver = Open(UserSock), stranger = Open(UserSock);
        Assert.Equal(
            Errno.None,
            SendTo(stranger, new Libc.sockaddr_nl { nl_family = Libc.AF_NETLINK, nl_pid = receiver.PortId }));
        Assert.Equal(Errno.None, receiver.Receive(new byte[64], out int length, out uint source));
        Assert.Equal((4, stranger.PortId), (length, source));
    }

    [Fact]
    public void The_group_is_joined_by_its_number_and_no_other_one()
    {
        NetlinkSocket member = Open(UserSock), sender = Open(UserSock);
        Multicast(sender, Group);
        Assert.Equal(Errno.None, member.Receive(new byte[64], out int length, out _));
        Assert.Equal(4, length);
        Multicast(sender, Group - 1);
        Multicast(sender, Group + 1);
        Assert.Equal(Errno.EAGAIN, member.Receive(new byte[64], out _, out _));
    }

    [Fact]
    public void The_receive_buffer_goes_beyond_the_limit_of_the_host()
    {
        long limit = long.Parse(File.ReadAllText("/proc/sys/net/core/rmem_max"));
        int wanted = checked((int)limit + BufferBytes);
        Assert.Null(NetlinkSocket.TryOpen(UserSock, Group, wanted, out NetlinkSocket? socket));
        _open.Add(socket!);
        Assert.Equal(2 * wanted, socket!.ReceiveBufferBytes);
    }

    [Fact]
    public void A_protocol_that_the_kernel_does_not_have_fails_at_socket()
    {
        OpError? error = NetlinkSocket.TryOpen(NoSuchProtocol, Group, BufferBytes, out NetlinkSocket? socket);
        Assert.Equal(new OpError("socket", Errno.EPROTONOSUPPORT), error);
        Assert.Null(socket);
    }

    [Fact]
    public void An_adopted_socket_keeps_its_port_id()
    {
        NetlinkSocket first = Open(UserSock);
        Assert.Equal(Errno.None, NetlinkSocket.TryAdopt(first.Fd, out NetlinkSocket? adopted));
        Assert.Equal(first.PortId, adopted!.PortId);
        Assert.Equal(first.ReceiveBufferBytes, adopted.ReceiveBufferBytes);
    }

    [Theory]
    [InlineData(0u)]
    [InlineData(0x80001234u)]
    public void A_handed_over_socket_whose_port_id_is_not_positive_is_refused(uint portId)
    {
        Assert.Equal(
            Errno.None, SocketFd.Open(Libc.AF_NETLINK, Libc.SOCK_RAW | Libc.SOCK_CLOEXEC, UserSock, out int fd));
        var address = new Libc.sockaddr_nl { nl_family = Libc.AF_NETLINK, nl_pid = portId };
        if (portId != 0)
        {
            Assert.Equal(
                Errno.None, SocketFd.Bind(fd, MemoryMarshal.AsBytes(new ReadOnlySpan<Libc.sockaddr_nl>(in address))));
        }
        var handed = new HandedOverFds();
        handed.Add(fd, UserSock);
        Assert.Null(handed.Netlink);
        Assert.Contains("port id", Assert.Single(handed.Useless));
    }

    [Fact]
    public void A_pair_of_datagram_sockets_can_stand_for_the_kernel()
    {
        (int ours, int kernel) = TestLibc.DatagramPair();
        NetlinkSocket socket = new(ours, 4711), other = new(kernel, 0);
        _open.AddRange([socket, other]);
        Assert.Equal(Errno.EINVAL, NetlinkSocket.TryAdopt(ours, out _));
        Assert.Equal(4711u, socket.PortId);
        Assert.Equal(Errno.None, socket.Send("to kernel"u8));
        Assert.Equal(Errno.None, other.Send("from the kernel"u8));
        byte[] buffer = new byte[9];
        Assert.Equal(Errno.None, other.Receive(buffer, out int length, out _));
        Assert.Equal("to kernel"u8, buffer.AsSpan(0, length));
        Assert.Equal(Errno.None, socket.Receive(buffer, out length, out uint source));
        Assert.Equal((15, 0u), (length, source));
    }

    [Fact]
    public void Sending_and_receiving_allocate_nothing()
    {
        (int ours, int kernel) = TestLibc.DatagramPair();
        NetlinkSocket socket = new(ours, 1), other = new(kernel, 0);
        _open.AddRange([socket, other]);
        byte[] buffer = new byte[64];
        Allocations.AssertNone(() =>
        {
            _ = socket.Send("request"u8);
            Assert.True(other.WaitReadable(TimeSpan.Zero));
            Assert.True(other.Receive(buffer, out int length, out _) == Errno.None && length == 7);
        });
    }

    private static byte[] LinkDump(uint portId)
    {
        byte[] request = new byte[32]; // nlmsghdr, ifinfomsg
        new NetlinkHeader(request.Length, GetLink, RdmaNetlink.NLM_F_REQUEST | DumpFlag, 1, portId).Write(request);
        return request;
    }

    // After the group it goes to the kernel's side, which this protocol does not have.
    private static void Multicast(NetlinkSocket from, int group) =>
        Assert.Equal(
            Errno.ECONNREFUSED,
            SendTo(from, new Libc.sockaddr_nl { nl_family = Libc.AF_NETLINK, nl_groups = 1u << (group - 1) }));

    private static Errno SendTo(NetlinkSocket from, Libc.sockaddr_nl to)
    {
        fixed (byte* bytes = "data"u8)
        {
            return TestLibc.sendto(from.Fd, bytes, 4, 0, &to, (uint)sizeof(Libc.sockaddr_nl)) < 0
                ? Errno.Last
                : Errno.None;
        }
    }

    private NetlinkSocket Open(int protocol)
    {
        Assert.Null(NetlinkSocket.TryOpen(protocol, Group, BufferBytes, out NetlinkSocket? socket));
        _open.Add(socket!);
        return socket!;
    }
}

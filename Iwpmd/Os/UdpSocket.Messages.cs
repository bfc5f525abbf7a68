// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Iwpmd.Os.Interop;
using Iwpmd.Wire;

namespace Iwpmd.Os;

// The two message calls and the ancillary data that goes with them.
internal sealed unsafe partial class UdpSocket
{
    private static int WriteSource(Span<byte> control, in InetEndpoint from)
    {
        if (from.Family == IpFamily.V4)
        {
            Libc.in_pktinfo v4 = default;
            from.WriteAddress(new Span<byte>(v4.ipi_spec_dst, 4));
            return ControlMessages.Write(control, Libc.IPPROTO_IP, Libc.IP_PKTINFO, v4);
        }
        // Elsewhere than on link-local addresses an interface would force the way out; routing knows better.
        var v6 = new Libc.in6_pktinfo { ipi6_ifindex = from.IsLinkLocal ? from.Scope : 0 };
        from.WriteAddress(new Span<byte>(v6.ipi6_addr, 16));
        return ControlMessages.Write(control, Libc.IPPROTO_IPV6, Libc.IPV6_PKTINFO, v6);
    }

    private static Libc.sock_extended_err ReadExtendedError(ReadOnlySpan<byte> control, out InetEndpoint source)
    {
        source = default;
        var messages = new ControlMessages(control);
        while (messages.MoveNext())
        {
            if ((messages.Level, messages.Type)
                    is (Libc.IPPROTO_IP, Libc.IP_RECVERR) or (Libc.IPPROTO_IPV6, Libc.IPV6_RECVERR)
                && messages.Data.Length >= sizeof(Libc.sock_extended_err))
            {
                _ = Sockaddr.TryRead(messages.Data[sizeof(Libc.sock_extended_err)..], out source); // SO_EE_OFFENDER
                return MemoryMarshal.Read<Libc.sock_extended_err>(messages.Data);
            }
        }
        return default;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private InetEndpoint ReadDestination(ReadOnlySpan<byte> control, out uint index)
    {
        index = 0;
        var messages = new ControlMessages(control);
        while (messages.MoveNext())
        {
            switch (messages.Level, messages.Type)
            {
                case (Libc.IPPROTO_IP, Libc.IP_PKTINFO) when messages.Data.Length >= sizeof(Libc.in_pktinfo):
                    // Not ipi_addr: that is the packet's destination, which can be a broadcast address; this is ours
                    // for it.
                    Libc.in_pktinfo v4 = MemoryMarshal.Read<Libc.in_pktinfo>(messages.Data);
                    index = (uint)v4.ipi_ifindex;
                    return InetEndpoint.FromAddressBytes(new ReadOnlySpan<byte>(v4.ipi_spec_dst, 4), Port);
                case (Libc.IPPROTO_IPV6, Libc.IPV6_PKTINFO) when messages.Data.Length >= sizeof(Libc.in6_pktinfo):
                    Libc.in6_pktinfo v6 = MemoryMarshal.Read<Libc.in6_pktinfo>(messages.Data);
                    index = v6.ipi6_ifindex;
                    var to = InetEndpoint.FromAddressBytes(new ReadOnlySpan<byte>(v6.ipi6_addr, 16), Port);
                    return to.IsLinkLocal ? to.WithScope(v6.ipi6_ifindex) : to;
                default:
                    break;
            }
        }
        return new InetEndpoint(_family, 0, 0, Port);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private Errno SendOnce(Libc.msghdr* message) =>
        Libc.sendmsg(Fd, message, Libc.MSG_DONTWAIT | Libc.MSG_NOSIGNAL) < 0 ? Errno.Last : Errno.None;

    private Errno ReceiveOnce(Span<byte> buffer, byte* name, byte* control, int flags, out Received received)
    {
        fixed (byte* payload = buffer)
        {
            var vector = new Libc.iovec { iov_base = payload, iov_len = (nuint)buffer.Length };
            var message = new Libc.msghdr
            {
                msg_name = name,
                msg_namelen = Sockaddr.In6Size,
                msg_iov = &vector,
                msg_iovlen = 1,
                msg_control = control,
                msg_controllen = ControlSize,
            };
            nint length = Libc.recvmsg(Fd, &message, flags | Libc.MSG_DONTWAIT);
            received = length < 0
                ? default
                : new Received((int)length, (int)message.msg_namelen, (int)message.msg_controllen);
            return length < 0 ? Errno.Last : Errno.None;
        }
    }

    private readonly record struct Received(int Length, int NameLength, int ControlLength);
}

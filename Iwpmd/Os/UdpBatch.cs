// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Iwpmd.Os.Interop;
using Iwpmd.Wire;

namespace Iwpmd.Os;

/// <summary>
/// Room for several datagrams that one call receives: a flood is read as quickly as it can be, since what a full socket
/// drops is anybody's. It lives as long as the process.
/// </summary>
[SkipLocalsInit]
internal sealed unsafe class UdpBatch
{
    private const int ControlSize = 64; // of packet info, the only thing that comes with a datagram

    private readonly int _datagramSize;
    private readonly int _capacity;
    private readonly Libc.mmsghdr* _messages;
    private readonly Libc.iovec* _vectors;
    private readonly byte* _names, _controls, _datagrams;
    private int _used; // so many were received into, and have other lengths than at first

    /// <param name="datagramSize">A longer datagram is cut off.</param>
    public UdpBatch(int capacity, int datagramSize)
    {
        (_capacity, _datagramSize, _used) = (capacity, datagramSize, capacity);
        _messages = (Libc.mmsghdr*)NativeMemory.AllocZeroed((nuint)capacity, (nuint)sizeof(Libc.mmsghdr));
        _vectors = (Libc.iovec*)NativeMemory.AllocZeroed((nuint)capacity, (nuint)sizeof(Libc.iovec));
        _names = (byte*)NativeMemory.AllocZeroed((nuint)capacity, Sockaddr.In6Size);
        _controls = (byte*)NativeMemory.AllocZeroed((nuint)capacity, ControlSize);
        _datagrams = (byte*)NativeMemory.AllocZeroed((nuint)capacity, (nuint)datagramSize);
        for (int i = 0; i < capacity; i++)
        {
            _vectors[i] = new Libc.iovec { iov_base = _datagrams + (i * datagramSize), iov_len = (nuint)datagramSize };
            _messages[i].msg_hdr = new Libc.msghdr
            {
                msg_name = _names + (i * Sockaddr.In6Size),
                msg_iov = _vectors + i,
                msg_iovlen = 1,
                msg_control = _controls + (i * ControlSize),
            };
        }
    }

    /// <summary>
    /// Receives what there is, as far as it fits; <paramref name="count"/> is how many datagrams. A pending ICMP error
    /// is skipped: it stands in the error queue.
    /// </summary>
    public Errno Receive(UdpSocket socket, out int count)
    {
        for (int i = 0; i < _used; i++)
        {
            _messages[i].msg_hdr.msg_namelen = Sockaddr.In6Size;
            _messages[i].msg_hdr.msg_controllen = ControlSize;
        }
        Errno error = ReceiveOnce(socket, out count);
        if (error is not (Errno.None or Errno.EAGAIN))
        {
            error = ReceiveOnce(socket, out count);
        }
        _used = Math.Max(count, 1); // a failed call may have changed the first
        return error;
    }

    /// <summary>The datagram, as far as it fits, of the last <see cref="Receive"/> from this socket.</summary>
    public ReadOnlySpan<byte> Read(UdpSocket socket, int index, out UdpArrival arrival)
    {
        ref Libc.mmsghdr message = ref _messages[index];
        arrival = socket.ReadArrival(
            (int)message.msg_len, new ReadOnlySpan<byte>(message.msg_hdr.msg_name, (int)message.msg_hdr.msg_namelen),
            new ReadOnlySpan<byte>(message.msg_hdr.msg_control, (int)message.msg_hdr.msg_controllen));
        return new ReadOnlySpan<byte>(_datagrams + (index * _datagramSize), (int)message.msg_len);
    }
    private Errno ReceiveOnce(UdpSocket socket, out int count)
    {
        int received = Libc.recvmmsg(socket.Fd, _messages, (uint)_capacity, Libc.MSG_DONTWAIT, null);
        count = Math.Max(received, 0);
        return received < 0 ? Errno.Last : Errno.None;
    }
}

// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;
using Iwpmd.Os.Interop;
using Iwpmd.Os;
using Iwpmd.Wire;

namespace Iwpmd.Tests.Support;

/// <summary>
/// The kernel's end of one netlink socket that a daemon opened: datagrams both ways, and the account of what is unread
/// (struct simsocket).
/// </summary>
internal sealed unsafe class SimulatedSocket : IDisposable
{
    private const int PageSize = 4096, HeaderSize = 8, RecordSize = 16;
    private const int NoBufferSpace = 105;

    private readonly Page* _page;
    private readonly int _player;
    private readonly List<int> _players = [];
    private readonly byte[] _buffer = new byte[64 * 1024];

    public SimulatedSocket(int fd, int pageFd, int player, int processId, ulong inode)
    {
        (Fd, PageFd, _player, ProcessId, Inode) = (fd, pageFd, player, processId, inode);
        _page = (Page*)Libc.mmap(0, PageSize, Libc.PROT_READ | Libc.PROT_WRITE, Libc.MAP_SHARED, pageFd, 0);
    }

    public int Fd { get; }

    public int PageFd { get; }

    /// <summary>Of the daemon's end.</summary>
    public ulong Inode { get; }

    /// <summary>The process that opened it, or was handed it last.</summary>
    public int ProcessId { get; private set; }

    /// <summary>Another process has it now; the connection to that one stays open like the first.</summary>
    public void HandTo(int processId, int player)
    {
        ProcessId = processId;
        _players.Add(player);
    }

    /// <summary>The daemon closed its end.</summary>
    public bool IsGone { get; set; }

    /// <summary>Another one than the daemon asked for is what a socket that it did not bind has.</summary>
    public uint PortId
    {
        get => Volatile.Read(ref _page->PortId);
        set => Volatile.Write(ref _page->PortId, value);
    }

    public uint Groups => _page->Groups;

    public int ReceiveBuffer => _page->ReceiveBuffer;

    public int Queued => Volatile.Read(ref _page->Queued);

    public int Drops => Volatile.Read(ref _page->Drops);

    private bool HasRoom =>
        Volatile.Read(ref _page->Charged) <= _page->ReceiveBuffer && Volatile.Read(ref _page->Congested) == 0;

    /// <summary>
    /// Waits for room, as the kernel does with ADD, QUERY and REMOVE; false when there was none in time.
    /// </summary>
    public bool SendBlocking(ReadOnlySpan<byte> datagram, uint charge)
    {
        long deadline = Environment.TickCount64 + (long)Timeouts.Answer.TotalMilliseconds;
        for (; !HasRoom; Thread.Sleep(1))
        {
            if (Environment.TickCount64 > deadline)
            {
                return false;
            }
        }
        return Enqueue(datagram, charge, 0);
    }

    /// <summary>
    /// Drops the datagram when there is no room, as the kernel does with a multicast, and lets the next receive fail
    /// with ENOBUFS.
    /// </summary>
    public bool SendOrDrop(ReadOnlySpan<byte> datagram, uint charge, uint source)
    {
        if (HasRoom)
        {
            return Enqueue(datagram, charge, source);
        }
        Drop();
        return false;
    }

    /// <summary>As if something had been dropped.</summary>
    public void Drop()
    {
        if (Interlocked.Exchange(ref _page->Congested, Volatile.Read(ref _page->Queued) > 0 ? 1 : 0) == 0)
        {
            Volatile.Write(ref _page->Error, NoBufferSpace);
        }
        Interlocked.Increment(ref _page->Drops);
    }

    /// <summary>
    /// What the daemon sent next; null when there is nothing now, an empty message when the daemon is gone.
    /// </summary>
    public DaemonMessage? Receive()
    {
        nint size;
        fixed (byte* bytes = _buffer)
        {
            size = Libc.recvfrom(Fd, bytes, (nuint)_buffer.Length, Libc.MSG_DONTWAIT, null, null);
        }
        if (size < RecordSize)
        {
            return size < 0 && Errno.Last == Errno.EAGAIN ? null : new DaemonMessage(default, 0, []);
        }
        long nanoseconds = BitConverter.ToInt64(_buffer);
        return new DaemonMessage(
            TimeSpan.FromTicks(nanoseconds / 100), BitConverter.ToInt32(_buffer, 8), _buffer[RecordSize..(int)size]);
    }

    public void Dispose()
    {
        SocketFd.Close(Fd);
        SocketFd.Close(PageFd);
        SocketFd.Close(_player);
        _players.ForEach(SocketFd.Close);
        _ = Libc.munmap((nint)_page, PageSize);
    }

    private bool Enqueue(ReadOnlySpan<byte> datagram, uint charge, uint source)
    {
        byte[] bytes = [.. BitConverter.GetBytes(charge), .. BitConverter.GetBytes(source), .. datagram];
        Interlocked.Add(ref _page->Charged, (int)charge);
        Interlocked.Increment(ref _page->Queued);
        fixed (byte* start = bytes)
        {
            return Libc.send(
                Fd, start, (nuint)bytes.Length, Libc.MSG_DONTWAIT | Libc.MSG_NOSIGNAL) == HeaderSize + datagram.Length;
        }
    }

    /// <summary>struct simsocket</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct Page
    {
        public uint Magic, PortId, Groups;
        public int ReceiveBuffer, Charged, Queued, Error, Congested, Drops, MaxReceive;
    }
}

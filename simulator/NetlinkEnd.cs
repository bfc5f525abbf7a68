// SPDX-License-Identifier: MIT
using Iwpmd.Os;
using Iwpmd.Wire;

namespace Iwpmd.Simulation;

/// <summary>
/// A socket to the kernel: what waits in it, and what it costs. While it is full a message of ours is not handled but
/// kept, until half of it is read, and further ones are refused; what the kernel says without waiting is lost.
/// </summary>
internal sealed class NetlinkEnd(Machine machine, uint portId, bool isMember, int limit) : IReadable
{
    private readonly Queue<(byte[] Bytes, int Cost)> _waiting = new();
    private readonly Queue<Action<Errno>> _senders = new(); // of the kernel, that wait for room
    private byte[]? _kept;
    private bool _isDraining;
    private int _used;

    public uint PortId => portId;

    /// <summary>Hears what the kernel asks all port mappers.</summary>
    public bool IsMember => isMember;

    public int Limit => limit;

    public bool IsOverrun { get; private set; }

    public bool IsClosed { get; private set; }

    public bool IsReadable => _waiting.Count > 0 || IsOverrun;

    public bool HasError => IsOverrun;

    public bool IsFull => _used > limit;

    /// <summary>A message of ours waits until half of the buffer is read.</summary>
    public bool IsKeeping => _kept is not null;

    /// <summary>What the kernel says without waiting; false when it is lost.</summary>
    public bool TryEnqueue(byte[] bytes, int cost)
    {
        if (IsFull)
        {
            Overflow();
            return false;
        }
        if (_waiting.Count == 0)
        {
            machine.Daemon?.CatchUp(this);
        }
        _waiting.Enqueue((bytes, cost));
        _used += cost;
        machine.WakeSoon();
        return true;
    }

    /// <summary>The next read says that something is lost.</summary>
    public void Overflow()
    {
        IsOverrun = true;
        machine.DisturbedAt = machine.World.Now;
        machine.WakeSoon();
    }

    /// <summary>The kernel waits for room, 10 s at most.</summary>
    public void EnqueueWhenPossible(byte[] bytes, int cost, Action<Errno> outcome)
    {
        if (!IsFull && _senders.Count == 0)
        {
            outcome(TryEnqueue(bytes, cost) ? Errno.None : Errno.EAGAIN);
            return;
        }
        bool isOver = false;
        void End(Errno error)
        {
            if (!isOver)
            {
                isOver = true;
                outcome(error == Errno.None && !TryEnqueue(bytes, cost) ? Errno.EAGAIN : error);
            }
        }
        _senders.Enqueue(End);
        machine.World.After(Kernel.Patience, () => End(Errno.EAGAIN));
    }

    public void Send(byte[] bytes)
    {
        if (_kept is not null)
        {
            machine.Kernel.Refuse(this, bytes, Errno.EBUSY);
        }
        else if (IsFull)
        {
            _kept = bytes;
        }
        else
        {
            machine.Kernel.Handle(this, bytes);
        }
    }

    public Errno Receive(Span<byte> buffer, out int length, out uint source)
    {
        (length, source) = (0, 0);
        if (IsOverrun)
        {
            IsOverrun = false;
            return Errno.ENOBUFS;
        }
        if (!_waiting.TryDequeue(out (byte[] Bytes, int Cost) first))
        {
            return Errno.EAGAIN;
        }
        _used -= first.Cost;
        length = first.Bytes.Length;
        first.Bytes.AsSpan(0, Math.Min(length, buffer.Length)).CopyTo(buffer);
        Drain();
        return Errno.None;
    }

    public void Close()
    {
        IsClosed = true;
        machine.Netlink.Remove(portId);
        while (_senders.TryDequeue(out Action<Errno>? sender))
        {
            sender(Errno.ECONNREFUSED);
        }
    }

    private void Drain()
    {
        if (_kept is byte[] kept && _used <= limit / 2)
        {
            _kept = null;
            machine.Kernel.Handle(this, kept);
        }
        while (!_isDraining && !IsFull && _senders.Count > 0)
        {
            _isDraining = true;
            _senders.Dequeue()(Errno.None);
            _isDraining = false;
        }
    }
}

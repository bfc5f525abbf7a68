// SPDX-License-Identifier: MIT
using Iwpmd.Simulation;
using Iwpmd.Wire;

namespace Iwpmd.Os;

/// <summary>A datagram in the simulated network.</summary>
internal sealed record Datagram(byte[] Bytes, InetEndpoint From, InetEndpoint To);

/// <summary>A UDP socket of a simulated host, whoever has it open.</summary>
internal sealed class UdpEnd(Machine machine, IpFamily family, ushort port) : IReadable
{
    /// <summary>Hundreds; the real one holds thousands.</summary>
    private const int Limit = 512;

    public Machine Machine => machine;

    public IpFamily Family => family;

    public ushort Port => port;

    public Queue<Datagram> Arrived { get; } = new();

    public Queue<(UdpError Error, byte[] Quoted)> Errors { get; } = new();

    public bool IsReadable => Arrived.Count > 0 || Errors.Count > 0;

    public bool HasError => Errors.Count > 0;

    public void Deliver(Datagram datagram)
    {
        if (Arrived.Count < Limit)
        {
            Arrived.Enqueue(datagram);
            machine.WakeSoon();
        }
    }

    public void DeliverError(UdpError error, byte[] quoted)
    {
        Errors.Enqueue((error, quoted));
        machine.WakeSoon();
    }
}

internal sealed class UdpSocket : IDisposable
{
    private readonly Machine _machine;

    private UdpSocket(Machine machine, int fd, UdpEnd end) => (_machine, Fd, End) = (machine, fd, end);

    public int Fd { get; }

    public UdpEnd End { get; }

    public IpFamily Family => End.Family;

    public ushort Port => End.Port;

    public static OpError? TryOpen(IpFamily family, ushort port, out UdpSocket? socket)
    {
        Machine machine = Machine.Current!;
        socket = null;
        port = port != 0 ? port : machine.NewUdpPort();
        var end = new UdpEnd(machine, family, port);
        if (!machine.Udp.TryAdd((family, port), end))
        {
            return new OpError("bind", Errno.EADDRINUSE);
        }
        socket = new UdpSocket(machine, machine.Open(end), end);
        return null;
    }

    public static UdpSocket? Adopt(int fd) =>
        Machine.Current!.Find(fd) is UdpEnd end ? new UdpSocket(Machine.Current!, fd, end) : null;

    public static Errno TryFindSource(in InetEndpoint to, out InetEndpoint source)
    {
        source = default;
        return Errno.ENETUNREACH;
    }

    public Errno Send(ReadOnlySpan<byte> bytes, in InetEndpoint to, in InetEndpoint from)
    {
        _machine.StepOrStop();
        return _machine.World.Network.Send(End, bytes.ToArray(), to, from);
    }

    public bool TryReceiveError(Span<byte> quoted, out UdpError error)
    {
        _machine.StepOrStop();
        error = default;
        if (!End.Errors.TryDequeue(out (UdpError Error, byte[] Quoted) first))
        {
            return false;
        }
        first.Quoted.AsSpan(0, Math.Min(quoted.Length, first.Quoted.Length)).CopyTo(quoted);
        error = first.Error;
        return true;
    }

    public bool WaitReadable(TimeSpan timeout) => End.IsReadable;

    /// <summary>No history has a flood that fills a socket.</summary>
    public Errno Filter(BpfProgram? program) => Errno.None;

    public void Dispose() => _machine.Close(Fd);
}

internal sealed class UdpBatch(int capacity, int datagramSize)
{
    private readonly List<Datagram> _batch = [];

    public Errno Receive(UdpSocket socket, out int count)
    {
        Machine.Current!.StepOrStop();
        _batch.Clear();
        while (_batch.Count < capacity && socket.End.Arrived.TryDequeue(out Datagram? datagram))
        {
            _batch.Add(datagram);
        }
        count = _batch.Count;
        return count > 0 ? Errno.None : Errno.EAGAIN;
    }

    public ReadOnlySpan<byte> Read(UdpSocket socket, int index, out UdpArrival arrival)
    {
        Datagram datagram = _batch[index];
        arrival = new UdpArrival(datagram.Bytes.Length, datagram.From, datagram.To, 2);
        return datagram.Bytes.AsSpan(0, Math.Min(datagram.Bytes.Length, datagramSize));
    }
}

// SPDX-License-Identifier: MIT
using Iwpmd.Simulation;
using Iwpmd.Wire;

namespace Iwpmd.Os;

/// <summary>The daemon's end of a socket to the simulated kernel.</summary>
internal sealed class NetlinkSocket : IDisposable
{
    private readonly Machine _machine;

    private NetlinkSocket(Machine machine, int fd, NetlinkEnd end) => (_machine, Fd, End) = (machine, fd, end);

    public int Fd { get; }

    public NetlinkEnd End { get; }

    public uint PortId => End.PortId;

    public int ReceiveBufferBytes => End.Limit;

    public static OpError? TryOpen(int protocol, int group, int receiveBufferBytes, out NetlinkSocket? socket)
    {
        Machine machine = Machine.Current!;
        socket = null;
        if (!machine.HasDescriptors)
        {
            return new OpError("socket", Errno.EMFILE);
        }
        var end = new NetlinkEnd(machine, machine.NewPortId(), group != 0, receiveBufferBytes);
        socket = Adopt(machine, machine.Open(end), end);
        return null;
    }

    public static Errno Probe(int protocol) => Errno.None;

    public static Errno TryAdopt(int fd, out NetlinkSocket? socket)
    {
        socket = Machine.Current!.Find(fd) is NetlinkEnd end ? Adopt(Machine.Current!, fd, end) : null;
        return socket is null ? Errno.EINVAL : Errno.None;
    }

    public static NetlinkSocket Adopt(Machine machine, int fd, NetlinkEnd end) => new(machine, fd, end);

    public Errno Send(ReadOnlySpan<byte> datagram)
    {
        _machine.Step();
        End.Send(datagram.ToArray());
        return Errno.None;
    }

    public Errno Receive(Span<byte> buffer, out int length, out uint sourcePortId)
    {
        if (End.IsKeeping)
        {
            _machine.Step(); // a send that is not done yet
        }
        else
        {
            _machine.StepOrStop();
        }
        return End.Receive(buffer, out length, out sourcePortId);
    }

    public bool WaitReadable(TimeSpan timeout)
    {
        if (!End.IsReadable)
        {
            _machine.Stop(timeout); // it comes at once, or not at all
        }
        return End.IsReadable;
    }

    public void Dispose() => _machine.Close(Fd);
}

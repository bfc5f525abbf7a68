// SPDX-License-Identifier: MIT
using Iwpmd.Simulation;
using Iwpmd.Wire;

namespace Iwpmd.Os;

/// <summary>A port of the simulated host, held by whoever has it open.</summary>
internal sealed class TcpPort(IpFamily family) : IReadable
{
    public IpFamily Family => family;

    public ushort Port { get; set; }

    public bool IsReadable => false;

    public bool HasError => false;
}

internal static class TcpPortSocket
{
    public static Errno Open(IpFamily family, out int fd)
    {
        Machine machine = Machine.Current!;
        machine.StepOrStop();
        fd = machine.HasDescriptors ? machine.Open(new TcpPort(family)) : -1;
        return fd < 0 ? Errno.EMFILE : Errno.None;
    }

    public static Errno Bind(int fd, IpFamily family, ushort port)
    {
        Machine machine = Machine.Current!;
        machine.Step();
        var socket = (TcpPort)machine.Find(fd)!;
        if (socket.Family != family || socket.Port != 0 || !machine.Ports.TryAdd(port, socket))
        {
            return socket.Port != 0 ? Errno.EINVAL : Errno.EADDRINUSE;
        }
        socket.Port = port;
        return Errno.None;
    }

    public static ushort ReadPort(int fd, IpFamily family) =>
        Machine.Current!.Find(fd) is TcpPort socket && socket.Family == family ? socket.Port : (ushort)0;

    public static void Close(int fd)
    {
        Machine machine = Machine.Current!;
        machine.Step();
        machine.Close(fd);
    }
}

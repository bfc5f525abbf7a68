// SPDX-License-Identifier: MIT
using System.Net;
using System.Net.Sockets;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Support;

/// <summary>The usual scene: our daemon in the foreground on a separate host with a kernel of ABI 4.</summary>
internal sealed class Scene : IDisposable
{
    private Host? _neighbour;

    public Scene(int abi = 4, Action<SimulatedKernel>? prepare = null, string configuration = "", Host? host = null)
    {
        Host = host ?? new Host();
        Kernel = new SimulatedKernel(abi);
        prepare?.Invoke(Kernel);
        if (configuration.Length > 0)
        {
            Host.Write("/etc/iwpmd.conf", configuration);
        }
        Daemon = DaemonProcess.Foreground(Host, Kernel);
    }

    public Host Host { get; }

    public SimulatedKernel Kernel { get; }

    public DaemonProcess Daemon { get; private set; }

    public static KernelRequest Register { get; } = new()
    {
        Operation = KernelOperation.RegisterPid,
        Interface = new FixedName("eth0"),
        Device = new FixedName("siw0"),
        Library = new FixedName("iWarpPortMapperUser"),
    };

    public static KernelRequest Add(string local, uint flags = 0) =>
        new() { Operation = KernelOperation.AddMapping, Local = InetEndpoint.Parse(local), Flags = flags };

    public static KernelRequest Query(string local, string remote, uint flags = 0) =>
        new()
        {
            Operation = KernelOperation.QueryMapping,
            Local = InetEndpoint.Parse(local),
            Remote = InetEndpoint.Parse(remote),
            Flags = flags,
        };

    public static KernelRequest Remove(string local) =>
        new() { Operation = KernelOperation.RemoveMapping, Local = InetEndpoint.Parse(local) };

    public static KernelRequest Mapped(string local, int port, uint flags = 0) =>
        new()
        {
            Operation = KernelOperation.MapInfo,
            Local = InetEndpoint.Parse(local),
            Mapped = InetEndpoint.Parse(local).WithPort((ushort)port),
            Flags = flags,
        };

    /// <summary>On a host beside another one, which has no port mapper; it serves.</summary>
    public static Scene BesideAnotherHost()
    {
        (Host host, Host neighbour) = Host.Pair();
        return new Scene(host: host) { _neighbour = neighbour }.Ready();
    }

    /// <summary>Waits until the daemon serves, and registers.</summary>
    public Scene Ready()
    {
        Daemon.ExpectLog("daemon: ready");
        Kernel.ExpectHandshake();
        Kernel.Expect(KernelReplyKind.RegisterPid, Kernel.Send(Register));
        return this;
    }

    /// <summary>Adds and returns the mapped port.</summary>
    public ushort AddMapping(string local, uint flags = 0)
    {
        KernelReply reply = Kernel.Expect(KernelReplyKind.AddMapping, Kernel.Send(Add(local, flags)));
        Assert.Equal(InetEndpoint.Parse(local).WithPort(reply.MappedLocal.Port), reply.MappedLocal);
        return reply.MappedLocal.Port;
    }

    public MappingError ExpectRefusal(KernelRequest request) =>
        Kernel.Expect(KernelReplyKind.HandleError, Kernel.Send(request)).Error;

    /// <summary>All that was sent before was served when this returns.</summary>
    public void Drain() => AddRemove("10.255.255.1:9");

    public bool IsFree(int port, AddressFamily family = AddressFamily.InterNetwork) => Host.IsTcpPortFree(port, family);

    /// <summary>Starts the daemon once more, after it ended.</summary>
    public DaemonProcess Restart()
    {
        Daemon.Dispose();
        return Daemon = DaemonProcess.Foreground(Host, Kernel);
    }

    /// <summary>A new daemon, whose mapping is unprotected: another program, which is returned, has its port.</summary>
    public Socket RestartUnprotected(string local)
    {
        ushort port = AddMapping(local);
        Daemon.Stop();
        Socket other = Host.Open(SocketType.Stream, new IPEndPoint(IPAddress.Any, port));
        var endpoint = InetEndpoint.Parse(local);
        Kernel.SetReplay(new KernelRequest { Local = endpoint, Mapped = endpoint.WithPort(port) }); // it asks again
        Restart().ExpectLog($"mapping: unprotected: {local}");
        Daemon.ExpectLog("daemon: ready");
        return other;
    }

    public void Dispose()
    {
        Daemon.Dispose();
        Kernel.Dispose();
        Host.Dispose();
        _neighbour?.Dispose();
    }

    private void AddRemove(string local)
    {
        AddMapping(local);
        Kernel.Send(Remove(local));
    }
}

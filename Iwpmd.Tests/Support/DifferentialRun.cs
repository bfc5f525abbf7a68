// SPDX-License-Identifier: MIT
using System.Net;
using System.Net.Sockets;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Support;

/// <summary>
/// One step of the script as one daemon did it. <see cref="Deviations"/> are the names of the reasons why the two may
/// differ here.
/// </summary>
internal sealed record DifferentialStep(string Name, string[] Deviations, string[] Lines);

/// <summary>
/// One daemon, its kernel, and the peers on the host at the other end of its cable; what came of each step.
/// </summary>
internal sealed class DifferentialRun : IDisposable
{
    private readonly Host _host, _far;
    private readonly Dictionary<string, Peer> _peers = [];
    private readonly Peer _barrier;
    private readonly List<DifferentialStep> _steps = [];
    private readonly HashSet<string> _datagrams = [];
    private readonly Transcript _transcript = new();
    private readonly SortedSet<int> _watchedPorts = [];
    private readonly List<(string Peer, byte[] Bytes, IPEndPoint From)> _arrived = [];
    private readonly HashSet<uint> _barriers = [];
    private readonly HashSet<int> _heldPorts = [];
    private DaemonProcess? _daemon;
    private int _messagesTold;
    private ulong _barrierHandle = 0x1000;

    /// <param name="isForgiving">See <see cref="SimulatedKernel.IsForgiving"/>.</param>
    public DifferentialRun(bool isForgiving)
    {
        Kernel = new SimulatedKernel { IsForgiving = isForgiving };
        Kernel.AddClient(3);
        Kernel.SetReplayDatagram(1); // C drops what follows a mapping that it refuses in the same datagram
        (_host, _far) = Host.Pair();
        foreach (string address in (string[])["10.0.0.2", "10.0.0.3", "fd00::2"])
        {
            _peers[address] = new Peer(_far, address);
        }
        _peers["client"] = new Peer(_far, "10.0.0.2", 7001);
        _peers["client6"] = new Peer(_far, "fd00::2", 7001);
        _barrier = new Peer(_far, "10.0.0.4", 7002);
    }

    public SimulatedKernel Kernel { get; }

    public IReadOnlyList<DifferentialStep> Steps => _steps;

    public Host Host => _host;

    public void Start(Func<Host, SimulatedKernel, DaemonProcess> start) => _daemon = start(_host, Kernel);

    /// <summary>Does it, waits until the daemon has served it, and keeps what the daemon did.</summary>
    public void Step(string name, Action action, params string[] deviations) => Step(name, action, Drain, deviations);

    /// <summary>A request of the kernel.</summary>
    public void Ask(string name, KernelRequest request, params string[] deviations) =>
        Step(name, () => Kernel.Send(request), deviations);

    public void Step(string name, Action action, Action settle, params string[] deviations)
    {
        uint first = Kernel.NewSequence() + 1;
        action();
        settle();
        List<string> lines = [];
        DaemonMessage[] messages = Kernel.Messages;
        foreach (DaemonMessage message in messages[_messagesTold..])
        {
            if (message.Raw.Client == RdmaNetlink.RDMA_NL_NLDEV)
            {
                continue; // of an audit, which comes when a busy machine registers late
            }
            if (!_barriers.Contains(message.Kind is KernelReplyKind.HandleError ? message.Reply.RequestSequence : 0))
            {
                lines.Add(
                    _transcript.Of(message.Raw, first) + (message.Verdict == 0 ? "" : $" (verdict {message.Verdict})"));
            }
        }
        _messagesTold = messages.Length;
        foreach ((string peer, byte[] bytes, IPEndPoint from) in _arrived)
        {
            if (_datagrams.Add($"{peer} {Hex.Text(bytes)}"))
            {
                // copies come when their time has come, not at a step
                lines.Add(_transcript.Of(bytes, peer, from.Port == Peer.MapperPort));
            }
        }
        _arrived.Clear();
        lines.AddRange(PortChanges());
        Assert.True(_daemon is null || !_daemon.HasExited, $"the daemon ended in step \"{name}\"");
        _steps.Add(new DifferentialStep(name, deviations, [.. lines]));
    }

    /// <summary>A port below the dynamic range whose holder is of interest.</summary>
    public void Watch(params int[] ports) => _watchedPorts.UnionWith(ports);

    /// <summary>Waits for the Request of the query just sent, from where it came and what it says.</summary>
    public (PeerMessage Message, IPEndPoint From) TakeRequest(string peer)
    {
        (byte[] Bytes, IPEndPoint From) arrival = _peers[peer].Receive();
        while (!_datagrams.Add($"{peer} {Hex.Text(arrival.Bytes)}"))
        {
            arrival = _peers[peer].Receive(); // a copy of an earlier one
        }
        _datagrams.Remove($"{peer} {Hex.Text(arrival.Bytes)}");
        _arrived.Add((peer, arrival.Bytes, arrival.From));
        return (Peer.Parse(arrival.Bytes), arrival.From);
    }

    public void Send(string peer, IPEndPoint to, in PeerMessage message) => _peers[peer].Send(to, message);

    /// <summary>To the daemon's well-known port, from this peer's.</summary>
    public void Tell(string peer, byte[] datagram) => _peers[peer].Send(PortMapperOf(peer), datagram);

    public void Tell(string peer, in PeerMessage message) => Tell(peer, Peer.Bytes(message));

    /// <summary>
    /// When this returns the daemon has served all that was sent before: a request that it must refuse comes back
    /// through UDP, which flushes the cable, and then twice through netlink, since a daemon that waits for several
    /// sockets at once may serve them in any order.
    /// </summary>
    public void Drain()
    {
        DrainPeers();
        for (int i = 0; i < 2; i++)
        {
            uint sequence = Kernel.Send(Scene.Query("0.0.0.0:9", "10.0.0.2:9"));
            _barriers.Add(sequence);
            Kernel.Expect(KernelReplyKind.HandleError, sequence);
        }
        DrainPeers();
        Collect();
    }

    public void DrainPeers()
    {
        ulong handle = _barrierHandle++;
        _barrier.Send(PortMapperOf("10.0.0.4"), Peer.Request(handle, "10.0.0.4:9", "10.0.0.1:9", "10.0.0.4:9"));
        while (Peer.Parse(_barrier.Receive().Bytes).Handle != handle)
        {
            // an answer that came too late for its barrier
        }
    }

    /// <summary>The port that the daemon told the kernel for the mapping of this local port.</summary>
    public ushort MappedPortOf(ushort localPort) => Kernel.Messages.Last(
        m => m.Kind == KernelReplyKind.AddMapping && m.Reply.Local.Port == localPort).Reply.MappedLocal.Port;

    /// <summary>Waits for an answer that only our daemon gives.</summary>
    public void AwaitIfOurs(KernelReplyKind kind, uint sequence)
    {
        if (_daemon!.IsOurs)
        {
            Kernel.Expect(kind, sequence);
        }
    }

    public int Stop(int signal)
    {
        _daemon!.Signal(signal);
        return _daemon.ExpectExit();
    }

    public void Dispose()
    {
        _daemon?.Dispose();
        _barrier.Dispose();
        foreach (Peer peer in _peers.Values)
        {
            peer.Dispose();
        }
        Kernel.Dispose();
        _host.Dispose();
        _far.Dispose();
    }

    private static IPEndPoint PortMapperOf(string peer) =>
        new(IPAddress.Parse(peer is "fd00::2" or "client6" ? "fd00::1" : "10.0.0.1"), Peer.MapperPort);

    /// <summary>
    /// TCP ports that the daemon claimed or gave back since the last step, of those that are watched or were told to
    /// anybody.
    /// </summary>
    private List<string> PortChanges()
    {
        List<string> changes = [];
        foreach (int port in (int[])[.. _watchedPorts, .. _transcript.Ports])
        {
            bool isHeld = !_host.IsTcpPortFree(port) || !_host.IsTcpPortFree(port, AddressFamily.InterNetworkV6);
            if (isHeld ? _heldPorts.Add(port) : _heldPorts.Remove(port))
            {
                changes.Add($"{(isHeld ? "claims" : "releases")} {_transcript.Port(port)}");
            }
            if (!isHeld)
            {
                _transcript.Forget(port);
            }
        }
        changes.Sort(StringComparer.Ordinal);
        return changes;
    }

    private void Collect()
    {
        foreach ((string name, Peer peer) in _peers)
        {
            _arrived.AddRange(peer.ReceiveAll().Select(arrival => (name, arrival.Bytes, arrival.From)));
        }
    }
}

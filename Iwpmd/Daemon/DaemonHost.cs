// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.Os;
using Iwpmd.State;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;

namespace Iwpmd.Daemon;

/// <summary>Whether a running daemon is a fault or is taken over.</summary>
internal enum StartMode
{
    Alone,

    /// <summary>Takes over from the running daemon, if there is one.</summary>
    TakeOver,
}

/// <summary>Sets the daemon up in order: limits, sockets, state, HELLO; then runs and stops it.</summary>
internal sealed class DaemonHost
{
    private const int SpareDescriptors = 64;

    private readonly Configuration _configuration;
    private readonly LogSink _log;
    private readonly StartMode _mode;
    private readonly SystemdNotify _notify;
    private readonly ReadyPipe? _readyPipe;
    private readonly HostSettings _host = new();
    private readonly PortPolicy _policy;

    public DaemonHost(
        Configuration configuration, StartMode mode, SystemdNotify notify, ReadyPipe? readyPipe, LogSink log)
    {
        (_configuration, _mode, _notify, _readyPipe, _log) = (configuration, mode, notify, readyPipe, log);
        _policy = new PortPolicy(configuration.PortRange, new PortSettings(), log);
    }

    /// <summary>Null when the command line sets the log level.</summary>
    public Action<LogLevel>? SetLogLevel { get; init; }

    /// <summary>Returns the exit status.</summary>
    /// <exception cref="SetupException">The daemon cannot run here.</exception>
    public int Run()
    {
        Log.Starting(_log, BuildInfo.Version, Environment.ProcessId);
        RaiseLimits();
        TimeSpan started = Clock.Now;
        if (!_host.TryReadBootId(out Guid bootId))
        {
            Log.ProcMissing(_log);
        }
        using var opening = new StateLoader(_configuration, bootId, _log);
        HandedOverFds handed = ReceiveHandedOver(opening);
        // first: on a host without RDMA nothing is changed
        using NetlinkSocket netlink = handed.Netlink ?? OpenNetlink();
        // a socket that was taken over has the size of another configuration
        _ = SocketFd.ForceReceiveBuffer(netlink.Fd, _configuration.NetlinkBufferBytes);
        // next: a second daemon must not change the state of the first
        using PeerSockets peers = PeerSockets.Open(PortMapper.Port, handed.Udp, _log);
        StateLayout state = opening.Open();
        TcpPorts ports = _policy.Open(_configuration.PortMapper.KeptPorts);
        ports.Adopt(handed.TcpPorts);
        Errno kept = NetAdmin.GiveUp(); // before there are threads for signals and of the pool
        if (kept != Errno.None)
        {
            Log.NetAdminKept(_log, kept.Text());
        }
        return Serve(new DaemonResources(netlink, peers, ports, state, opening.File, opening.Origin), handed, started);
    }

    private int Serve(DaemonResources resources, HandedOverFds handed, TimeSpan started)
    {
        (NetlinkSocket netlink, PeerSockets peers, TcpPorts ports, StateLayout state, _, _) = resources;
        int maxReplayed = KernelProtocol.MaxReplayed(Environment.SystemPageSize);
        PortMapperSettings settings = _configuration.PortMapper with { MaxReplayed = maxReplayed };
        var mapper = new PortMapper(state, ports, settings, Entropy.Random64, _log);
        var dump = new EndpointDump(mapper, _log);
        var status = new ServiceStatus(_notify, _readyPipe, mapper, _policy, resources, _log);
        using var kernel = new KernelLink(netlink, resources.Heartbeat, state, _log);
        using Signals signals = Expect(OpError.Check("eventfd", Signals.TryInstall(out Signals? installed)), installed);
        using Epoll epoll = Expect(OpError.Check("epoll_create", Epoll.TryCreate(out Epoll? created)), created);
        using var handOver = new HandOver(resources, _configuration.StateDirectory, _log);
        var exchange =
            new Exchange(mapper, kernel, peers, _log) { From = new NamedInterfaces(_configuration.Interfaces) };
        var loop = new EventLoop(mapper, kernel, peers, exchange, signals, epoll, _log)
        {
            HandOver = handOver,
            EndpointDump = dump,
            OnWake = now =>
            {
                _policy.Follow(ports, state, now);
                _log.TellSuppressed(now);
                TimeSpan next = status.Update(now);
                if (_readyPipe is { HasReported: true })
                {
                    _log.Terminal = null;
                }
                return next;
            },
        };
        handOver.Reconfiguration = new Reconfiguration(_configuration, resources, mapper, _policy, _log)
        {
            TakeFrom = from => exchange.From = from,
            SetLogLevel = SetLogLevel,
        };
        _ = Expect(OpError.Check("epoll_ctl", loop.Register()), epoll);
        EnterSandbox();

        handOver.Store(_notify);
        Begin(mapper, resources, handed, started);
        exchange.Drain();
        PreallocateRest(resources);
        GrowDescriptorTable();
        StartPages.LetGo();
        int exitStatus = loop.Run();
        if (mapper.HasFailed && exitStatus != ExitStatus.Ended)
        {
            resources.Heartbeat.End();
            throw HandshakeFailure.Of(mapper, _host);
        }
        if (!loop.HasHandedOver)
        {
            _ = _notify.Send("STOPPING=1");
            if (mapper.Kernel != HandshakeState.Ready)
            {
                using var health = new RowChange<HealthRow>(ref state.Health);
                health.Row.Kernel = HandshakeState.None; // a signal ended it, no failure
            }
            resources.Heartbeat.End();
            handOver.StorePorts(_notify);
        }
        return exitStatus;
    }

    /// <summary>
    /// Claims the ports of an earlier process first; then sends HELLO, unless its session is continued.
    /// </summary>
    private void Begin(PortMapper mapper, DaemonResources resources, HandedOverFds handed, TimeSpan started)
    {
        if (mapper.Mappings.Count > 0)
        {
            GrowDescriptorTable();
        }
        mapper.Restore(Clock.Now);
        resources.Ports.CloseSpares();
        if (!TryResume(mapper, resources, handed, started))
        {
            mapper.Start(Clock.Now);
        }
    }

    /// <summary>
    /// The descriptors of an earlier process: by takeover from the running daemon, if that was requested and there is
    /// one, else from the service manager.
    /// </summary>
    private HandedOverFds ReceiveHandedOver(StateLoader opening)
    {
        using TakeOver? takeOver =
            _mode == StartMode.TakeOver ? TakeOver.TryBegin(_configuration.StateDirectory) : null;
        HandedOverFds handed = takeOver?.Fds ?? HandedOverFds.FromEnvironment(KernelProtocol.NetlinkProtocol);
        foreach (string kind in handed.Useless)
        {
            Log.HandedOverUseless(_log, kind);
        }
        if (takeOver is not null)
        {
            string? problem = handed.Netlink is null ? "no netlink socket received"
                : handed.File < 0 ? "no state received"
                : opening.TryAdopt(handed.File);
            if (problem is not null)
            {
                throw TakeOver.Aborted(problem);
            }
            takeOver.Complete();
        }
        return handed;
    }

    /// <summary>
    /// Continues the session of the earlier process, if this is its netlink socket and its state; writes to the state
    /// which process uses it now.
    /// </summary>
    private bool TryResume(PortMapper mapper, DaemonResources resources, HandedOverFds handed, TimeSpan started)
    {
        (StateLayout state, uint portId) = (resources.State, resources.Netlink.PortId);
        bool isItsSocket = resources.Heartbeat.Begin(
            portId, handed.Netlink is not null, started, out PredecessorExit exit);
        bool resumed = isItsSocket && mapper.TryResume(exit, Clock.Now);
        using (var health = new RowChange<HealthRow>(ref state.Health))
        {
            health.Row.Origin = resumed ? StateOrigin.TakenOver : resources.Origin;
            (health.Row.ConfiguredAt, health.Row.ConfigurationFaults) = (started, (uint)_configuration.Faults);
        }
        _policy.Record(resources.Ports, state);
        if (!resumed)
        {
            return false;
        }
        Log.TakingOver(_log, portId, handed.Udp.Count, handed.TcpPorts.Count);
        return true;
    }

    /// <summary>
    /// Only saves time: each growth of the table takes some milliseconds, so there is one, before many ports are
    /// claimed and after HELLO.
    /// </summary>
    private void GrowDescriptorTable() => _ = Limits.GrowDescriptorTable(MostPorts + SpareDescriptors);

    /// <summary>
    /// Preallocates the rest of a new state file before anything is served. With an existing file there is nothing to
    /// do.
    /// </summary>
    private static void PreallocateRest(DaemonResources resources)
    {
        Errno error = resources.File?.PreallocateRest() ?? Errno.None;
        if (error != Errno.None)
        {
            resources.State.Invalidate();
            throw new SetupException(
                ExitStatus.Failure,
                $"state: fallocate: {error.Text()}: its space was used up in the meantime: start it again");
        }
    }

    private int MostPorts => _configuration.PortsAtMost(_policy.Range);

    /// <summary>All that needs more system calls than the loop is open by now.</summary>
    private void EnterSandbox()
    {
        if (_configuration.Sandbox == SandboxMode.Off)
        {
            return;
        }
        Errno error = Sandbox.IsSupported ? Sandbox.Enter(_configuration.Sandbox) : Errno.EOPNOTSUPP;
        if (error != Errno.None)
        {
            Log.NoSandbox(_log, error.Text());
        }
    }

    private void RaiseLimits()
    {
        if (Limits.RaiseDescriptorLimit(out ulong limit) == Errno.None && limit < (ulong)MostPorts)
        {
            Log.DescriptorLimit(_log, limit, MostPorts);
        }
    }

    private NetlinkSocket OpenNetlink()
    {
        int bytes = _configuration.NetlinkBufferBytes;
        OpError? failed = NetlinkSocket.TryOpen(
            KernelProtocol.NetlinkProtocol, KernelProtocol.MulticastGroup, bytes, out NetlinkSocket? socket);
        if (failed is { Errno: Errno.EPROTONOSUPPORT or Errno.EAFNOSUPPORT })
        {
            throw new SetupException(
                ExitStatus.Unavailable,
                "netlink: NETLINK_RDMA is not available: load ib_core and iw_cm (modprobe iw_cm)");
        }
        if (failed is { Errno: Errno.EPERM or Errno.EACCES })
        {
            throw new SetupException(
                ExitStatus.Failure,
                $"netlink: {failed}: run it as root, or with the capability CAP_NET_ADMIN");
        }
        NetlinkSocket opened = Expect(failed, socket);
        int granted = opened.ReceiveBufferBytes / 2; // the kernel reports twice the requested size
        if (granted < bytes - 1)
        {
            Log.BufferLimit(_log, granted, bytes);
        }
        return opened;
    }

    private static T Expect<T>(OpError? failed, T? value)
        where T : class =>
        failed is not OpError error ? value! : throw new SetupException(
            ExitStatus.Failure, $"{error.Operation} failed: {error.Errno.Text()}");
}

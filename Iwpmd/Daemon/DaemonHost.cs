// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.Os;
using Iwpmd.State;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;

namespace Iwpmd.Daemon;

/// <summary>Whether a daemon that runs is in the way or asked to let go.</summary>
internal enum StartMode
{
    Alone,

    /// <summary>Takes over from the running daemon, if there is one.</summary>
    TakeOver,
}

/// <summary>Sets the daemon up in order: limits, state, sockets, hello; then runs it and ends it in order.</summary>
internal sealed class DaemonHost
{
    private const int SpareDescriptors = 64;

    private readonly Configuration _configuration;
    private readonly ILogger _log;
    private readonly StartMode _mode;
    private readonly SystemdNotify _notify;
    private readonly ReadyPipe? _readyPipe;
    private readonly HostSettings _host = new();
    private readonly PortPolicy _policy;

    public DaemonHost(Configuration configuration, StartMode mode, SystemdNotify notify, ReadyPipe? readyPipe, ILogger log)
    {
        (_configuration, _mode, _notify, _readyPipe, _log) = (configuration, mode, notify, readyPipe, log);
        _policy = new PortPolicy(configuration.PortRange, new PortSettings(), log);
    }

    /// <summary>Null where the command line says what to log.</summary>
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
        using NetlinkSocket netlink = handed.Netlink ?? OpenNetlink(); // first: a host without RDMA is left as it was
        _ = SocketFd.ForceReceiveBuffer(netlink.Fd, _configuration.NetlinkBufferBytes); // a handed-over one has that of another configuration
        using PeerSockets peers = PeerSockets.Open(PortMapper.Port, handed.Udp, _log); // next: a second daemon must not touch the state of the first
        StateLayout state = opening.Open();
        TcpPorts ports = _policy.Open(_configuration.KeptPorts);
        ports.Adopt(handed.TcpPorts);
        Errno kept = NetAdmin.GiveUp(); // before the threads of the signals and of the pool are there
        if (kept != Errno.None)
        {
            Log.NetAdminKept(_log, kept);
        }
        return Serve(new Holdings(netlink, peers, ports, state, opening.File, opening.Origin), handed, started);
    }

    private int Serve(Holdings holdings, HandedOverFds handed, TimeSpan started)
    {
        (NetlinkSocket netlink, PeerSockets peers, TcpPorts ports, StateLayout state, _, _) = holdings;
        var mapper = new PortMapper(state, ports, _configuration.PortMapper with { MaxReplayed = KernelProtocol.MaxReplayed(Environment.SystemPageSize) }, Entropy.Random64, _log);
        var dump = new EndpointDump(mapper, _log);
        var status = new ServiceStatus(_notify, _readyPipe, mapper, _policy, holdings, _log);
        using var kernel = new KernelLink(netlink, holdings.Heartbeat, state, _log);
        using Signals signals = Expect(Signals.TryInstall(out Signals? installed), installed, "eventfd");
        using Epoll epoll = Expect(Epoll.TryCreate(out Epoll? created), created, "epoll_create");
        using var handOver = new HandOver(holdings, _configuration.StateDirectory, _log);
        var exchange = new Exchange(mapper, kernel, peers, _log) { From = new NamedInterfaces(_configuration.Interfaces) };
        var loop = new EventLoop(mapper, kernel, peers, exchange, signals, epoll, _log)
        {
            HandOver = handOver,
            EndpointDump = dump,
            OnWake = now =>
            {
                _policy.Follow(ports, state, now);
                return status.Update(now);
            },
        };
        handOver.Reconfiguration = new Reconfiguration(_configuration, holdings, mapper, _policy, _log) { TakeFrom = from => exchange.From = from, SetLogLevel = SetLogLevel };
        _ = Expect(loop.Register(), epoll, "epoll_ctl");
        EnterSandbox();

        handOver.Store(_notify);
        Begin(mapper, holdings, handed, started);
        exchange.Drain();
        SetAsideRest(holdings);
        GrowDescriptorTable();
        int exitStatus = loop.Run();
        if (mapper.HasFailed && exitStatus != ExitStatus.Ended)
        {
            throw HandshakeFailure.Of(mapper, _host);
        }
        if (!loop.HasHandedOver)
        {
            _ = _notify.Send("STOPPING=1");
            holdings.Heartbeat.End();
            handOver.StorePorts(_notify);
        }
        return exitStatus;
    }

    /// <summary>The ports of an earlier process first, then a word to the kernel, unless it need not notice.</summary>
    private void Begin(PortMapper mapper, Holdings holdings, HandedOverFds handed, TimeSpan started)
    {
        if (mapper.Mappings.Count > 0)
        {
            GrowDescriptorTable();
        }
        mapper.Restore(Clock.Now);
        holdings.Ports.CloseSpares();
        if (!TryResume(mapper, holdings, handed, started))
        {
            mapper.Start(Clock.Now);
        }
    }

    /// <summary>What an earlier process left: by hand-over from the running daemon, if that was asked for and there is one, else from the service manager.</summary>
    private HandedOverFds ReceiveHandedOver(StateLoader opening)
    {
        using TakeOver? takeOver = _mode == StartMode.TakeOver ? TakeOver.TryBegin(_configuration.StateDirectory) : null;
        HandedOverFds handed = takeOver?.Fds ?? HandedOverFds.FromEnvironment(KernelProtocol.NetlinkProtocol);
        foreach (string kind in handed.Useless)
        {
            Log.HandedOverUseless(_log, kind);
        }
        if (takeOver is not null)
        {
            string? problem = handed.Netlink is null ? "no netlink socket received" : handed.File < 0 ? "no state received" : opening.TryAdopt(handed.File);
            if (problem is not null)
            {
                throw TakeOver.BrokenOff(problem);
            }
            takeOver.Complete();
        }
        return handed;
    }

    /// <summary>Goes on where the earlier process stood, if this is its netlink socket and its state; notes in the state whose it is now.</summary>
    private bool TryResume(PortMapper mapper, Holdings holdings, HandedOverFds handed, TimeSpan started)
    {
        (StateLayout state, uint portId) = (holdings.State, holdings.Netlink.PortId);
        bool isItsSocket = holdings.Heartbeat.Begin(portId, handed.Netlink is not null, started, out PredecessorExit exit);
        bool resumed = isItsSocket && mapper.TryResume(exit, Clock.Now);
        using (var health = new RowChange<HealthRow>(ref state.Health))
        {
            health.Row.Origin = resumed ? StateOrigin.TakenOver : holdings.Origin;
            health.Row.ConfiguredAt = started.Ticks;
        }
        _policy.Record(holdings.Ports, state);
        if (!resumed)
        {
            return false;
        }
        Log.TakingOver(_log, portId, handed.Udp.Count, handed.TcpPorts.Count);
        return true;
    }

    /// <summary>Only saves time: each growth of it is waited for, some milliseconds, so there is one, before many ports come and not before HELLO.</summary>
    private void GrowDescriptorTable() => _ = Limits.GrowDescriptorTable(WantedDescriptors);

    /// <summary>Of a new state file, before anything that came is looked at. The next start finds the file and does without it.</summary>
    private static void SetAsideRest(Holdings holdings)
    {
        Errno error = holdings.File?.SetAsideRest() ?? Errno.None;
        if (error != Errno.None)
        {
            holdings.State.Invalidate();
            throw new SetupException(ExitStatus.Failure, $"state: fallocate: {error}: its space was used up in the meantime: start it again");
        }
    }

    /// <summary>One for each port.</summary>
    private int WantedDescriptors => Math.Min(_configuration.MaxMappings, ushort.MaxValue) + SpareDescriptors;

    /// <summary>Everything is open that needs more than the loop does.</summary>
    private void EnterSandbox()
    {
        if (_configuration.Sandbox == SandboxMode.Off)
        {
            return;
        }
        Errno error = Sandbox.IsSupported ? Sandbox.Enter(_configuration.Sandbox) : Errno.OperationNotSupported;
        if (error != Errno.None)
        {
            Log.NoSandbox(_log, error);
        }
    }

    private void RaiseLimits()
    {
        if (Limits.RaiseDescriptorLimit(out ulong limit) == Errno.None && limit < (ulong)(WantedDescriptors - SpareDescriptors))
        {
            Log.DescriptorLimit(_log, limit, _configuration.MaxMappings);
        }
    }

    private NetlinkSocket OpenNetlink()
    {
        int bytes = _configuration.NetlinkBufferBytes;
        Errno error = NetlinkSocket.TryOpen(KernelProtocol.NetlinkProtocol, KernelProtocol.MulticastGroup, bytes, out NetlinkSocket? socket, out string operation);
        if (error == Errno.ProtocolNotSupported || error == Errno.FamilyNotSupported)
        {
            throw new SetupException(ExitStatus.Unavailable, "netlink: NETLINK_RDMA is not available: load ib_core and iw_cm (modprobe iw_cm)");
        }
        if (error == Errno.NotPermitted || error == Errno.AccessDenied)
        {
            throw new SetupException(ExitStatus.Failure, $"netlink: {operation}: {error}: run it as root, or with the capability CAP_NET_ADMIN");
        }
        NetlinkSocket opened = Expect(error, socket, operation);
        int granted = opened.ReceiveBufferBytes / 2; // the kernel counts twice what was asked for
        if (granted < bytes - 1)
        {
            Log.BufferLimit(_log, granted, bytes);
        }
        return opened;
    }

    private static T Expect<T>(Errno error, T? value, string operation)
        where T : class => error == Errno.None && value is not null ? value : throw new SetupException(ExitStatus.Failure, $"{operation} failed: {error}");
}

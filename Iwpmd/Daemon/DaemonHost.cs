using Iwpmd.Core;
using Iwpmd.Os;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;

namespace Iwpmd.Daemon;

/// <summary>Sets the daemon up in order: limits, state, sockets, hello; then runs it and ends it in order.</summary>
internal sealed class DaemonHost : IDisposable
{
    private const int SpareDescriptors = 64;

    private readonly Configuration _configuration;
    private readonly ILogger _log;
    private readonly SystemdNotify _notify;
    private readonly ReadyPipe? _readyPipe;
    private readonly HostSettings _host = new();
    private StateFile? _stateFile;
    private string _status = "";
    private bool _isReady;
    private TimeSpan _watchdogAt;

    public DaemonHost(Configuration configuration, SystemdNotify notify, ReadyPipe? readyPipe, ILogger log) =>
        (_configuration, _notify, _readyPipe, _log) = (configuration, notify, readyPipe, log);

    /// <summary>Returns the exit status.</summary>
    /// <exception cref="SetupException">The daemon cannot run here.</exception>
    public int Run()
    {
        Log.Starting(_log, BuildInfo.Version, Environment.ProcessId);
        RaiseLimits();
        TimeSpan started = Clock.Now;
        using NetlinkSocket netlink = OpenNetlink(); // first: a host without RDMA is left as it was
        using PeerSockets peers = PeerSockets.Open(PortMapper.Port, _log); // next: a second daemon must not touch the state of the first
        StateLayout state = OpenState();
        PortRange range = ChoosePortRange();
        _ = _host.TryReadReservedPorts(out PortRange[] reserved);
        var ports = new TcpPorts(range, reserved, Entropy.Random64(), _log);
        var mapper = new PortMapper(state, ports, _configuration.PortMapper, Entropy.Random64, _log);
        using var kernel = new KernelLink(netlink, state, _log);
        using Signals signals = Expect(Signals.TryInstall(out Signals? installed), installed, "eventfd");
        using Epoll epoll = Expect(Epoll.TryCreate(out Epoll? created), created, "epoll_create");
        var transmitter = new Transmitter(mapper, kernel, peers, _log);
        var loop = new EventLoop(mapper, kernel, peers, transmitter, signals, epoll, _log) { OnWake = now => Wake(mapper, state, range, netlink.PortId, now) };
        _ = Expect(loop.Register(), epoll, "epoll_ctl");

        Describe(state, netlink.PortId, started);
        mapper.Restore(Clock.Now);
        mapper.Start(Clock.Now);
        transmitter.Drain();
        int status = loop.Run();
        if (status == ExitStatus.Unavailable)
        {
            throw new SetupException(ExitStatus.Unavailable, WhyUnusable(new Errno(-mapper.KernelResult)));
        }
        _ = _notify.Send("STOPPING=1");
        state.Header.EndedAt = Clock.Now.Ticks;
        return status;
    }

    public void Dispose() => _stateFile?.Dispose();

    /// <summary>At every wake-up: readiness, the watchdog, the status line. Returns when to wake next at the latest.</summary>
    private TimeSpan Wake(PortMapper mapper, StateLayout state, PortRange range, uint portId, TimeSpan now)
    {
        if (!_isReady && mapper.Kernel == HandshakeState.Ready)
        {
            _isReady = true;
            Log.Ready(_log, mapper.Mappings.Count, range.Low, range.High, portId);
            Notify("READY=1");
            _readyPipe?.ReportReady();
        }
        TimeSpan next = now + EventLoop.Tick;
        if (!_notify.IsActive)
        {
            return next;
        }
        if (_notify.WatchdogInterval is TimeSpan interval)
        {
            if (now >= _watchdogAt)
            {
                Notify("WATCHDOG=1");
                _watchdogAt = now + interval;
            }
            next = _watchdogAt < next ? _watchdogAt : next;
        }
        ReportStatus(mapper, state);
        return next;
    }

    private void ReportStatus(PortMapper mapper, StateLayout state)
    {
        string status = !_isReady ? "waiting for the kernel's replay"
            : state.Health.Unprotected > 0 ? $"serving {mapper.Mappings.Count} mappings, {state.Health.Unprotected} of them unprotected: their ports are in use by other programs"
            : $"serving {mapper.Mappings.Count} mappings";
        if (status != _status)
        {
            _status = status;
            Notify($"STATUS={status}");
        }
    }

    private void Notify(string text)
    {
        Errno error = _notify.Send(text);
        if (error != Errno.None)
        {
            Log.NotifyFailed(_log, error);
        }
    }

    private void RaiseLimits()
    {
        int wanted = Math.Min(_configuration.MaxMappings, ushort.MaxValue) + SpareDescriptors; // one for each port
        if (Limits.RaiseDescriptorLimit(out ulong limit) == Errno.None && limit < (ulong)(wanted - SpareDescriptors))
        {
            Log.DescriptorLimit(_log, limit, _configuration.MaxMappings);
        }
        _ = Limits.GrowDescriptorTable(wanted); // only saves time
    }

    private PortRange ChoosePortRange()
    {
        if (_configuration.PortRange is PortRange configured)
        {
            return configured;
        }
        _ = _host.TryReadPortRange(out PortRange range);
        return range;
    }

    private StateLayout OpenState()
    {
        StateCapacity capacity = StateCapacity.For(_configuration.MaxMappings);
        _ = _host.TryReadBootId(out Guid bootId);
        var identity = new StateIdentity(bootId, new FixedName(BuildInfo.Version));
        long size = StateLayout.SizeOf(capacity);
        string path = Path.Combine(_configuration.StateDirectory, "state");
        Errno error = StateFile.TryOpen(_configuration.StateDirectory, size, out _stateFile, out string operation);
        if (error == Errno.Again && operation == "lock")
        {
            throw new SetupException(ExitStatus.Failure, $"state: {path} is in use: another iwpmd runs on this host: stop it first");
        }
        if (_stateFile is not null)
        {
            var state = new StateLayout(_stateFile.Address, capacity);
            string? problem = _stateFile.ExistingLength == 0 ? "it is new"
                : _stateFile.ExistingLength != size ? $"it has {_stateFile.ExistingLength} bytes, not {size}"
                : state.WhyUnusable(identity);
            if (problem is null)
            {
                Log.StateRestored(_log, path, state.Header.Build);
                return state;
            }
            Log.StateFresh(_log, path, problem);
            operation = "clear";
            error = _stateFile.ExistingLength == 0 ? Errno.None : _stateFile.Clear();
            if (error == Errno.None)
            {
                state.Format(identity);
                return state;
            }
        }
        Log.StateUnavailable(_log, path, operation, error);
        error = StateFile.TryMapAnonymous(size, out nint memory);
        var unsaved = new StateLayout(error == Errno.None ? memory : throw new SetupException(ExitStatus.Failure, $"state: mmap failed: {error}: lower max_mappings"), capacity);
        unsaved.Format(identity);
        return unsaved;
    }

    private static void Describe(StateLayout state, uint portId, TimeSpan started)
    {
        ref StateHeader header = ref state.Header;
        header.StartedAt = started.Ticks;
        header.SeenEmptyAt = started.Ticks; // before the socket was opened
        header.EndedAt = 0;
        header.ProcessId = Environment.ProcessId;
        header.PortId = portId;
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

    private string WhyUnusable(Errno error) =>
        !_host.HasIwCm ? $"kernel: iw_cm is not loaded ({error}): load it (modprobe iw_cm), or connect a device whose driver does"
        : !_host.HasIwCmInThisNamespace ? $"kernel: this is not the initial network namespace ({error}), where alone RDMA port mapping works: run iwpmd in the host's (containers: --network host)"
        : $"kernel: the port mapper client refuses us ({error}): its log says why (dmesg)";

    private static T Expect<T>(Errno error, T? value, string operation)
        where T : class => error == Errno.None && value is not null ? value : throw new SetupException(ExitStatus.Failure, $"{operation} failed: {error}");
}

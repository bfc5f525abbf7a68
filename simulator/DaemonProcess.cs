// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.State;
using Iwpmd.Daemon;
using Iwpmd.Os;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Iwpmd.Simulation;

/// <summary>How a daemon that is asked to end does so.</summary>
internal enum Ending
{
    /// <summary>In order, its sockets go to the service manager's store if there is one.</summary>
    Orderly,

    /// <summary>Another process takes over from it.</summary>
    HandOver,

    /// <summary>One begins to, and breaks it off.</summary>
    Aborted,
}

/// <summary>
/// One life of the daemon on a simulated host, from its first line to its end: all that touches the daemon's own types.
/// What <see cref="DaemonHost"/> does around the loop is done here in the same order.
/// </summary>
internal sealed class DaemonProcess
{
    private const int BufferBytes = 1 << 20;

    private readonly Machine _machine;
    private readonly Signals _signals;
    private readonly NetlinkSocket _netlink;
    private readonly TcpPorts _ports;
    private readonly EventLoop _loop;
    private readonly Exchange _exchange;
    private readonly Heartbeat _heartbeat;
    private readonly int[] _peers;
    private Ending _ending;
    private (int Stops, ulong Refused) _whenAsked;

    /// <param name="inherited">What an earlier process left; empty for a start from nothing.</param>
    private DaemonProcess(Machine machine, IReadOnlyCollection<int> inherited)
    {
        _machine = machine;
        ILogger log = machine.World.Told is null ? NullLogger.Instance : new ToldLog(machine);
        StartedAt = machine.World.Now;
        TimeSpan started = Clock.Now;
        int handed = inherited.FirstOrDefault(fd => machine.Find(fd) is NetlinkEnd { IsMember: true }, -1);
        NetlinkSocket? opened = null;
        bool isHanded = handed >= 0 && NetlinkSocket.TryAdopt(handed, out opened) == Errno.None;
        if (!isHanded)
        {
            _ = NetlinkSocket.TryOpen(
                KernelProtocol.NetlinkProtocol, KernelProtocol.MulticastGroup, machine.BufferBytes ?? BufferBytes,
                out opened);
        }
        _netlink = opened ?? throw new SetupException(ExitStatus.Failure, "no netlink socket");
        PeerSockets peers = PeerSockets.Open(
            PortMapper.Port, inherited.Where(fd => machine.Find(fd) is UdpEnd).Select(UdpSocket.Adopt)!, log);
        machine.State = StateMemory.Open(machine.State, machine.MostMappings);
        State = machine.State.Layout;
        _heartbeat = new Heartbeat(State);
        _ports = new TcpPorts(machine.Range, RangeOwner.Configuration, [], machine.Dice.Next64(), log)
        {
            Kept = machine.Settings.KeptPorts,
        };
        _ports.Adopt(inherited.Where(fd => machine.Find(fd) is TcpPort));
        Mapper = new PortMapper(State, _ports, machine.Settings, machine.Dice.Next64, log);
        var kernel = new KernelLink(_netlink, _heartbeat, State, log);
        _ = Signals.TryInstall(out Signals? signals);
        _ = Epoll.TryCreate(out Epoll? epoll);
        _signals = signals!;
        _exchange = new Exchange(Mapper, kernel, peers, log) { From = new NamedInterfaces([]) };
        _loop = new EventLoop(Mapper, kernel, peers, _exchange, _signals, epoll!, log)
        {
            EndpointDump = new EndpointDump(Mapper, log),
            OnWake = now => now + (machine.HasRealTicks || !IsReady ? EventLoop.Tick : TimeSpan.FromHours(1)),
        };
        _ = _loop.Register();
        _peers = Array.ConvertAll(peers.All.ToArray(), one => one.Fd);
        machine.StoreSockets([_netlink.Fd, .. _peers]);
        Mapper.Restore(Clock.Now);
        _ports.CloseSpares();
        if (!TryResume(isHanded, started))
        {
            Mapper.Start(Clock.Now);
        }
        _exchange.Drain();
    }

    public PortMapper Mapper { get; }

    public StateLayout State { get; }

    public TimeSpan StartedAt { get; }

    public uint PortId => _netlink.PortId;

    public bool IsReady => Mapper.Kernel == HandshakeState.Ready && !Mapper.HasDeferredRequests;

    public static void Start(Machine machine, IReadOnlyCollection<int> inherited)
    {
        bool isThere = machine.Enter(() =>
        {
            machine.World.Tell($"{machine.Name} daemon starts with {inherited.Count} descriptors");
            machine.DisturbedAt = machine.World.Now;
            try
            {
                machine.Daemon = new DaemonProcess(machine, inherited);
            }
            catch (SetupException failure)
            {
                machine.OnEnded(failure.Message);
            }
        });
        if (isThere)
        {
            machine.RunDaemon();
        }
    }

    public void Run()
    {
        try
        {
            int status = _loop.Run();
            if (Mapper.HasFailed && status != ExitStatus.Ended)
            {
                _machine.OnEnded("it cannot talk to the kernel");
                return;
            }
            End();
        }
        catch (Idle)
        {
            Checks.AfterRun(_machine, this);
        }
    }

    public void Ask(Ending ending)
    {
        (_ending, _whenAsked) = (ending, (_machine.Stops, Refused));
        _signals.Raise(PendingSignals.Terminate);
    }

    /// <summary>
    /// It looks at its sockets every two seconds. Those looks that find nothing are left out of the history, so the
    /// last of them is noted when something comes.
    /// </summary>
    public void CatchUp(NetlinkEnd end)
    {
        TimeSpan looked = _machine.BootTime - _machine.World.Dice.Time(TimeSpan.Zero, EventLoop.Tick);
        if (end == _netlink.End && !_machine.IsStopped && Machine.Current != _machine
            && looked > State.Header.SeenEmptyAt && !_machine.HasRealTicks)
        {
            State.Header.SeenEmptyAt = looked;
        }
    }

    private ulong Refused => State.Counters[(int)Counter.DeferredDropped];

    private void End()
    {
        if (Refused > _whenAsked.Refused && _machine.Stops == _whenAsked.Stops && Mapper.Kernel == HandshakeState.Ready)
        {
            throw _machine.World.Fail(_machine, "its end refused what waited, though there was time to serve it");
        }
        _heartbeat.End();
        switch (_ending)
        {
            case Ending.Orderly:
                _machine.StorePorts(_ports.Descriptors());
                _machine.OnEnded("it ended in order");
                break;
            case Ending.HandOver:
                _machine.OnHandedOver([_netlink.Fd, .. _peers, .. _ports.Descriptors()]);
                break;
            case Ending.Aborted:
                _heartbeat.TakeBackEnd();
                _exchange.Continue();
                _machine.WakeSoon();
                break;
        }
    }

    private bool TryResume(bool isHanded, TimeSpan started) =>
        _heartbeat.Begin(PortId, isHanded, started, out PredecessorExit exit) && Mapper.TryResume(exit, Clock.Now);

    /// <summary>What the daemon logs, in the history.</summary>
    private sealed class ToldLog : LogSink
    {
        private readonly Machine _machine;

        public ToldLog(Machine machine)
            : base(() => machine.BootTime) // Clock.Now takes time, which a history that is not told does not take
        {
            (_machine, MinimumLevel) = (machine, LogLevel.Trace);
        }

        protected override void Write(LogLevel level, EventId id, string text, Exception? exception) =>
            _machine.World.Tell($"{_machine.Name} {text}");
    }
}

// SPDX-License-Identifier: MIT
using Iwpmd.Os;
using Iwpmd.Wire;

namespace Iwpmd.Simulation;

/// <summary>What a descriptor of a simulated process leads to.</summary>
internal interface IReadable
{
    bool IsReadable { get; }

    bool HasError { get; }
}

/// <summary>
/// A host: its kernel, its addresses and ports, its service manager and the daemon that it runs, or none.
/// </summary>
internal sealed partial class Machine
{
    private const int StepsOfEvent = 200_000;

    /// <summary>Whose code runs.</summary>
    [ThreadStatic]
    private static Machine? t_current;

    private readonly Dictionary<int, IReadable> _open = [];
    private readonly HashSet<int> _foreign = [];
    private int _nextFd = 3;
    private uint _nextPortId = 1000;
    private ushort _nextUdpPort = 50000;
    private TimeSpan _wakeAt = TimeSpan.MaxValue;
    private bool _isUnwinding;
    private long _steps, _stepsAtEvent;
    private int _overflowIn;

    public Machine(World world, string name, InetEndpoint[] addresses)
    {
        (World, Name, Addresses) = (world, name, addresses);
        Kernel = new Kernel(this);
        BootOffset = world.Dice.Time(TimeSpan.Zero, TimeSpan.FromDays(30));
        Dice = new Dice(world.Dice.Next64());
    }

    public static Machine? Current => t_current;

    public World World { get; }

    public string Name { get; }

    public InetEndpoint[] Addresses { get; }

    public Kernel Kernel { get; }

    /// <summary>The random numbers of its processes.</summary>
    public Dice Dice { get; }

    public TimeSpan BootOffset { get; set; }

    public TimeSpan BootTime => World.Now + BootOffset;

    public Dictionary<ushort, object> Ports { get; } = [];

    public Dictionary<(IpFamily, ushort), UdpEnd> Udp { get; } = [];

    public Dictionary<uint, NetlinkEnd> Netlink { get; } = [];

    public DaemonProcess? Daemon { get; set; }

    /// <summary>What the service manager keeps for the next process.</summary>
    public HashSet<int> Store { get; } = [];

    /// <summary>The memory that outlives the process; null before the first.</summary>
    public StateMemory? State { get; set; }

    public int DescriptorLimit { get; set; } = int.MaxValue;

    public bool HasDescriptors => _open.Count < DescriptorLimit;

    public bool IsStopped { get; private set; }

    /// <summary>The last time at which something was done to the daemon, its kernel or its ports.</summary>
    public TimeSpan DisturbedAt { get; set; }

    /// <summary>The process ends after so many steps; 0: it does not.</summary>
    public int CrashIn { get; set; }

    public bool MayCrash => CrashIn > 0 && !_isUnwinding;

    /// <summary>Where the process stops, and for how long.</summary>
    public int StopIn { get; set; }

    public TimeSpan StopFor { get; set; }

    /// <summary>How many times, some steps apart, the daemon is told that its receive buffer was full.</summary>
    public int Overflows { get; set; }

    /// <summary>How many times it was stopped there.</summary>
    public int Stops { get; private set; }

    /// <summary>Also while it has read the next registration and not answered it.</summary>
    public bool StopsAtRegistration { get; set; }

    public uint NewPortId() => ++_nextPortId;

    public ushort NewUdpPort() => ++_nextUdpPort;

    public int Open(IReadable what)
    {
        _open[_nextFd] = what;
        if (what is NetlinkEnd end)
        {
            Netlink[end.PortId] = end;
        }
        return _nextFd++;
    }

    public IReadable? Find(int fd) => _open.GetValueOrDefault(fd);

    public bool IsOpen(int fd) => _open.ContainsKey(fd);

    public bool IsReadable(int fd, out bool hasError)
    {
        IReadable what = _open[fd];
        hasError = what.HasError;
        return what.IsReadable;
    }

    /// <summary>While a process unwinds nothing of it reaches the host any more.</summary>
    public void Close(int fd)
    {
        if (!_isUnwinding && !Store.Contains(fd))
        {
            Release(fd);
        }
    }

    /// <summary>All descriptors of a process that is gone, but for what the manager keeps.</summary>
    public void CloseAll()
    {
        foreach (int fd in Descriptors.ToArray())
        {
            Close(fd);
        }
    }

    /// <summary>A socket of a program that is not ours.</summary>
    public int OpenForeign(NetlinkEnd end)
    {
        int fd = Open(end);
        _foreign.Add(fd);
        return fd;
    }

    /// <summary>Null: all of them.</summary>
    public void CloseForeign(int? one)
    {
        foreach (int fd in _foreign.Where(fd => fd == (one ?? fd)).ToArray())
        {
            _foreign.Remove(fd);
            Release(fd);
        }
    }

    public IEnumerable<int> Descriptors => _open.Keys.Except(_foreign);

    public void WakeSoon() =>
        WakeAt(BootTime + World.Dice.TimeOfAnyOrder(TimeSpan.FromMicroseconds(5), TimeSpan.FromMicroseconds(500)));

    public void WakeAt(TimeSpan bootTime)
    {
        TimeSpan at = bootTime > TimeSpan.MaxValue - TimeSpan.FromDays(1) ? TimeSpan.MaxValue : bootTime - BootOffset;
        if (at >= _wakeAt)
        {
            return;
        }
        _wakeAt = at;
        World.At(at, () =>
        {
            if (_wakeAt == at)
            {
                _wakeAt = TimeSpan.MaxValue;
                RunDaemon();
            }
        });
    }

    public void RunDaemon()
    {
        if (Daemon is DaemonProcess daemon && !IsStopped)
        {
            _stepsAtEvent = _steps;
            _ = Enter(daemon.Run);
        }
    }

    /// <summary>Runs code of its processes; false when the process crashed.</summary>
    public bool Enter(Action code)
    {
        Machine? before = t_current;
        t_current = this;
        try
        {
            code();
            return true;
        }
        catch (Crashed)
        {
            OnEnded(null);
            return false;
        }
        finally
        {
            _isUnwinding = false;
            t_current = before;
        }
    }

    /// <summary>A point at which the process may end.</summary>
    public void Step()
    {
        if (++_steps - _stepsAtEvent > StepsOfEvent)
        {
            throw World.Fail(this, "the process does not come to an end");
        }
        World.Now += TimeSpan.FromTicks(2);
        if (Overflows > 0 && --_overflowIn < 0)
        {
            Overflows--;
            _overflowIn = Dice.Next(40);
            Netlink.GetValueOrDefault(Daemon?.PortId ?? 0)?.Overflow();
        }
        if (!_isUnwinding && CrashIn > 0 && --CrashIn == 0)
        {
            Crash();
        }
    }

    /// <summary>One at which it may also be stopped: not between the look at the clock and the send.</summary>
    public void StepOrStop()
    {
        Step();
        if (!_isUnwinding && StopIn > 0 && --StopIn == 0)
        {
            World.Tell($"{Name} is stopped for {StopFor.TotalSeconds:0.000} s");
            Stops++;
            Stop(StopFor);
        }
    }

    public void Crash()
    {
        World.Tell($"{Name} crashes");
        CrashIn = StopIn = 0;
        DisturbedAt = World.Now;
        State?.Freeze();
        _isUnwinding = true;
        throw Crashed.Instance;
    }

    /// <summary>All others go on meanwhile.</summary>
    public void Stop(TimeSpan time)
    {
        (bool was, Machine? before) = (IsStopped, t_current);
        IsStopped = true;
        t_current = null;
        World.RunUntil(World.Now + time);
        t_current = before;
        IsStopped = was;
        if (time > TimeSpan.FromSeconds(1))
        {
            DisturbedAt = World.Now;
        }
        WakeSoon();
    }

    private void Release(int fd)
    {
        if (!_open.Remove(fd, out IReadable? what))
        {
            return;
        }
        switch (what)
        {
            case TcpPort { Port: not 0 } port: Ports.Remove(port.Port); break;
            case UdpEnd udp: Udp.Remove((udp.Family, udp.Port)); break;
            case NetlinkEnd end: end.Close(); break;
        }
    }
}

// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.Wire;

namespace Iwpmd.Simulation;

/// <summary>What a history has.</summary>
/// <param name="Phases">Times of turmoil, each followed by one of rest.</param>
/// <param name="Actions">In each of them.</param>
/// <param name="MostPause">Between two of them.</param>
/// <param name="MostGap">Behind a rest.</param>
internal sealed record Plot(int Phases, int Actions, TimeSpan MostPause, TimeSpan MostGap);

/// <summary>What programs, administrators and accidents do to the hosts of a history.</summary>
internal sealed partial class Story
{
    private static readonly TimeSpan s_rest = TimeSpan.FromSeconds(180);

    private readonly World _world;
    private readonly Plot _plot;
    private readonly List<Machine> _ours = [];
    private readonly HashSet<Machine> _usurped = [];
    private readonly Machine _theirs, _none;
    private readonly ForeignDaemon _foreign;
    private readonly double _faults;

    private Story(World world, Plot plot)
    {
        (_world, _plot) = (world, plot);
        int hosts = 2 + (Dice.Chance(0.3) ? 1 : 0);
        for (int i = 0; i < hosts; i++)
        {
            _ours.Add(Configure(NewMachine("host" + (char)('A' + i), i + 1)));
        }
        _theirs = NewMachine("theirs", 8);
        _foreign = new ForeignDaemon(_theirs);
        _theirs.Foreign = _foreign;
        _none = NewMachine("none", 9);
        for (ushort port = 5000; port < 5010; port++)
        {
            _foreign.Listeners[port] = (ushort)(61000 + port);
        }
        _faults = Dice.Of<double>([0, 0.02, 0.1, 0.3]);
    }

    private Dice Dice => _world.Dice;

    /// <exception cref="Violation">Something happened that must not.</exception>
    public static World Play(ulong seed, Plot plot, TextWriter? told)
    {
        var world = new World(seed, told);
        var story = new Story(world, plot);
        try
        {
            story.Play();
        }
        catch (Exception failure)
        {
            string what = failure is Violation ? failure.Message : failure.ToString();
            double at = (world.Now - TimeSpan.FromSeconds(1000)).TotalSeconds;
            throw new Violation($"seed {seed}, after {world.Events} events, at {at:0.000} s: {what}");
        }
        return world;
    }

    private void Play()
    {
        foreach (Machine machine in _ours)
        {
            machine.Start();
        }
        _world.RunUntil(_world.Now + TimeSpan.FromSeconds(2));
        for (int phase = 0; phase < _plot.Phases; phase++)
        {
            TimeSpan pause = Dice.TimeOfAnyOrder(TimeSpan.FromMilliseconds(1), _plot.MostPause);
            for (int i = 0; i < _plot.Actions; i++)
            {
                Act();
                _world.RunUntil(_world.Now + Dice.TimeOfAnyOrder(pause / 30, pause));
            }
            Rest();
            _world.RunUntil(_world.Now + Dice.TimeOfAnyOrder(TimeSpan.FromSeconds(1), _plot.MostGap));
        }
    }

    private Machine NewMachine(string name, int number)
    {
        InetEndpoint[] addresses =
            [InetEndpoint.Parse($"10.0.0.{number}:0"), InetEndpoint.Parse($"10.0.1.{number}:0"), InetEndpoint.Parse(
                $"[fd00::{number}]:0")];
        var machine = new Machine(_world, name, addresses);
        _world.Machines.Add(machine);
        return machine;
    }

    private Machine Configure(Machine machine)
    {
        machine.HasRealTicks = Dice.Chance(0.1) && _plot.MostGap < TimeSpan.FromHours(1);
        machine.HasStore = Dice.Chance(0.7);
        machine.MostMappings = Dice.Of<int>([16, 64, 64, 512]);
        machine.Range = new((ushort)40000, (ushort)(40000 + Dice.Of<int>([20, 100, 255, 999])));
        machine.Settings = new PortMapperSettings
        {
            KeptPorts = Dice.Chance(0.2) ? new PortSet([(5000, 5004)]) : PortSet.None,
            QueryDeadline = TimeSpan.FromMilliseconds(Dice.Of<int>([1000, 3000, 3000, 9000])),
        };
        machine.BufferBytes = Dice.Chance(0.1) ? Dice.Of<int>([24, 48, 96]) * 1024 : null;
        return machine;
    }

    private void Act()
    {
        if (Dice.Chance(_faults))
        {
            Disturb(Dice.Of(_ours));
            return;
        }
        Machine machine = Dice.Of(_ours);
        switch (Dice.Next(20))
        {
            case < 4: Listen(machine); break;
            case < 11: Connect(machine); break;
            case < 17: End(machine); break;
            case 17:
                for (int i = Dice.Next(30); i > 0; i--)
                {
                    Connect(machine);
                }
                break;
            case 18:
                InetEndpoint to = Dice.Of(machine.Addresses).WithPort((ushort)(5000 + Dice.Next(12)));
                _foreign.Ask(machine, to);
                break;
            case 19 when Dice.Chance(0.2):
                EndAll(machine);
                break;
        }
    }

    private void Listen(Machine machine)
    {
        bool isWildcard = Dice.Chance(0.3);
        InetEndpoint local = Dice.Of(machine.Addresses).WithPort((ushort)(5000 + Dice.Next(12)));
        local = isWildcard ? new InetEndpoint(local.Family, 0, 0, local.Port) : local;
        if (IsInUse(machine, local))
        {
            return;
        }
        bool noPortMap = Dice.Chance(0.1);
        for (int device = 0; device < (isWildcard && Dice.Chance(0.3) ? 2 : 1); device++)
        {
            Open(machine, new Endpoint(local, default, noPortMap, device));
        }
    }

    private void Connect(Machine machine)
    {
        Machine to = Dice.Of(_world.Machines);
        int which = Dice.Next(3);
        InetEndpoint remote = to.Addresses[which].WithPort((ushort)(5000 + Dice.Next(12)));
        List<Endpoint> listeners = to.Kernel.Endpoints.FindAll(
            one => one.IsListening && one.Local.Family == remote.Family);
        if (listeners.Count > 0 && Dice.Chance(0.8))
        {
            Endpoint listener = Dice.Of(listeners);
            remote = listener.Local.IsWildcard ? remote.WithPort(listener.Local.Port) : listener.Local;
        }
        InetEndpoint local = machine.Addresses[which].WithPort(
            (ushort)(Dice.Chance(0.02) ? 5000 + Dice.Next(12) : 20000 + Dice.Next(15000)));
        if (to != machine && !IsInUse(machine, local))
        {
            Open(machine, new Endpoint(local, remote, Dice.Chance(0.1), Dice.Next(2)));
        }
    }

    private static bool IsInUse(Machine machine, InetEndpoint local) =>
        machine.Kernel.Endpoints.Exists(one => one.Local.Port == local.Port && one.Local.Family == local.Family
            && (one.Local == local || one.Local.IsWildcard || local.IsWildcard)) || (machine.Ports.TryGetValue(
                local.Port, out object? owner) && owner is Machine);

    private static void Open(Machine machine, Endpoint endpoint)
    {
        if (machine.Kernel.IsLoaded)
        {
            machine.Kernel.Open(endpoint);
        }
    }

    private void End(Machine machine)
    {
        if (machine.Kernel.Endpoints.Count > 0)
        {
            machine.Kernel.End(Dice.Of(machine.Kernel.Endpoints));
        }
    }

    private static void EndAll(Machine machine)
    {
        foreach (Endpoint endpoint in machine.Kernel.Endpoints.ToArray())
        {
            machine.Kernel.End(endpoint);
        }
    }

    /// <summary>All that was done to the hosts ends; what is left of it must be over soon.</summary>
    private void Rest()
    {
        _world.Tell("rest");
        Settle();
        _world.RunUntil(_world.Now + TimeSpan.FromSeconds(45)); // what goes on still: a stop, a start, a reload
        Settle();
        foreach (Machine machine in _ours)
        {
            for (int more = machine.Kernel.Endpoints.Count - (Math.Min(
                machine.MostMappings, machine.Range.High - machine.Range.Low) / 2); more > 0; more--)
            {
                End(machine); // of a table that is nearly full health tells
            }
            if (_usurped.Remove(machine) || Dice.Chance(0.5))
            {
                Probe(machine);
            }
        }
        _world.RunUntil(_world.Now + s_rest);
        foreach (Machine machine in _ours)
        {
            Checks.AtRest(machine);
        }
    }

    private void Settle()
    {
        Network network = _world.Network;
        (network.Loss, network.Copies, network.MostDelay, network.IsAsymmetric) =
            (0, 0, TimeSpan.FromMilliseconds(1), false);
        network.CutOff.Clear();
        foreach (Machine machine in _ours)
        {
            (machine.CrashIn, machine.StopIn, machine.DescriptorLimit) = (0, 0, int.MaxValue);
            (machine.StopsAtRegistration, machine.Overflows) = (false, 0);
            machine.RestartAfter = TimeSpan.FromMilliseconds(100);
            EndForeign(machine);
            machine.Start();
        }
    }

    /// <summary>A kernel that took another process for its port mapper asks anew at the next listen only.</summary>
    private static void Probe(Machine machine)
    {
        var listener = new Endpoint(machine.Addresses[0].WithPort(4999), default, noPortMap: false, device: 0);
        machine.Kernel.Open(listener);
        machine.World.After(TimeSpan.FromSeconds(15), () => machine.Kernel.End(listener));
    }
}

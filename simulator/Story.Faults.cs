// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.Os;

namespace Iwpmd.Simulation;

// Accidents, and what is meant well.
internal sealed partial class Story
{
    private void Disturb(Machine machine)
    {
        switch (Dice.Next(19))
        {
            case 0:
            case 1:
                machine.RestartAfter = Dice.TimeOfAnyOrder(TimeSpan.FromMilliseconds(1), TimeSpan.FromSeconds(20));
                machine.CrashIn = 1 + Dice.Next(Dice.Of<int>([20, 200, 2000]));
                break;
            case 2:
                Kill(machine);
                break;
            case 3:
            case 4:
                machine.RestartAfter = Dice.TimeOfAnyOrder(TimeSpan.FromMilliseconds(1), TimeSpan.FromSeconds(5));
                machine.Daemon?.Ask(Ending.Orderly);
                break;
            case 5:
                machine.Daemon?.Ask(Ending.HandOver);
                break;
            case 6:
                machine.Daemon?.Ask(Ending.Aborted);
                machine.Overflows = Dice.Of<int>([0, 0, 1, 3]);
                break;
            case 7:
                machine.StopIn = 1 + Dice.Next(50);
                machine.StopFor = Dice.TimeOfAnyOrder(TimeSpan.FromMilliseconds(5), TimeSpan.FromSeconds(30));
                machine.StopsAtRegistration = Dice.Chance(0.3);
                break;
            case 8:
                Suspend(machine);
                break;
            case 9:
                OccupyPorts(machine);
                break;
            case 10:
                machine.DescriptorLimit = machine.Descriptors.Count() + Dice.Next(3);
                _world.After(
                    Dice.TimeOfAnyOrder(TimeSpan.FromMilliseconds(10), TimeSpan.FromSeconds(30)),
                    () => machine.DescriptorLimit = int.MaxValue);
                break;
            case 11:
            case 12:
                WorsenNetwork(machine);
                break;
            case 13:
                SayForeignHello(machine);
                break;
            case 14:
                if (machine.Kernel.TryReload(
                    Dice.TimeOfAnyOrder(TimeSpan.FromMilliseconds(10), TimeSpan.FromSeconds(5))))
                {
                    _usurped.Add(machine);
                }
                break;
            case 15:
                machine.MostMappings = Dice.Of<int>([16, 64, 512]);
                machine.Daemon?.Ask(Ending.Orderly);
                break;
            case 16:
                EndDevice(machine, Dice.Next(2));
                break;
            case 17:
                CrashTwice(machine);
                break;
            case 18:
                machine.Overflows = 1 + Dice.Next(3);
                break;
        }
    }

    private static void Kill(Machine machine)
    {
        if (machine.Daemon is not null && !machine.IsStopped)
        {
            _ = machine.Enter(machine.Crash);
        }
    }

    /// <summary>Processes are frozen first; threads of the kernel go on a little longer.</summary>
    private void Suspend(Machine machine)
    {
        machine.Stop(TimeSpan.FromMilliseconds(50));
        TimeSpan time = Dice.TimeOfAnyOrder(TimeSpan.FromSeconds(1), TimeSpan.FromDays(3));
        _world.Tell($"{machine.Name} was suspended for {time.TotalSeconds:0} s");
        machine.BootOffset += time;
        machine.DisturbedAt = _world.Now;
        machine.WakeSoon();
    }

    /// <summary>Again while it recovers.</summary>
    private void CrashTwice(Machine machine)
    {
        machine.RestartAfter = TimeSpan.FromMilliseconds(10);
        Kill(machine);
        _world.After(TimeSpan.FromMilliseconds(9), () => machine.CrashIn = 1 + Dice.Next(300));
    }

    /// <summary>Other programs take ports, some of them those of a daemon that is gone for a moment.</summary>
    private void OccupyPorts(Machine machine)
    {
        List<ushort> taken = [];
        for (int i = Dice.Next(40); i > 0; i--)
        {
            ushort port = (ushort)(machine.Range.Low + Dice.Next(machine.Range.High - machine.Range.Low + 1));
            if (machine.Ports.TryAdd(port, machine))
            {
                taken.Add(port);
            }
        }
        _world.After(Dice.TimeOfAnyOrder(TimeSpan.FromMilliseconds(100), TimeSpan.FromSeconds(40)), () => taken.ForEach(
            port => machine.Ports.Remove(port)));
    }

    private void WorsenNetwork(Machine machine)
    {
        Network network = _world.Network;
        network.Loss = Dice.Of<double>([0, 0.05, 0.3]);
        network.Copies = Dice.Of<double>([0, 0.1, 0.4]);
        network.MostDelay = Dice.TimeOfAnyOrder(TimeSpan.FromMilliseconds(1), TimeSpan.FromSeconds(2));
        network.IsAsymmetric = Dice.Chance(0.3);
        network.UnreachableCode = Dice.Of<int>([3, 3, 1, 13, -1]);
        if (Dice.Chance(0.3) && network.CutOff.Add(machine))
        {
            _world.After(
                Dice.Time(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(20)), () => network.CutOff.Remove(machine));
        }
    }

    /// <summary>It stays a while and answers nothing, or ends at once.</summary>
    private void SayForeignHello(Machine machine)
    {
        if (machine.Kernel.IsRegistering)
        {
            return; // our answer takes the place back, and nothing tells that it was taken: a known limit
        }
        _usurped.Add(machine);
        var end = new NetlinkEnd(machine, machine.NewPortId(), isMember: false, int.MaxValue);
        int fd = machine.OpenForeign(end);
        machine.Kernel.HearForeignHello(end);
        _world.After(
            Dice.TimeOfAnyOrder(TimeSpan.FromMilliseconds(1), TimeSpan.FromSeconds(60)),
            () => machine.CloseForeign(fd));
    }

    private static void EndForeign(Machine machine) => machine.CloseForeign(null);

    private static void EndDevice(Machine machine, int device)
    {
        foreach (Endpoint endpoint in machine.Kernel.Endpoints.FindAll(one => one.Device == device))
        {
            machine.Kernel.End(endpoint);
        }
    }
}

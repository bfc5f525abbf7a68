// SPDX-License-Identifier: MIT
using System.Collections.Concurrent;

namespace Iwpmd.Simulation;

/// <summary>Something happened that must not.</summary>
internal sealed class Violation(string text) : Exception(text);

/// <summary>The process would wait: its loop is left, and entered again later.</summary>
internal sealed class Idle : Exception
{
    public static readonly Idle Instance = new();
}

/// <summary>The process is gone in the middle of what it did.</summary>
internal sealed class Crashed : Exception
{
    public static readonly Crashed Instance = new();
}

/// <summary>
/// One history: its time, what is to happen when, and who is there. One thread, and all chance from the seed.
/// </summary>
internal sealed class World
{
    private readonly PriorityQueue<Action, (long, long)> _due = new();
    private long _order;

    /// <summary>What each thread plays.</summary>
    public static ConcurrentDictionary<System.Threading.Thread, World> Playing { get; } = new();

    public World(ulong seed, TextWriter? told)
    {
        (Seed, Told, Dice) = (seed, told, new Dice(seed));
        Network = new Network(this);
        Playing[System.Threading.Thread.CurrentThread] = this;
    }

    public ulong Seed { get; }

    /// <summary>Where the history is written to; null where nobody wants to see it.</summary>
    public TextWriter? Told { get; }

    public Dice Dice { get; }

    public Network Network { get; }

    public List<Machine> Machines { get; } = [];

    public TimeSpan Now { get; set; } = TimeSpan.FromSeconds(1000);

    public long Events { get; set; }

    public void At(TimeSpan at, Action action) => _due.Enqueue(action, (Math.Max(at.Ticks, Now.Ticks), _order++));

    public void After(TimeSpan time, Action action) => At(Now + time, action);

    /// <summary>Also called while a process of one machine is stopped, from within it.</summary>
    public void RunUntil(TimeSpan end)
    {
        while (_due.TryPeek(out _, out (long At, long) next) && next.At <= end.Ticks)
        {
            Action action = _due.Dequeue();
            Now = next.At > Now.Ticks ? new TimeSpan(next.At) : Now;
            Events++;
            action();
        }
        Now = end > Now ? end : Now;
    }

    public void Tell(string line) =>
        Told?.WriteLine($"{(Now - TimeSpan.FromSeconds(1000)).TotalSeconds,14:0.000000} {line}");

    public Violation Fail(Machine machine, string what)
    {
        Tell($"{machine.Name} VIOLATION {what}");
        return new Violation($"{machine.Name}: {what}");
    }
}

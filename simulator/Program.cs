// SPDX-License-Identifier: MIT
namespace Iwpmd.Simulation;

/// <summary>
/// simulator [--seconds N] [--seeds N] [--from N] [--jobs N] [--long|--mixed] [--first]: plays histories until the time
/// or the seeds are over, or the first violation is found, and says which ones had one; mixed: long ones for odd seeds.
/// simulator --seed N [--long]: prints one history.
/// simulator --recording FILE: whether kernel and rdma-core's daemon of the model say what real ones said, see
/// Recording and PeerRecording.
/// </summary>
public static class Program
{
    /// <summary>Of the machine, which may be busy.</summary>
    private static readonly TimeSpan s_mostOfEvent = TimeSpan.FromSeconds(20);

    private static readonly Plot s_short =
        new(Phases: 1, Actions: 150, MostPause: TimeSpan.FromSeconds(5), MostGap: TimeSpan.FromSeconds(10));
    private static readonly Plot s_long =
        new(Phases: 4, Actions: 60, MostPause: TimeSpan.FromHours(1), MostGap: TimeSpan.FromDays(10));

    public static int Main(string[] arguments) => Run(arguments, Console.Out);

    /// <summary>0 when no history had a violation.</summary>
    public static int Run(string[] arguments, TextWriter output)
    {
        bool isLong = Array.IndexOf(arguments, "--long") >= 0, isMixed = Array.IndexOf(arguments, "--mixed") >= 0;
        Plot PlotOf(ulong seed) => isLong || (isMixed && seed % 2 == 1) ? s_long : s_short;
        if (Read(arguments, "--seed", -1) is var seed and >= 0)
        {
            return Tell((ulong)seed, PlotOf((ulong)seed), output);
        }
        if (Array.IndexOf(arguments, "--recording") is var at and >= 0)
        {
            return Replay(arguments[at + 1], output);
        }
        long seconds = Read(arguments, "--seconds", long.MaxValue / TimeSpan.TicksPerSecond / 2);
        long seeds = Read(arguments, "--seeds", seconds < int.MaxValue ? long.MaxValue : 1000),
            from = Read(arguments, "--from", 0);
        Tally tally = Run(
            (ulong)from, (ulong)seeds, TimeSpan.FromSeconds(seconds),
            (int)Read(arguments, "--jobs", Environment.ProcessorCount), PlotOf,
            Array.IndexOf(arguments, "--first") >= 0 ? 1 : int.MaxValue);
        foreach (string violation in tally.Violations.Order().Take(20))
        {
            output.WriteLine(violation);
        }
        output.WriteLine(
            $"{tally.Seeds} histories, {tally.Events} events, {tally.Simulated.TotalDays:0} days in "
                + $"{tally.Took.TotalSeconds:0} s: {tally.Violations.Count} violations");
        return tally.Violations.Count == 0 && tally.Seeds > 0 ? 0 : 1;
    }

    /// <summary>What the histories of some seeds came to.</summary>
    internal static Tally Run(
        ulong from, ulong seeds, TimeSpan time, int jobs, Func<ulong, Plot> plotOf, int enough)
    {
        var tally = new Tally();
        long began = Environment.TickCount64, next = 0;
        void Work()
        {
            while (tally.Violations.Count < enough && TimeSpan.FromMilliseconds(Environment.TickCount64 - began) < time
                && (ulong)Interlocked.Increment(ref next) is var number && number <= seeds)
            {
                tally.Add(from + number - 1, plotOf(from + number - 1));
            }
        }
        System.Threading.Thread[] threads =
            [.. Enumerable.Range(0, jobs).Select(
                _ => new System.Threading.Thread(Work, 16 << 20) { IsBackground = true })];
        Array.ForEach(threads, thread => thread.Start());
        Array.ForEach(threads, thread => Await(thread, tally));
        tally.Took = TimeSpan.FromMilliseconds(Environment.TickCount64 - began);
        return tally;
    }

    /// <summary>A thread that comes to no end is left behind, which is a violation too.</summary>
    private static void Await(System.Threading.Thread thread, Tally tally)
    {
        (World? World, long Events) before = default;
        while (!thread.Join(s_mostOfEvent) && World.Playing.TryGetValue(thread, out World? world))
        {
            if (before == (world, world.Events))
            {
                tally.Add($"seed {world.Seed}, after {world.Events} events: the process does not come to an end");
                return;
            }
            before = (world, world.Events);
        }
        World.Playing.TryRemove(thread, out _);
    }

    private static int Tell(ulong seed, Plot plot, TextWriter output)
    {
        try
        {
            World world = Story.Play(seed, plot, output);
            output.WriteLine($"{world.Events} events, no violation");
            return 0;
        }
        catch (Violation violation)
        {
            output.WriteLine(violation.Message);
            return 1;
        }
    }

    private static int Replay(string path, TextWriter output)
    {
        try
        {
            output.WriteLine($"{Recording.Play(File.ReadLines(path))} messages of the kernel, as the model has them");
            output.WriteLine($"{PeerRecording.Play(File.ReadLines(path))} messages to peers, as the model has them");
            return 0;
        }
        catch (Violation violation)
        {
            output.WriteLine(violation.Message);
            return 1;
        }
    }

    private static long Read(string[] arguments, string name, long otherwise)
    {
        int at = Array.IndexOf(arguments, name);
        return at >= 0 ? long.Parse(arguments[at + 1]) : otherwise;
    }
}

internal sealed class Tally
{
    private readonly Lock _lock = new();

    public long Seeds { get; private set; }

    public long Events { get; private set; }

    public TimeSpan Simulated { get; private set; }

    public TimeSpan Took { get; set; }

    public List<string> Violations { get; } = [];

    internal void Add(string violation)
    {
        lock (_lock)
        {
            Violations.Add(violation);
        }
    }

    internal void Add(ulong seed, Plot plot)
    {
        string? violation = null;
        World? world = null;
        try
        {
            world = Story.Play(seed, plot, null);
        }
        catch (Violation found)
        {
            violation = found.Message;
        }
        lock (_lock)
        {
            Seeds++;
            Events += world?.Events ?? 0;
            Simulated += world is null ? TimeSpan.Zero : world.Now - TimeSpan.FromSeconds(1000);
            if (violation is not null)
            {
                Violations.Add(violation);
            }
        }
    }
}

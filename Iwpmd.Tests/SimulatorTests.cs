// SPDX-License-Identifier: MIT
using System.Text.RegularExpressions;
using Iwpmd.Tests.Support;
using Xunit;
using Xunit.Abstractions;

namespace Iwpmd.Tests;

/// <summary>Whole lives of hosts and daemons; see simulator/README.md.</summary>
public class SimulatorTests(ITestOutputHelper output)
{
    private const int Seeds = 1000;

    /// <summary>A history has 3000 events; a daemon that wakes without need has twenty times as many.</summary>
    private const int MostEvents = 5000 * Seeds;

    [Fact]
    public void No_history_of_these_seeds_has_a_violation_or_wakes_the_daemon_without_need()
    {
        var said = new StringWriter();
        int status = Simulation.Program.Run(["--seeds", $"{Seeds}"], said);
        output.WriteLine(said.ToString());
        Assert.True(status == 0, said.ToString());
        Match events = Regex.Match(said.ToString(), @"^(\d+) histories, (\d+) events", RegexOptions.Multiline);
        Assert.Equal(Seeds, int.Parse(events.Groups[1].Value));
        Assert.InRange(int.Parse(events.Groups[2].Value), Seeds, MostEvents);
    }

    public static TheoryData<string> Recordings => [.. Trace.Names];

    /// <summary>
    /// The kernel of the model is as a real one: what the lab recorded it says as well, byte by byte. The same of
    /// rdma-core's daemon and its peers, field by field.
    /// </summary>
    [Theory]
    [MemberData(nameof(Recordings))]
    public void What_a_real_kernel_and_a_real_peer_said_the_model_says(string trace)
    {
        var said = new StringWriter();
        string path = Repository.PathOf($"Iwpmd.Tests/Traces/{trace}.jsonl");
        int status = Simulation.Program.Run(["--recording", path], said);
        Assert.True(status == 0, said.ToString());
        string[] lines = said.ToString().Split('\n');
        Assert.StartsWith($"{Count(TraceDirection.KernelToDaemon)} messages of the kernel,", lines[0]);
        Assert.StartsWith($"{Count(TraceDirection.PeerOut)} messages to peers,", lines[1]);

        int Count(TraceDirection direction) => Trace.Read(trace).Messages.Count(one => one.Direction == direction);
    }

    /// <summary>An Ack for another port; an Accept that is missing; a REMOVE of another port.</summary>
    [Theory]
    [InlineData("a", "\"hex\": \"24000000bc", "\"hex\": \"24000000bd", "datagram 2")]
    [InlineData("b", "\"hex\": \"14000000", "\"-\": \"14000000", "before datagram 2")]
    [InlineData("a", "\"ops\": [\"NLMSG_DONE\"], \"hex\": \"14", "\"ops\": [], \"hex\": \"15", "message 2")]
    public void A_recording_that_nobody_can_have_made_is_noticed(string host, string was, string becomes, string where)
    {
        string recorded = File.ReadAllText(Repository.PathOf($"Iwpmd.Tests/Traces/map/s01-v4-wildcard.{host}.jsonl"));
        Assert.Contains(was, recorded);
        using var folder = new TemporaryDirectory();
        string path = folder["changed.jsonl"];
        File.WriteAllText(path, recorded.Replace(was, becomes));
        var said = new StringWriter();
        Assert.Equal(1, Simulation.Program.Run(["--recording", path], said));
        Assert.Contains(where, said.ToString());
    }

    [Fact]
    public void A_seed_is_always_the_same_history()
    {
        string[] histories = [Tell(), Tell()];
        Assert.Equal(histories[0], histories[1]);
        Assert.Contains("events, no violation", histories[0]);
        Assert.Contains("QUERY", histories[0]);
    }

    /// <summary>simulator/plant changes these lines in a copy of the sources.</summary>
    [Fact]
    public void Each_planted_fault_has_one_place()
    {
        string sources = string.Concat(
            Repository.Sources("Iwpmd").Select(path => File.ReadAllText(Repository.PathOf(path))));
        string[] faults = File.ReadAllLines(Repository.PathOf("simulator/faults"));
        List<List<string>> places = [];
        for (int i = 1; i < faults.Length; i++)
        {
            if (faults[i].StartsWith("- ", StringComparison.Ordinal))
            {
                if (!faults[i - 1].StartsWith("- ", StringComparison.Ordinal))
                {
                    places.Add([]);
                }
                places[^1].Add(faults[i][2..]);
            }
        }
        Assert.True(places.Count > 40, $"{places.Count} faults");
        Assert.All(places, place => Assert.Equal(2, sources.Split(string.Join('\n', place)).Length));
    }

    private static string Tell()
    {
        var said = new StringWriter();
        _ = Simulation.Program.Run(["--seed", "2"], said);
        return said.ToString();
    }
}

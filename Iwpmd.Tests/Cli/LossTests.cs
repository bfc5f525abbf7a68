// SPDX-License-Identifier: MIT
using System.Text.Json;
using Iwpmd.Cli;
using Iwpmd.Core;
using Iwpmd.Daemon;
using Iwpmd.State;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Cli;

/// <summary>
/// Whatever a user lost through this host makes it degraded, with the cause, until a minute has passed without more of
/// it.
/// </summary>
public class LossTests
{
    /// <summary>Each cause, and what brings it about.</summary>
    private static readonly Dictionary<LossCause, Func<World>> s_scenes = new()
    {
        [LossCause.NoFreePort] = () =>
            After(world => world.Ports.Refusal = ClaimResult.NoneFree, world => world.Add("10.0.0.1:5000")),
        [LossCause.NoDescriptor] = () =>
            After(world => world.Ports.Refusal = ClaimResult.NoDescriptor, world => world.Query(
                "10.0.0.1:5000", "10.0.0.2:80")),
        [LossCause.NoSocket] = () =>
            After(world => world.Ports.Refusal = ClaimResult.Failed, world => world.Add("10.0.0.1:5000")),
        [LossCause.TableFull] = () => After(
            world => Repeat(256, i => world.Add($"10.0.0.1:{5000 + i}", flags: 1)), world => world.Add("10.0.0.1:80")),
        [LossCause.TooManyQueries] = () =>
            After(world => Repeat(32, i => world.Query($"10.0.0.1:{5000 + i}", "10.0.0.2:80")), world => world.Query(
                "10.0.0.1:80", "10.0.0.2:80")),
        [LossCause.Deferred] = () => After(
            world => world.Mapper.Start(world.Now), world => Repeat(16385, _ => world.Add("10.0.0.1:5000"))),
        [LossCause.TooOld] = () => After(world => world.Add("10.0.0.1:5000", age: TimeSpan.FromSeconds(10))),
        [LossCause.Undelivered] = () =>
            After(world => world.Add("10.0.0.1:5000"), world => world.Mapper.OnSent(
                world.LastToKernel, new SendResult(Delivery.Refused, -22), world.Now)),
        [LossCause.Overrun] = () => After(world => world.Mapper.OnOverrun(world.Now), world => world.Introduce()),
        [LossCause.RegistrationHijack] = () => After(
            world => world.Mapper.OnSent(
                new KernelReply { Kind = KernelReplyKind.RegisterPid, Client = 2 },
                new SendResult(Delivery.Refused, -22), world.Now), world => world.Introduce()),
        [LossCause.Malformed] = () =>
            After(world => world.FromKernel(
                new KernelRequest { Operation = KernelOperation.Malformed, Client = 2, Sequence = 9 })),
        [LossCause.PeersNotServed] = () => After(
            world => Repeat(1100, i => world.Request("10.0.0.9:3935", "10.0.0.9:80", "10.0.0.1:5000", (ulong)i + 1)),
            world => world.Pass(TimeSpan.FromSeconds(10))),
        [LossCause.PeersNotTold] = () => After(world => world.Add("10.0.0.1:5000"), Tell),
        [LossCause.NotProtected] = Unprotected,
        [LossCause.PeersNotAnswered] = () => After(world => world.Mapper.CountUnsentAccept(world.Now)),
        [LossCause.NotKept] = NotKept,
    };

    public static TheoryData<string> Causes => [.. Enum.GetNames<LossCause>()];

    private static World After(params Action<World>[] steps)
    {
        var world = new World();
        Array.ForEach(steps, step => step(world));
        return world;
    }

    private static void Repeat(int times, Action<int> action) => Enumerable.Range(0, times).ToList().ForEach(action);

    /// <summary>More peers at once than the kernel shall hear of.</summary>
    private static void Tell(World world)
    {
        for (int i = 0; world.Counter(Counter.RemoteInfosDropped) == 0; i++)
        {
            string peer = $"10.{1 + (i >> 8)}.{i & 255}.1";
            world.Request($"{peer}:3935", $"{peer}:80", "10.0.0.1:5000");
            ushort mapped = world.Row("10.0.0.1:5000").MappedPort;
            world.FromPeer($"{peer}:3935", new PeerMessage(
                PeerMessageType.Ack, 77, InetEndpoint.Parse($"{peer}:80"), InetEndpoint.Parse($"10.0.0.1:{mapped}"),
                default));
        }
    }

    /// <summary>A restart at the limit of descriptors.</summary>
    private static World Unprotected()
    {
        World before = After(world => world.Add("10.0.0.1:5000"));
        var after = new World(state: before.State, handshake: false);
        after.Ports.Refusal = ClaimResult.NoDescriptor;
        after.Mapper.Restore(after.Now);
        after.Ports.Refusal = null;
        after.Pass(TimeSpan.FromSeconds(2)); // tried again
        after.Introduce();
        return after;
    }

    private static World NotKept()
    {
        var world = new World(settings: new PortMapperSettings { KeptPorts = new PortSet([(4420, 4420)]) });
        world.Ports.Taken.Add(4420);
        world.Add("10.0.0.1:4420");
        return world;
    }

    private static Health HealthOf(World world)
    {
        (world.State.Header.StartedAt, world.State.Header.SeenEmptyAt) =
            (TimeSpan.FromSeconds(1000), world.Now);
        return Health.Of(Stage.Read(world), default);
    }

    [Theory]
    [MemberData(nameof(Causes))]
    public void A_loss_degrades_health_for_a_minute(string name)
    {
        LossCause cause = Enum.Parse<LossCause>(name);
        World world = s_scenes[cause]();
        LossWords words = LossWords.All.Single(one => one.Cause == cause);

        Health health = HealthOf(world);
        Assert.Equal((1, "degraded"), (health.ExitStatus, health.Name));
        string problem = Assert.Single(health.Problems, problem => problem.Contains(
            $" ago: {words.Reason}: {words.Remedy}", StringComparison.Ordinal));
        Assert.StartsWith($"{words.Describe(world.State.Health.Losses[(int)cause].Count)} ", problem);
        Assert.StartsWith("degraded: serving ", ServiceStatus.Describe(world.State.Health, 0, world.Now));
        using JsonDocument json = JsonDocument.Parse(Stage.Json(new Status(), Stage.Read(world)).Text);
        Assert.Contains(
            words.Name,
            json.RootElement.GetProperty("losses").EnumerateArray().Select(
                loss => loss.GetProperty("cause").GetString()));
        Assert.Contains(
            $"\niwpmd_recent_losses{{cause=\"{words.Name}\"}} {world.State.Health.Losses[(int)cause].Count}\n",
            Metrics(world));
        Assert.Contains("\niwpmd_healthy 0\n", Metrics(world));

        world.Now = world.State.Health.Losses[(int)cause].LastAt + TimeSpan.FromSeconds(59);
        Assert.Contains(HealthOf(world).Problems, problem => problem.Contains(words.Reason, StringComparison.Ordinal));
        world.Now += TimeSpan.FromSeconds(1);
        Assert.DoesNotContain(
            HealthOf(world).Problems, problem => problem.Contains(words.Reason, StringComparison.Ordinal));
        Assert.Equal("serving 0 mappings", ServiceStatus.Describe(world.State.Health, 0, world.Now));
        Assert.Contains($"\niwpmd_recent_losses{{cause=\"{words.Name}\"}} 0\n", Metrics(world));
    }

    [Fact]
    public void Every_cause_has_words_of_its_own()
    {
        Assert.Equal(Enum.GetValues<LossCause>(), LossWords.All.Select(words => words.Cause));
        Assert.Equal(LossWords.All.Length, LossWords.All.Select(words => words.Name).Distinct().Count());
    }

    [Fact]
    public void The_first_line_has_cause_count_and_time()
    {
        World world = After(world => world.Ports.Refusal = ClaimResult.NoneFree, world => world.Add("10.0.0.1:5000"));
        Assert.Equal(
            "degraded: 1 request of the kernel refused 0.0 s ago: no TCP port was free: widen port_range",
            HealthOf(world).Sentence);
        for (int i = 0; i < 3; i++)
        {
            world.Now += TimeSpan.FromSeconds(59);
            world.Add("10.0.0.1:5000");
        }
        world.Now += TimeSpan.FromSeconds(5);
        Assert.Equal(
            "degraded: 4 requests of the kernel refused in 3 min, the last 5.0 s ago: no TCP port was free: "
                + "widen port_range",
            HealthOf(world).Sentence);
        world.Now += TimeSpan.FromMinutes(1);
        world.Add("10.0.0.1:5000"); // what was before the minute's rest does not count
        Assert.StartsWith("degraded: 1 request of ", HealthOf(world).Sentence);
    }

    [Fact]
    public void Refusals_that_the_protocol_wants_are_no_loss()
    {
        World world = After(
            world => world.Add("10.0.0.1:5000"), world => world.Add("10.0.0.1:5000"),
            world => world.Query("0.0.0.0:5001", "10.0.0.2:80"), world => world.Query("10.0.0.1:5002", "[fd00::2]:80"));
        Assert.Equal((3ul, "healthy"), (world.Counter(Counter.Refused), HealthOf(world).Name));
    }

    private static string Metrics(World world)
    {
        var text = new StringWriter();
        Iwpmd.Cli.Metrics.Write(Stage.Read(world), DateTime.UnixEpoch, text);
        return text.ToString();
    }
}

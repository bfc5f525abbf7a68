// SPDX-License-Identifier: MIT
using System.Text;
using System.Text.Json;
using Iwpmd.Cli;
using Iwpmd.Core;
using Iwpmd.State;
using Iwpmd.Wire;

namespace Iwpmd.Tests.Support;

/// <summary>A state made by a separate port mapper, and what the commands print of it.</summary>
internal static class Stage
{
    private const long ProcessId = 4711;

    /// <summary>Mappings of every kind, peers that answered and one that did not, a fallback.</summary>
    public static World Busy()
    {
        var world = new World();
        ref StateHeader header = ref world.State.Header;
        (header.StartedAt, header.ProcessId) = (world.Now, ProcessId);
        using (var health = new RowChange<HealthRow>(ref world.State.Health))
        {
            (health.Row.Origin, health.Row.Restored, health.Row.RestoredOf) = (StateOrigin.Restored, 3, 3);
            (health.Row.LowestPort, health.Row.HighestPort) = (40000, 49999);
        }
        world.Add("10.0.0.1:5000");
        world.Add("[fd00::1]:5000");
        world.Add("0.0.0.0:5001", flags: 1);
        world.Query("10.0.0.1:40500", "10.0.0.2:7174", sequence: 21);
        world.Now += TimeSpan.FromMilliseconds(1.5);
        world.Answer(PeerMessageType.Accept, 41000);
        world.Query("10.0.0.1:40501", "10.0.0.2:9999", sequence: 22);
        world.Now += TimeSpan.FromMilliseconds(0.5);
        world.Answer(PeerMessageType.Reject);
        world.Query("10.0.0.1:40502", "10.0.0.7:7174", sequence: 23);
        world.Unreachable("10.0.0.7:3935", 3);
        world.Pass(TimeSpan.FromMinutes(2));
        world.Add("10.0.0.1:5002");
        world.Pass(TimeSpan.FromSeconds(3));
        header.SeenEmptyAt = world.Now - TimeSpan.FromSeconds(1);
        return world;
    }

    public static StateReading Read(World world, DaemonCondition condition = DaemonCondition.Running)
    {
        StateLayout memory = StateLayout.InMemory(StateSnapshot.CapacityFor(world.State.Geometry), World.Identity);
        Assert(StateSnapshot.TryTake(world.State.Bytes, world.State.Geometry, memory, out StateSnapshot? copy));
        return new StateReading(condition, copy, null, (int)ProcessId, world.Now);
    }

    public static StateReading Missing(DaemonCondition condition, string problem, int process = 0) =>
        new(condition, null, problem, process, TimeSpan.FromSeconds(1000));

    public static (int Status, string Text) Text(
        IView view, StateReading reading, int width = int.MaxValue, bool inColour = false)
    {
        var text = new StringWriter();
        int status = view.Show(reading, new TextOutput(text, width, inColour));
        return (status, text.ToString());
    }

    /// <summary>Indented, so that a golden shows the schema.</summary>
    public static (int Status, string Text) Json(IView view, StateReading reading)
    {
        using var stream = new MemoryStream();
        using var json = new Utf8JsonWriter(stream);
        int status = view.Show(reading, json);
        json.Flush();
        using JsonDocument document = JsonDocument.Parse(Encoding.UTF8.GetString(stream.ToArray()));
        return (status, JsonSerializer.Serialize(
            document.RootElement, new JsonSerializerOptions { WriteIndented = true }));
    }

    public static ViewOptions Options(string? address = null, int? port = null) =>
        new(null, false, null, address is null ? null : InetEndpoint.Of(System.Net.IPAddress.Parse(address), 0),
            (ushort?)port);

    private static void Assert(bool isTrue) => Xunit.Assert.True(isTrue);
}

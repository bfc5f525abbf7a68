// SPDX-License-Identifier: MIT
using System.Text.Json;
using Iwpmd.Core;
using Iwpmd.Daemon;
using Iwpmd.Os;
using Iwpmd.State;

namespace Iwpmd.Cli;

/// <summary><c>iwpmd status</c>: is port mapping working? One screen, the answer first.</summary>
internal sealed class Status(Func<RdmaDevice[]> readDevices) : IView
{
    public Status()
        : this(() => RdmaDevices.Read())
    {
    }

    public int Show(StateReading reading, TextOutput page)
    {
        Health health = Health.Of(reading);
        Colour colour = health.Severity switch
        {
            Severity.Healthy => Colour.Green,
            Severity.NotRunning => Colour.Red,
            _ => Colour.Yellow,
        };
        page.Line(health.Sentence, colour);
        for (int i = 1; i < health.Problems.Length; i++) // the sentence has the first one
        {
            page.Line($"problem    {health.Problems[i]}", colour);
        }
        if (reading.State is StateSnapshot state)
        {
            ShowDaemon(reading, state, page);
            ShowWork(reading, state, page);
        }
        DeviceState[] devices = DeviceStates.Of(readDevices(), reading);
        foreach (DeviceState device in devices)
        {
            page.Line($"device     {device}");
        }
        if (devices.Length == 0 && reading.IsDaemonThere)
        {
            page.Line("device     none: without an iWARP device this host does not need iwpmd");
        }
        return health.ExitStatus;
    }

    public int Show(StateReading reading, Utf8JsonWriter json)
    {
        Health health = Health.Of(reading);
        Json.Begin(json, reading);
        json.WriteString("health"u8, health.Name);
        json.WriteString("summary"u8, health.Sentence);
        json.WriteStartArray("problems"u8);
        foreach (string problem in health.Problems)
        {
            json.WriteStringValue(problem);
        }
        json.WriteEndArray();
        if (reading.State is StateSnapshot state)
        {
            StatusJson.Write(json, reading, state);
        }
        StatusJson.WriteDevices(json, DeviceStates.Of(readDevices(), reading));
        json.WriteEndObject();
        return health.ExitStatus;
    }

    /// <summary>
    /// By what holds each port: held, advertised, fallback, unprotected; null: left by a daemon that is gone.
    /// </summary>
    public static int CountMappings(StateReading reading, MappingState? kind, out long references)
    {
        int count = 0;
        references = 0;
        foreach (ref readonly MappingRow row in reading.State!.Mappings)
        {
            bool counts = Mappings.StateOf(reading, row) == kind;
            count += counts ? 1 : 0;
            references += counts ? row.References : 0;
        }
        return count;
    }

    public static string Origin(in HealthRow health) => health.Origin switch
    {
        StateOrigin.Fresh => "fresh",
        StateOrigin.TakenOver => $"taken over from the previous daemon: {health.Restored} of {health.RestoredOf}",
        _ => $"restored: {health.Restored} of {health.RestoredOf}",
    };

    private static void ShowDaemon(StateReading reading, StateSnapshot state, TextOutput page)
    {
        ref readonly StateHeader header = ref state.Header;
        string uptime = Format.Duration(StateTime.Since(header.StartedAt, reading.Now));
        page.Line("");
        page.Line(reading.IsDaemonThere
            ? $"daemon     version {state.Build}, process {reading.ProcessId}, up {uptime}, heartbeat "
                + $"{Format.Duration(reading.SinceHeartbeat)} ago"
            : $"daemon     version {state.Build}, process {header.ProcessId}, started {uptime} ago");
        page.Line($"state      {Origin(state.Health)}");
        if (state.Health.ConfiguredAt != TimeSpan.Zero)
        {
            TimeSpan since = StateTime.Since(state.Health.ConfiguredAt, reading.Now);
            page.Line($"config     read {Format.Duration(since)} ago");
        }
        for (int i = 0; reading.IsDaemonThere && i < state.Clients.Length; i++)
        {
            ref readonly ClientRow client = ref state.Clients[i];
            if (client.Abi != 0 || client.IsRegistered)
            {
                string registration = !client.IsRegistered ? "not registered yet"
                    : $"device {client.Device} ({client.Interface}), library {client.Library}";
                page.Line($"kernel     client {i}, ABI {client.Abi}, {registration}");
            }
        }
    }

    private static void ShowWork(StateReading reading, StateSnapshot state, TextOutput page)
    {
        List<string> kinds = [];
        long references = 0;
        foreach (MappingState? kind in reading.IsDaemonThere ? Mappings.StatesOfRunning : [null])
        {
            kinds.Add($"{CountMappings(reading, kind, out long some)} {Mappings.NameOf(kind)}");
            references += some;
        }
        HealthRow health = state.Health;
        page.Line(
            $"mappings   {state.Mappings.Length} of {state.Capacity}: {string.Join(", ", kinds)}; "
                + Format.Count((int)references, "reference"));
        string used = $"{Health.PortsUsed(reading)} of {Health.PortsInAll(health)} used";
        string reserved = health.ReservedPorts == 0 ? "" : $", {health.ReservedPorts} of them reserved";
        page.Line($"ports      {used}, {health.LowestPort} to {health.HighestPort}{reserved}");
        page.Line(
            $"requests   {state.Counter(Counter.Adds)} ADD, {state.Counter(Counter.Queries)} QUERY, "
                + $"{state.Counter(Counter.Removes)} REMOVE; "
            + $"{state.Counter(Counter.Refused)} refused, {state.Counter(Counter.TooOld)} too old, "
            + $"{state.Counter(Counter.Undelivered)} undelivered, {state.Counter(Counter.KernelOverruns)} overruns");
        page.Line(
            $"queries    {state.Counter(Counter.QueriesAccepted)} accepted, "
                + $"{state.Counter(Counter.QueriesRejected)} rejected, {state.Counter(Counter.QueriesUnreachable)} "
                + "unreachable, "
            + $"{state.Counter(Counter.QueriesUnanswered)} unanswered, {state.Counter(Counter.QueriesRemembered)} "
            + "not asked again");
        page.Line(
            $"asked      {state.Counter(Counter.PeerRequests)} by peers: {state.Counter(Counter.AcceptsSent)} "
                + $"accepted, {state.Counter(Counter.RejectsSent)} rejected; {state.Counter(Counter.PeerDropped)} "
                + "messages dropped");
    }
}

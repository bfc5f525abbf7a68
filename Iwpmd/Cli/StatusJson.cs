// SPDX-License-Identifier: MIT
using System.Text.Json;
using Iwpmd.Core;
using Iwpmd.State;
using Iwpmd.Wire;

namespace Iwpmd.Cli;

/// <summary>The part of <c>iwpmd status --json</c> that comes from the state.</summary>
internal static class StatusJson
{
    public static void Write(Utf8JsonWriter json, StateReading reading, StateSnapshot state)
    {
        ref readonly StateHeader header = ref state.Header;
        HealthRow health = state.Health;
        Json.Name(json, "version"u8, state.Build);
        json.WriteNumber("pid"u8, reading.IsDaemonThere ? reading.ProcessId : header.ProcessId);
        Json.Seconds(json, "started_seconds"u8, StateTime.Since(header.StartedAt, reading.Now));
        Json.Seconds(json, "heartbeat_seconds"u8, reading.SinceHeartbeat);
        Json.Seconds(
            json, "stopped_seconds"u8,
            header.EndedAt == TimeSpan.Zero ? null : StateTime.Since(header.EndedAt, reading.Now));
        json.WriteString(
            "origin"u8,
            health.Origin switch
            {
                StateOrigin.Fresh => "fresh"u8,
                StateOrigin.TakenOver => "taken_over"u8,
                _ => "restored"u8,
            });
        json.WriteNumber("restored"u8, health.Restored);
        json.WriteNumber("restored_of"u8, health.RestoredOf);
        Json.Seconds(
            json, "configured_seconds"u8,
            health.ConfiguredAt == TimeSpan.Zero ? null : StateTime.Since(health.ConfiguredAt, reading.Now));
        json.WriteString("kernel"u8, NameOf(reading.IsDaemonThere ? health.Kernel : HandshakeState.None));
        WriteClients(json, reading, state);
        WriteMappings(json, reading, state);
        json.WriteStartObject("ports"u8);
        json.WriteNumber("low"u8, health.LowestPort);
        json.WriteNumber("high"u8, health.HighestPort);
        json.WriteNumber("used"u8, Health.PortsUsed(reading));
        json.WriteNumber("total"u8, Health.PortsInAll(health));
        json.WriteNumber("reserved"u8, health.ReservedPorts);
        json.WriteEndObject();
        WriteLosses(json, health, reading.Now);
        WriteLastFallback(json, health, reading.Now);
        json.WriteStartObject("counters"u8);
        foreach (CounterName counter in Counters.All)
        {
            json.WriteNumber(counter.Json, state.Counter(counter.Counter));
        }
        json.WriteEndObject();
    }

    public static void WriteDevices(Utf8JsonWriter json, DeviceState[] devices)
    {
        json.WriteStartArray("devices"u8);
        foreach (DeviceState one in devices)
        {
            json.WriteStartObject();
            json.WriteString("device"u8, one.Device.Name);
            json.WriteString("driver"u8, one.Device.Driver);
            json.WriteString("interface"u8, one.Device.Interface);
            json.WriteStartArray("addresses"u8);
            Array.ForEach(one.Device.Addresses, address => json.WriteStringValue(address.AddressText()));
            json.WriteEndArray();
            json.WriteString("state"u8, one.State); // null as well
            if (one.State is null)
            {
                json.WriteNull("mappings"u8);
            }
            else
            {
                json.WriteNumber("mappings"u8, one.Mappings);
            }
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }

    private static string NameOf(HandshakeState kernel) => kernel switch
    {
        HandshakeState.HelloSent or HandshakeState.MapInfoSent => "handshake",
        HandshakeState.Ready => "ready",
        HandshakeState.Unusable => "unusable",
        HandshakeState.Unanswered => "unanswered",
        _ => "none",
    };

    private static void WriteClients(Utf8JsonWriter json, StateReading reading, StateSnapshot state)
    {
        json.WriteStartArray("clients"u8);
        for (int i = 0; i < state.Clients.Length; i++)
        {
            ref readonly ClientRow client = ref state.Clients[i];
            if (client.Abi == 0 && !client.IsRegistered)
            {
                continue;
            }
            json.WriteStartObject();
            json.WriteNumber("client"u8, i);
            json.WriteNumber("abi"u8, client.Abi);
            json.WriteBoolean("registered"u8, reading.IsDaemonThere && client.IsRegistered);
            Json.Name(json, "device"u8, client.Device);
            Json.Name(json, "interface"u8, client.Interface);
            Json.Name(json, "library"u8, client.Library);
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }

    private static void WriteMappings(Utf8JsonWriter json, StateReading reading, StateSnapshot state)
    {
        json.WriteStartObject("mappings"u8);
        json.WriteNumber("count"u8, state.Mappings.Length);
        json.WriteNumber("capacity"u8, state.Capacity);
        json.WriteNumber("unreadable"u8, state.Unreadable);
        long references = 0;
        foreach (MappingState? kind in Mappings.States)
        {
            json.WriteNumber(Mappings.NameOf(kind), Status.CountMappings(reading, kind, out long some));
            references += some;
        }
        json.WriteNumber("references"u8, references);
        json.WriteEndObject();
    }

    private static void WriteLosses(Utf8JsonWriter json, in HealthRow health, TimeSpan now)
    {
        json.WriteStartArray("losses"u8);
        foreach (LossWords words in LossWords.All)
        {
            LossRow loss = health.Losses[(int)words.Cause];
            if (loss.IsRecent(now))
            {
                json.WriteStartObject();
                json.WriteString("cause"u8, words.Name);
                json.WriteNumber("count"u8, loss.Count);
                Json.Seconds(json, "since_seconds"u8, StateTime.Since(loss.Since, now));
                Json.Seconds(json, "last_seconds"u8, StateTime.Since(loss.LastAt, now));
                json.WriteEndObject();
            }
        }
        json.WriteEndArray();
    }

    private static void WriteLastFallback(Utf8JsonWriter json, in HealthRow health, TimeSpan now)
    {
        if (health.LastFallbackCause == FallbackCause.None)
        {
            json.WriteNull("last_fallback"u8);
            return;
        }
        json.WriteStartObject("last_fallback"u8);
        json.WriteString("peer"u8, health.LastFallbackPeer.AddressText());
        json.WriteString("cause"u8, FallbackWords.NameOf(health.LastFallbackCause));
        Json.Cause(json, "remembered_cause"u8, health.RememberedCause);
        Json.Seconds(json, "seconds"u8, StateTime.Since(health.LastFallbackAt, now));
        json.WriteEndObject();
    }
}

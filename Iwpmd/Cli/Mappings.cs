// SPDX-License-Identifier: MIT
using System.Globalization;
using System.Text.Json;
using Iwpmd.Core;
using Iwpmd.State;
using Iwpmd.Wire;

namespace Iwpmd.Cli;

/// <summary>
/// <c>iwpmd mappings</c>: the table, in order of the local addresses. It is what the state says, also when the daemon
/// is busy or dead.
/// </summary>
internal sealed class Mappings(ViewOptions options) : IView
{
    /// <summary>
    /// How a port can be held while a daemon runs; null: not any more, left by a daemon that is gone.
    /// </summary>
    public static readonly MappingState?[] StatesOfRunning =
        [MappingState.Held, MappingState.Advertised, MappingState.Fallback, MappingState.Unprotected],
        States = [.. StatesOfRunning, null];

    public int Show(StateReading reading, TextOutput page)
    {
        if (!View.TryBeginTable(reading, page, out StateSnapshot? state))
        {
            return View.StatusOf(reading);
        }
        int[] rows = Select(state);
        new Table("LOCAL", "MAPPED", "STATE", "REFS", "CLIENT", "AGE", "IDLE", "FOR", "FLAGS")
            .Write(page, rows.Length, row => Cells(reading, state, rows[row]));
        return View.StatusOf(reading);
    }

    public int Show(StateReading reading, Utf8JsonWriter json)
    {
        Json.Begin(json, reading);
        json.WriteStartArray("mappings"u8);
        foreach (int i in reading.State is null ? [] : Select(reading.State))
        {
            Write(json, reading, reading.State!.Mappings[i]);
            Json.FlushSome(json);
        }
        json.WriteEndArray();
        json.WriteEndObject();
        return View.StatusOf(reading);
    }

    public static MappingState? StateOf(StateReading reading, in MappingRow row) =>
        reading.IsDaemonThere ? row.State : null;

    public static string NameOf(MappingState? state) => state switch
    {
        MappingState.Held => "held",
        MappingState.Advertised => "advertised",
        MappingState.Fallback => "fallback",
        null => "left",
        _ => "unprotected",
    };

    private static string NameOf(MappingPurpose purpose) => purpose switch
    {
        MappingPurpose.Listening => "listening",
        MappingPurpose.Connecting => "connecting",
        _ => "unknown",
    };

    private int[] Select(StateSnapshot state)
    {
        int[] rows = new int[state.Mappings.Length];
        int count = 0;
        for (int i = 0; i < rows.Length; i++)
        {
            ref readonly MappingRow row = ref state.Mappings[i];
            if (View.Fits(options, row.Local)
                && (options.Port is not ushort port || row.Local.Port == port || row.MappedPort == port))
            {
                rows[count++] = i;
            }
        }
        return rows[..count];
    }

    private static string[] Cells(StateReading reading, StateSnapshot state, int index)
    {
        TimeSpan now = reading.Now;
        ref readonly MappingRow row = ref state.Mappings[index];
        FixedName device = state.Clients[row.Client].Device;
        return
        [
            row.Local.ToString(),
            row.Mapped.ToString(),
            NameOf(StateOf(reading, row)),
            row.References.ToString(CultureInfo.InvariantCulture),
            device.Text.IsEmpty ? row.Client.ToString(CultureInfo.InvariantCulture) : $"{row.Client} ({device})",
            Format.Duration(StateTime.Since(row.CreatedAt, now)),
            Format.Duration(StateTime.Since(row.LastChangedAt, now)),
            row.Purpose == MappingPurpose.Unknown ? "-" : NameOf(row.Purpose),
            row.Flags.ToString(CultureInfo.InvariantCulture),
        ];
    }

    private static void Write(Utf8JsonWriter json, StateReading reading, in MappingRow row)
    {
        TimeSpan now = reading.Now;
        json.WriteStartObject();
        json.WriteString("local"u8, row.Local.ToString());
        json.WriteString("mapped"u8, row.Mapped.ToString());
        json.WriteString("state"u8, NameOf(StateOf(reading, row)));
        json.WriteBoolean("protected"u8, StateOf(reading, row) == MappingState.Held);
        json.WriteString("purpose"u8, NameOf(row.Purpose));
        json.WriteNumber("references"u8, row.References);
        json.WriteNumber("client"u8, row.Client);
        Json.Name(json, "device"u8, reading.State!.Clients[row.Client].Device);
        json.WriteNumber("flags"u8, row.Flags);
        Json.Seconds(json, "age_seconds"u8, StateTime.Since(row.CreatedAt, now));
        Json.Seconds(json, "idle_seconds"u8, StateTime.Since(row.LastChangedAt, now));
        json.WriteEndObject();
    }
}

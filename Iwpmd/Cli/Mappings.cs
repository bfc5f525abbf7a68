using System.Globalization;
using System.Text.Json;
using Iwpmd.Core;
using Iwpmd.Daemon;
using Iwpmd.Wire;

namespace Iwpmd.Cli;

/// <summary><c>iwpmd mappings</c>: the table, in order of the local addresses. It is what the state says, also when the daemon is busy or dead.</summary>
internal sealed class Mappings(ViewOptions options) : IView
{
    public int Show(StateReading reading, Page page)
    {
        if (!View.TryBeginTable(reading, page, out StateCopy? state))
        {
            return View.StatusOf(reading);
        }
        int[] rows = Select(state);
        new Table("LOCAL", "MAPPED", "STATE", "REFS", "CLIENT", "AGE", "IDLE", "FOR", "FLAGS").Write(page, rows.Length, row => Cells(state, rows[row], reading.Now));
        return ExitStatus.Ended;
    }

    public int Show(StateReading reading, Utf8JsonWriter json)
    {
        Json.Begin(json, reading);
        json.WriteStartArray("mappings"u8);
        foreach (int i in reading.State is null ? [] : Select(reading.State))
        {
            Write(json, reading.State!, reading.State!.Mappings[i], reading.Now);
            Json.FlushSome(json);
        }
        json.WriteEndArray();
        json.WriteEndObject();
        return View.StatusOf(reading);
    }

    public static string NameOf(MappingState state) => state switch
    {
        MappingState.Held => "held",
        MappingState.Advertised => "advertised",
        MappingState.Fallback => "fallback",
        _ => "unprotected",
    };

    private static string NameOf(MappingPurpose purpose) => purpose switch
    {
        MappingPurpose.Listening => "listening",
        MappingPurpose.Connecting => "connecting",
        _ => "unknown",
    };

    private int[] Select(StateCopy state)
    {
        int[] rows = new int[state.Mappings.Length];
        int count = 0;
        for (int i = 0; i < rows.Length; i++)
        {
            ref readonly MappingRow row = ref state.Mappings[i];
            if (View.Fits(options, row.Local) && (options.Port is not int port || row.Local.Port == port || row.MappedPort == port))
            {
                rows[count++] = i;
            }
        }
        return rows[..count];
    }

    private static string[] Cells(StateCopy state, int index, TimeSpan now)
    {
        ref readonly MappingRow row = ref state.Mappings[index];
        FixedName device = state.Clients[row.Client].Device;
        return
        [
            ((InetEndpoint)row.Local).ToString(),
            row.Mapped.ToString(),
            NameOf(row.State),
            row.References.ToString(CultureInfo.InvariantCulture),
            device.Text.IsEmpty ? row.Client.ToString(CultureInfo.InvariantCulture) : $"{row.Client} ({device})",
            Words.Duration(now - new TimeSpan(row.CreatedAt)),
            Words.Duration(now - new TimeSpan(row.TouchedAt)),
            row.Purpose == MappingPurpose.Unknown ? "-" : NameOf(row.Purpose),
            row.Flags.ToString(CultureInfo.InvariantCulture),
        ];
    }

    private static void Write(Utf8JsonWriter json, StateCopy state, in MappingRow row, TimeSpan now)
    {
        json.WriteStartObject();
        json.WriteString("local"u8, ((InetEndpoint)row.Local).ToString());
        json.WriteString("mapped"u8, row.Mapped.ToString());
        json.WriteString("state"u8, NameOf(row.State));
        json.WriteBoolean("protected"u8, row.State == MappingState.Held);
        json.WriteString("purpose"u8, NameOf(row.Purpose));
        json.WriteNumber("references"u8, row.References);
        json.WriteNumber("client"u8, row.Client);
        Json.Name(json, "device"u8, state.Clients[row.Client].Device);
        json.WriteNumber("flags"u8, row.Flags);
        Json.Seconds(json, "age_seconds"u8, now - new TimeSpan(row.CreatedAt));
        Json.Seconds(json, "idle_seconds"u8, now - new TimeSpan(row.TouchedAt));
        json.WriteEndObject();
    }
}

// SPDX-License-Identifier: MIT
using System.Text.Json;
using Iwpmd.Core;
using Iwpmd.State;
using Iwpmd.Wire;

namespace Iwpmd.Cli;

/// <summary>
/// The conventions of our JSON: times in seconds, what is unknown is null, names in snake_case. A change that takes
/// something away makes a new <see cref="Schema"/>.
/// </summary>
internal static class Json
{
    public const int Schema = 1;

    private const int FlushAt = 32 * 1024;

    /// <summary>Begins the one object that a command prints.</summary>
    public static void Begin(Utf8JsonWriter json, StateReading reading)
    {
        json.WriteStartObject();
        json.WriteNumber("schema"u8, Schema);
        json.WriteString("daemon"u8, reading.Condition switch
        {
            DaemonCondition.Running => "running"u8,
            DaemonCondition.Starting => "starting"u8,
            DaemonCondition.Hung => "hung"u8,
            DaemonCondition.Stopped => "stopped"u8,
            DaemonCondition.Crashed => "crashed"u8,
            DaemonCondition.Absent => "absent"u8,
            DaemonCondition.NotPermitted => "not_permitted"u8,
            _ => "unreadable"u8,
        });
        if (reading.Problem is null)
        {
            json.WriteNull("problem"u8);
        }
        else
        {
            json.WriteString("problem"u8, reading.Problem);
        }
    }

    public static void Seconds(Utf8JsonWriter json, ReadOnlySpan<byte> name, TimeSpan? time)
    {
        if (time is TimeSpan known)
        {
            json.WriteNumber(name, Math.Round(known.TotalSeconds, 6));
        }
        else
        {
            json.WriteNull(name);
        }
    }

    public static void Name(Utf8JsonWriter json, ReadOnlySpan<byte> name, in FixedName text) =>
        json.WriteString(name, text.Text);

    /// <summary>Between the items of a long list: keeps the memory small.</summary>
    public static void FlushSome(Utf8JsonWriter json)
    {
        if (json.BytesPending > FlushAt)
        {
            json.Flush();
        }
    }

    /// <summary>Null when there is none.</summary>
    public static void Cause(Utf8JsonWriter json, ReadOnlySpan<byte> name, FallbackCause cause)
    {
        if (cause == FallbackCause.None)
        {
            json.WriteNull(name);
            return;
        }
        json.WriteString(name, FallbackWords.NameOf(cause));
    }
}

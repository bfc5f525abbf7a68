// SPDX-License-Identifier: MIT
using System.Globalization;
using System.Text.Json;
using Iwpmd.Core;
using Iwpmd.State;
using Iwpmd.Wire;

namespace Iwpmd.Cli;

/// <summary><c>iwpmd peers</c>: the hosts whose port mappers were asked, and how they answered.</summary>
internal sealed class Peers(ViewOptions options) : IView
{
    public int Show(StateReading reading, TextOutput page)
    {
        if (!View.TryBeginTable(reading, page, out StateSnapshot? state))
        {
            return View.StatusOf(reading);
        }
        int[] rows = Select(state);
        new Table(
            "HOST", "LAST SEEN", "MEDIAN", "WORST", "ACCEPTS", "REJECTS", "TIMEOUTS", "UNREACHABLE", "RETRY IN",
            "CAUSE")
            .Write(page, rows.Length, row => Cells(state.Peers[rows[row]], reading.Now));
        return View.StatusOf(reading);
    }

    public int Show(StateReading reading, Utf8JsonWriter json)
    {
        Json.Begin(json, reading);
        json.WriteStartArray("peers"u8);
        foreach (int i in reading.State is null ? [] : Select(reading.State))
        {
            Write(json, reading.State!.Peers[i], reading.Now);
            Json.FlushSome(json);
        }
        json.WriteEndArray();
        json.WriteEndObject();
        return View.StatusOf(reading);
    }

    /// <summary>Of the last round trips; null when the host never answered.</summary>
    public static TimeSpan? Median(in PeerRow peer)
    {
        int count = (int)Math.Min(peer.RoundTripCount, PeerRow.RoundTripSamples.Length);
        if (count == 0)
        {
            return null;
        }
        PeerRow.RoundTripSamples samples = peer.RoundTrips;
        Span<uint> sorted = samples;
        sorted[..count].Sort();
        return TimeSpan.FromMicroseconds((sorted[(count - 1) / 2] + (double)sorted[count / 2]) / 2);
    }

    public static TimeSpan? Worst(in PeerRow peer) =>
        peer.RoundTripCount == 0 ? null : TimeSpan.FromMicroseconds(peer.RoundTripWorst);

    /// <summary>How long it is not asked, since it has no port mapper; null when it is.</summary>
    public static TimeSpan? RetryIn(in PeerRow peer, TimeSpan now) =>
        peer.UnreachableUntil > now ? peer.UnreachableUntil - now : null;

    private int[] Select(StateSnapshot state)
    {
        List<int> rows = [];
        for (int i = 0; i < state.Peers.Length; i++)
        {
            if (View.Fits(options, state.Peers[i].Address))
            {
                rows.Add(i);
            }
        }
        return [.. rows];
    }

    private static string[] Cells(in PeerRow peer, TimeSpan now) =>
    [
        peer.Address.AddressText(),
        $"{Format.Duration(StateTime.Since(peer.LastSeenAt, now))} ago",
        Median(peer) is TimeSpan median ? Format.Milliseconds(median) : "-",
        Worst(peer) is TimeSpan worst ? Format.Milliseconds(worst) : "-",
        peer.Accepts.ToString(CultureInfo.InvariantCulture),
        peer.Rejects.ToString(CultureInfo.InvariantCulture),
        peer.Timeouts.ToString(CultureInfo.InvariantCulture),
        peer.Unreachables.ToString(CultureInfo.InvariantCulture),
        RetryIn(peer, now) is TimeSpan left ? Format.Duration(left) : "-",
        peer.LastCause == FallbackCause.None ? "-" : FallbackWords.NameOf(peer.LastCause),
    ];

    private static void Write(Utf8JsonWriter json, in PeerRow peer, TimeSpan now)
    {
        json.WriteStartObject();
        json.WriteString("address"u8, peer.Address.AddressText());
        Json.Seconds(json, "last_seen_seconds"u8, StateTime.Since(peer.LastSeenAt, now));
        Json.Seconds(json, "round_trip_median_seconds"u8, Median(peer));
        Json.Seconds(json, "round_trip_worst_seconds"u8, Worst(peer));
        json.WriteNumber("accepts"u8, peer.Accepts);
        json.WriteNumber("rejects"u8, peer.Rejects);
        json.WriteNumber("timeouts"u8, peer.Timeouts);
        json.WriteNumber("unreachables"u8, peer.Unreachables);
        Json.Seconds(json, "retry_in_seconds"u8, RetryIn(peer, now));
        Json.Cause(json, "cause"u8, peer.LastCause);
        json.WriteEndObject();
    }
}

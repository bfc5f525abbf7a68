// SPDX-License-Identifier: MIT
using System.Globalization;
using Iwpmd.State;

namespace Iwpmd.Cli;

/// <summary>The two formats of a page of metrics.</summary>
internal enum MetricFormat
{
    /// <summary>Prometheus, version 0.0.4.</summary>
    Text,

    /// <summary>OpenMetrics, version 1.0.0.</summary>
    OpenMetrics,
}

/// <summary>HELP and TYPE of a metric before its samples. It must not know what is measured.</summary>
internal sealed class PrometheusWriter(TextWriter text, MetricFormat format, DateTime utcNow, TimeSpan now)
{
    private const string Prefix = "iwpmd_";

    /// <summary>A counter's samples end in _total; its head has that too, but not in OpenMetrics.</summary>
    public void Head(string name, string type, string help)
    {
        bool isOpen = format == MetricFormat.OpenMetrics;
        string whole = Prefix + name + (type == "counter" && !isOpen ? "_total" : "");
        text.Write($"# HELP {whole} {help}\n# TYPE {whole} {type}\n");
        if (isOpen && name.EndsWith("_seconds", StringComparison.Ordinal))
        {
            text.Write($"# UNIT {whole} seconds\n");
        }
    }

    /// <summary>Nothing comes after it.</summary>
    public void End() => text.Write(format == MetricFormat.OpenMetrics ? "# EOF\n" : "");

    public void Value(string name, string labels, double value) =>
        text.Write(string.Create(
            CultureInfo.InvariantCulture, $"{Prefix}{name}{(labels.Length == 0 ? "" : $"{{{labels}}}")} {value:R}\n"));

    public void Single(string name, string help, double value)
    {
        Head(name, "gauge", help);
        Value(name, "", value);
    }

    /// <summary>Nothing when it is not known.</summary>
    public void Seconds(string name, string labels, TimeSpan? time)
    {
        if (time is TimeSpan known)
        {
            Value(name, labels, known.TotalSeconds);
        }
    }

    /// <summary>A moment of the state's clock, which counts since boot.</summary>
    public void Moment(string name, TimeSpan at, string labels = "") =>
        Value(name, labels, Math.Round((utcNow - DateTime.UnixEpoch - StateTime.Since(at, now)).TotalSeconds, 3));

    public static string Label(string name, string value) =>
        $"{name}=\"{Escape(Printable.Of(value))}\"";

    private static string Escape(string text) => text
        .Replace("\\", "\\\\", StringComparison.Ordinal)
        .Replace("\"", "\\\"", StringComparison.Ordinal)
        .Replace("\n", "\\n", StringComparison.Ordinal);
}

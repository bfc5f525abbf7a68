// SPDX-License-Identifier: MIT
using System.Globalization;

namespace Iwpmd.Cli;

/// <summary>The text format of Prometheus, version 0.0.4: HELP and TYPE of a metric before its samples. It must not know what is measured.</summary>
internal sealed class MetricPage(TextWriter text, DateTime utcNow, TimeSpan now)
{
    private const string Prefix = "iwpmd_";

    /// <summary>A counter's samples end in _total, and so must its head.</summary>
    public void Head(string name, string type, string help)
    {
        string whole = Prefix + name + (type == "counter" ? "_total" : "");
        text.Write($"# HELP {whole} {help}\n# TYPE {whole} {type}\n");
    }

    public void Value(string name, string labels, double value) =>
        text.Write(string.Create(CultureInfo.InvariantCulture, $"{Prefix}{name}{(labels.Length == 0 ? "" : $"{{{labels}}}")} {value:R}\n"));

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
    public void Moment(string name, long at, string labels = "") => Value(name, labels, Math.Round((utcNow - DateTime.UnixEpoch - now + new TimeSpan(at)).TotalSeconds, 3));

    public static string Label(string name, string value) => $"{name}=\"{Printable.Of(value).Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal).Replace("\n", "\\n", StringComparison.Ordinal)}\"";
}

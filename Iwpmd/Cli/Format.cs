// SPDX-License-Identifier: MIT
using System.Globalization;

namespace Iwpmd.Cli;

/// <summary>Quantities as people read them.</summary>
internal static class Format
{
    public static string Duration(TimeSpan time) => time switch
    {
        { Ticks: < 0 } => "0 s",
        { TotalSeconds: < 10 } => string.Create(CultureInfo.InvariantCulture, $"{time.TotalSeconds:0.0} s"),
        { TotalMinutes: < 2 } => string.Create(CultureInfo.InvariantCulture, $"{time.TotalSeconds:0} s"),
        { TotalHours: < 2 } => string.Create(CultureInfo.InvariantCulture, $"{(int)time.TotalMinutes} min"),
        { TotalDays: < 2 } =>
            string.Create(CultureInfo.InvariantCulture, $"{(int)time.TotalHours} h {time.Minutes} min"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{(int)time.TotalDays} d {time.Hours} h"),
    };

    public static string Milliseconds(TimeSpan time) =>
        string.Create(CultureInfo.InvariantCulture, $"{time.TotalMilliseconds:0.000} ms");

    public static string Count(int number, string one) =>
        number == 1 ? $"1 {one}" : string.Create(CultureInfo.InvariantCulture, $"{number} {one}s");
}

// SPDX-License-Identifier: MIT
using System.Globalization;

namespace Iwpmd.Daemon;

/// <summary>
/// A configuration key: its expected values and its default as text, and how a value is applied (null when it is not
/// an expected one).
/// </summary>
internal sealed record ConfigurationKey(
    string Name,
    string Expected,
    string Default,
    Func<Configuration, string, Configuration?> Apply)
{
    /// <summary>
    /// It restricts whom the daemon serves. A fault here is fatal: with the default the daemon would serve more hosts
    /// than intended.
    /// </summary>
    public bool Restricts => OtherWords.Length > 0;

    /// <summary>Of a key that restricts: words in an unknown name by which this key is recognized.</summary>
    public string[] OtherWords { get; init; } = [];

    /// <summary>The value that is likely meant by one that is not expected, null when there is none.</summary>
    public Func<string, string?> FindMeant { get; init; } = _ => null;

    public static ConfigurationKey Number(
        string name,
        string unit,
        int low,
        int high,
        Func<Configuration, int> read,
        Func<Configuration, int, Configuration> apply) =>
        new(
            name, $"{low} to {high} {unit}", read(new Configuration()).ToString(CultureInfo.InvariantCulture),
            (c, text) => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int value)
                && value >= low && value <= high ? apply(c, value) : null);

    public static ConfigurationKey Milliseconds(
        string name,
        int low,
        int high,
        Func<Configuration, TimeSpan> read,
        Func<Configuration, TimeSpan, Configuration> apply) =>
        Number(
            name, "ms", low, high, c => (int)read(c).TotalMilliseconds,
            (c, value) => apply(c, TimeSpan.FromMilliseconds(value)));
}

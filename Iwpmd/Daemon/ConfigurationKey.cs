// SPDX-License-Identifier: MIT
using System.Globalization;

namespace Iwpmd.Daemon;

/// <summary>
/// A configuration key: what it expects and its default, in words, and how a value is applied (null when it is not
/// what was expected).
/// </summary>
internal sealed record ConfigurationKey(
    string Name,
    string Expected,
    string Default,
    Func<Configuration, string, Configuration?> Apply)
{
    /// <summary>
    /// It says whom the daemon serves. A fault here is fatal: with the default the daemon would serve more than was
    /// meant.
    /// </summary>
    public bool Restricts => OtherWords.Length > 0;

    /// <summary>Of a key that restricts: in an unknown name they show that this one was meant.</summary>
    public string[] OtherWords { get; init; } = [];

    public static ConfigurationKey Number(
        string name,
        string unit,
        int low,
        int high,
        Func<Configuration, int> read,
        Func<Configuration, int, Configuration> apply) =>
        new(name, $"{low} to {high} {unit}", read(new Configuration()).ToString(CultureInfo.InvariantCulture), (c, text) =>
            int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int value)
            && value >= low && value <= high ? apply(c, value) : null);
}

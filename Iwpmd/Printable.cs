// SPDX-License-Identifier: MIT
using System.Globalization;
using System.Text;

namespace Iwpmd;

/// <summary>
/// Text that came from outside (files, names, other hosts) as it may go to a terminal or into a line of a log: what
/// would move the cursor, colour the screen, break the line or turn its direction is shown as \x1b or \u202e.
/// </summary>
internal static class Printable
{
    public static string Of(string text)
    {
        int first = 0;
        while (first < text.Length && !IsUnsafe(text[first]))
        {
            first++;
        }
        if (first == text.Length)
        {
            return text;
        }
        var safe = new StringBuilder(text, 0, first, text.Length + 16);
        foreach (char c in text.AsSpan(first))
        {
            _ = !IsUnsafe(c) ? safe.Append(c)
                : c < 0x100 ? safe.Append(CultureInfo.InvariantCulture, $"\\x{(int)c:x2}")
                : safe.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}");
        }
        return safe.ToString();
    }

    private static bool IsUnsafe(char c) =>
        char.IsControl(c)
            || c is '\u200e' or '\u200f' or (>= '\u2028' and <= '\u202e') or (>= '\u2066' and <= '\u2069');
}

// SPDX-License-Identifier: MIT
using System.Globalization;
using Iwpmd.Os.Interop;

namespace Iwpmd.Os;

/// <summary>What stands at the other end of stdout.</summary>
internal static unsafe class Terminal
{
    private const int Stdout = 1;

    public static bool IsThere => TryReadWidth(out _);

    private static string? Columns => Environment.GetEnvironmentVariable("COLUMNS");

    /// <summary>Columns, as COLUMNS says or the terminal; no limit where there is none.</summary>
    public static int Width =>
        int.TryParse(Columns, NumberStyles.None, CultureInfo.InvariantCulture, out int columns) && columns > 0 ? columns
        : TryReadWidth(out int width) && width > 0 ? width
        : int.MaxValue;

    /// <summary>A terminal that knows colours, and nobody who asked for none (no-color.org).</summary>
    public static bool HasColour =>
        IsThere && string.IsNullOrEmpty(Environment.GetEnvironmentVariable("NO_COLOR"))
            && Environment.GetEnvironmentVariable("TERM") is not (null or "" or "dumb");

    private static bool TryReadWidth(out int width)
    {
        Libc.winsize size = default;
        bool isTerminal = Libc.ioctl(Stdout, Libc.TIOCGWINSZ, &size) == 0;
        width = size.ws_col;
        return isTerminal;
    }
}

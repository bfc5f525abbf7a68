// SPDX-License-Identifier: MIT
using System.Globalization;
using Iwpmd.Os;

namespace Iwpmd.Cli;

internal enum Colour
{
    Plain = 0,
    Red = 31,
    Green = 32,
    Yellow = 33,
}

/// <summary>Where a command prints text for people: how wide it may be, and whether colours are welcome.</summary>
internal sealed record TextOutput(TextWriter Text, int Width, bool HasColour)
{
    public static TextOutput OfStdout() => new(Output.OpenText(), Terminal.Width, Terminal.HasColour);

    public void Write(string text, Colour colour = Colour.Plain)
    {
        string safe = Printable.Of(text);
        Text.Write(HasColour && colour != Colour.Plain
            ? string.Create(CultureInfo.InvariantCulture, $"\u001b[{(int)colour}m{safe}\u001b[0m")
            : safe);
    }

    public void Line(string text, Colour colour = Colour.Plain)
    {
        Write(text, colour);
        Text.Write('\n');
    }
}

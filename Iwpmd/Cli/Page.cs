using System.Globalization;
using System.Text;
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
internal sealed record Page(TextWriter Text, int Width, bool HasColour)
{
    public static Page OfStdout() => new(new StreamWriter(Console.OpenStandardOutput(), new UTF8Encoding(false), 32 * 1024), Terminal.Width, Terminal.HasColour);

    public string Paint(string text, Colour colour) => HasColour && colour != Colour.Plain ? string.Create(CultureInfo.InvariantCulture, $"\u001b[{(int)colour}m{text}\u001b[0m") : text;

    public void Line(string text) => Text.Write(text + "\n");
}

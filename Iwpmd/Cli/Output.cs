// SPDX-License-Identifier: MIT
using System.Text;
using Iwpmd.Os;

namespace Iwpmd.Cli;

/// <summary>
/// What the commands say: lines on stdout, complaints on stderr. All of it is <see cref="Printable"/>.
/// </summary>
internal static class Output
{
    private const int Stderr = 2;

    /// <exception cref="OutputException">Nobody can read it.</exception>
    public static void Line(string text)
    {
        using var stdout = new StandardOutput();
        stdout.Write(Encoding.UTF8.GetBytes(Printable.Of(text) + "\n"));
    }

    /// <summary>One line; where even that cannot be written there is nobody to tell.</summary>
    public static void Complain(string text) =>
        _ = StandardOutput.TryWrite(Stderr, Encoding.UTF8.GetBytes($"iwpmd: {Printable.Of(text)}\n"));

    /// <summary>Lines that the daemon has made, on stderr.</summary>
    public static void Repeat(string lines)
    {
        foreach (string line in lines.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            _ = StandardOutput.TryWrite(Stderr, Encoding.UTF8.GetBytes(Printable.Of(line) + "\n"));
        }
    }

    public static StreamWriter OpenText() => new(new StandardOutput(), new UTF8Encoding(false), 32 * 1024);
}

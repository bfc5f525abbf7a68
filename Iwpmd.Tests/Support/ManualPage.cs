// SPDX-License-Identifier: MIT
using System.Text.RegularExpressions;
using Iwpmd.Tests.Native;

namespace Iwpmd.Tests.Support;

/// <summary>A page of the manual as its reader sees it, printed by mandoc or by man-db, which uses groff.</summary>
internal sealed partial class ManualPage
{
    /// <summary>Few paragraphs are longer; mandoc takes no more.</summary>
    private const string Width = "900";

    private ManualPage(string text) => Lines = Overstrike().Replace(text, "").Trim('\n').Split('\n');

    public string[] Lines { get; }

    /// <summary>What stands between two empty lines, as one line.</summary>
    public string[] Paragraphs =>
        [.. string.Join('\n', Lines).Split("\n\n").Select(lines => Blanks().Replace(lines, " "))];

    /// <summary>
    /// All but header and footer, without blanks, which each renderer sets in its own way, as it does the dash after
    /// the name.
    /// </summary>
    public string Letters =>
        Blanks().Replace(string.Concat(Lines[1..^1]), "").Replace(
            "iwpmd--", "iwpmd-").Replace(".conf--", ".conf-").Replace('`', '\'');

    public static ManualPage ByMandoc(string page) =>
        new(Tool.Run("mandoc", "mandoc", "-T", "ascii", "-O", $"width={Width}", Repository.PathOf(page)));

    public static ManualPage ByManDb(string page) => new(Tool.Run(
        "env", "man-db", $"MANWIDTH={Width}", "GROFF_NO_SGR=1", "LC_ALL=C",
        "man", "--no-hyphenation", "--no-justification", "--pager=cat", "--local-file", Repository.PathOf(page)));

    /// <summary>By each renderer.</summary>
    public static ManualPage[] Rendered(string page) => [ByMandoc(page), ByManDb(page)];

    /// <summary>The lines of a section, with their indentation.</summary>
    public string[] Section(string name) =>
        [.. Lines.SkipWhile(line => line != name).Skip(1).TakeWhile(line => line is "" or [' ', ..])];

    /// <summary>What is set apart in EXAMPLES, line by line; an empty line between two examples.</summary>
    public string[] Examples()
    {
        string[] lines = Section("EXAMPLES");
        int indent = lines.Where(line => line.Length > 0).Min(Indent);
        return [.. lines.Where(line => line.Length == 0 || Indent(line) > indent).Select(line => line.Trim())];
    }

    private static int Indent(string line) => line.Length - line.TrimStart().Length;

    [GeneratedRegex(".\b")]
    private static partial Regex Overstrike();

    [GeneratedRegex(@"\s+")]
    private static partial Regex Blanks();
}

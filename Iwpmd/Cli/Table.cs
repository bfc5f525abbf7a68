// SPDX-License-Identifier: MIT
namespace Iwpmd.Cli;

/// <summary>
/// Rows under headings, each column as wide as it must be. Where the page is too narrow the last columns are left out:
/// the most important ones come first.
/// </summary>
internal sealed class Table(params string[] headings)
{
    private const int Gap = 2;

    /// <summary><paramref name="cells"/> is asked twice for each row, so that a long table needs no memory.</summary>
    public void Write(TextOutput page, int count, Func<int, string[]> cells)
    {
        int[] widths = Array.ConvertAll(headings, heading => heading.Length);
        for (int row = 0; row < count; row++)
        {
            string[] texts = cells(row);
            for (int i = 0; i < widths.Length; i++)
            {
                widths[i] = Math.Max(widths[i], texts[i].Length);
            }
        }
        int columns = 1;
        for (int used = widths[0]; columns < widths.Length && used + Gap + widths[columns] <= page.Width; columns++)
        {
            used += Gap + widths[columns];
        }
        WriteRow(page, headings, widths, columns);
        for (int row = 0; row < count; row++)
        {
            WriteRow(page, cells(row), widths, columns);
        }
    }

    private static void WriteRow(TextOutput page, string[] texts, int[] widths, int columns)
    {
        for (int i = 0; i < columns; i++)
        {
            page.Write(i == columns - 1 ? texts[i] : texts[i].PadRight(widths[i] + Gap));
        }
        page.Text.Write('\n');
    }
}

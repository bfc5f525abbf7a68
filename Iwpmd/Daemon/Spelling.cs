// SPDX-License-Identifier: MIT
namespace Iwpmd.Daemon;

/// <summary>Which word was meant by one that is unknown.</summary>
internal static class Spelling
{
    private const int Misspelt = 2; // letters

    /// <summary>The word with the fewest wrong letters; null when each has more than two.</summary>
    public static string? FindNearest(string word, IEnumerable<string> known)
    {
        (string? nearest, int fewest) = (null, Misspelt + 1);
        foreach (string one in known)
        {
            int differences = Math.Abs(one.Length - word.Length) > Misspelt ? fewest : Differences(one, word);
            (nearest, fewest) = differences < fewest ? (one, differences) : (nearest, fewest);
        }
        return nearest;
    }

    /// <summary>Levenshtein distance, ignoring case.</summary>
    private static int Differences(string left, string right)
    {
        int[] above = new int[right.Length + 1];
        for (int j = 0; j < above.Length; j++)
        {
            above[j] = j;
        }
        for (int i = 1; i <= left.Length; i++)
        {
            int[] row = new int[above.Length];
            row[0] = i;
            for (int j = 1; j < row.Length; j++)
            {
                int change = char.ToLowerInvariant(left[i - 1]) == char.ToLowerInvariant(right[j - 1]) ? 0 : 1;
                row[j] = Math.Min(Math.Min(above[j], row[j - 1]) + 1, above[j - 1] + change);
            }
            above = row;
        }
        return above[^1];
    }
}

// SPDX-License-Identifier: MIT
using System.Globalization;

namespace Iwpmd.Os;

/// <summary>
/// The kernel's list of file locks. To look there disturbs nobody, while a try to lock would keep a daemon from its
/// state if that starts in the same moment.
/// </summary>
internal static class FileLocks
{
    private const int KindAt = 1, ModeAt = 3, ProcessAt = 4, FileAt = 5, Words = 8;

    /// <summary>
    /// The process that took the exclusive lock by flock on this file; 0 when nobody holds it, or when that is hidden.
    /// </summary>
    public static int FindHolder(uint deviceMajor, uint deviceMinor, ulong inode, string path = "/proc/locks")
    {
        string file = string.Create(CultureInfo.InvariantCulture, $"{deviceMajor:x2}:{deviceMinor:x2}:{inode}");
        try
        {
            // "1: FLOCK  ADVISORY  WRITE 4711 00:1a:42 0 EOF"; one who waits has "->" behind the number
            foreach (string line in File.ReadLines(path))
            {
                string[] words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
                if (words.Length == Words && words[KindAt] == "FLOCK" && words[ModeAt] == "WRITE"
                    && words[FileAt] == file
                    && int.TryParse(words[ProcessAt], NumberStyles.None, CultureInfo.InvariantCulture, out int process))
                {
                    return process;
                }
            }
            return 0;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return 0;
        }
    }
}

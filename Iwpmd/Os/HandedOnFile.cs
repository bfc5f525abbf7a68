// SPDX-License-Identifier: MIT
using System.Globalization;
using Iwpmd.Os.Interop;
using Microsoft.Win32.SafeHandles;

namespace Iwpmd.Os;

/// <summary>A file that the launcher of a detached daemon opens, with rights that the daemon has no more.</summary>
internal static class HandedOnFile
{
    private const string EnvironmentVariable = "IWPMD_CONFIG_FD";

    /// <summary>Whatever is launched next has it open; nothing happens where it cannot be opened.</summary>
    public static void HandOn(string path)
    {
        TimeSpan now = Clock.Now;
        int fd = Libc.open(path, Libc.O_RDONLY, 0);
        if (fd >= 0)
        {
            Environment.SetEnvironmentVariable(EnvironmentVariable, $"{fd}@{now.Ticks}");
        }
    }

    /// <summary>The file that the launcher has handed on, and when it opened it; null when there is none.</summary>
    public static FileStream? TryOpen(ref TimeSpan openedAt)
    {
        string[] parts = (Environment.GetEnvironmentVariable(EnvironmentVariable) ?? "").Split('@');
        bool isNumber = long.TryParse(parts[^1], NumberStyles.None, CultureInfo.InvariantCulture, out long ticks)
            & int.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out int fd);
        if (!isNumber || parts.Length != 2 || Libc.fcntl(fd, Libc.F_SETFD, Libc.FD_CLOEXEC) != 0)
        {
            return null;
        }
        openedAt = new TimeSpan(ticks);
        return new FileStream(new SafeFileHandle(fd, ownsHandle: true), FileAccess.Read);
    }
}

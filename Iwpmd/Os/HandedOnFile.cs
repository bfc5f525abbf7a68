// SPDX-License-Identifier: MIT
using System.Globalization;
using Microsoft.Win32.SafeHandles;

namespace Iwpmd.Os;

/// <summary>A file that the launcher of a detached daemon opens, with rights that the daemon has no more.</summary>
internal static class HandedOnFile
{
    private const string EnvironmentVariable = "IWPMD_CONFIG_FD";

    /// <summary>Whatever is launched next has it open; nothing happens where it cannot be opened.</summary>
    public static void HandOn(string path)
    {
        int fd = Libc.open(path, Libc.O_RDONLY, 0);
        if (fd >= 0)
        {
            Environment.SetEnvironmentVariable(EnvironmentVariable, fd.ToString(CultureInfo.InvariantCulture));
        }
    }

    /// <summary>The file that the launcher has handed on; null when there is none.</summary>
    public static FileStream? TryOpen()
    {
        string? text = Environment.GetEnvironmentVariable(EnvironmentVariable);
        return int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int fd)
            && Libc.fcntl(fd, Libc.F_SETFD, Libc.FD_CLOEXEC) == 0
            ? new FileStream(new SafeFileHandle(fd, ownsHandle: true), FileAccess.Read)
            : null;
    }
}

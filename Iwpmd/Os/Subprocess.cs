// SPDX-License-Identifier: MIT
using System.Text;
using Iwpmd.Os.Interop;
using Iwpmd.Wire;

namespace Iwpmd.Os;

/// <summary>Runs another program to its end and takes what it prints.</summary>
internal static unsafe class Subprocess
{
    private const int Stdout = 1, Stderr = 2, ChunkSize = 16 * 1024;

    /// <summary>
    /// The program is named by its path; its environment is empty but for a locale, and its complaints are not shown.
    /// <paramref name="isGood"/>: it ended with 0.
    /// </summary>
    public static Errno TryRun(string[] command, out string output, out bool isGood)
    {
        (output, isGood) = ("", false);
        int* pipe = stackalloc int[2];
        if (Libc.pipe2(pipe, Libc.O_CLOEXEC) != 0)
        {
            return Errno.Last;
        }
        Errno error = Spawn(command, pipe[1], out int pid);
        _ = Libc.close(pipe[1]);
        if (error == Errno.None)
        {
            output = ReadAll(pipe[0]);
            int status = 0;
            while (Libc.waitpid(pid, &status, 0) != pid && Errno.Last == Errno.EINTR)
            {
            }
            isGood = status == 0;
        }
        _ = Libc.close(pipe[0]);
        return error;
    }

    private static Errno Spawn(string[] command, int writeEnd, out int pid)
    {
        byte* actions = stackalloc byte[Libc.sizeof_posix_spawn_file_actions_t];
        int child = 0;
        _ = Libc.posix_spawn_file_actions_init(actions);
        int result = Libc.posix_spawn_file_actions_adddup2(actions, writeEnd, Stdout);
        result = result != 0
            ? result
            : Libc.posix_spawn_file_actions_addopen(actions, Stderr, "/dev/null", Libc.O_RDWR, 0);
        if (result == 0)
        {
            byte** arguments = ArgumentVector.Of(command);
            byte** environment = ArgumentVector.Of(["LC_ALL=C"]);
            result = Libc.posix_spawn(&child, command[0], actions, null, arguments, environment);
            ArgumentVector.Free(arguments);
            ArgumentVector.Free(environment);
        }
        _ = Libc.posix_spawn_file_actions_destroy(actions);
        pid = child;
        return (Errno)result;
    }

    private static string ReadAll(int fd)
    {
        var bytes = new List<byte>();
        byte* chunk = stackalloc byte[ChunkSize];
        nint count;
        while ((count = Libc.read(fd, chunk, ChunkSize)) > 0 || (count < 0 && Errno.Last == Errno.EINTR))
        {
            bytes.AddRange(new ReadOnlySpan<byte>(chunk, (int)Math.Max(count, 0)));
        }
        return Encoding.UTF8.GetString([.. bytes]);
    }
}

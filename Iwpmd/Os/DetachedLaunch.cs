// SPDX-License-Identifier: MIT
using System.Collections;
using System.Runtime.InteropServices;
using Iwpmd.Os.Interop;
using Iwpmd.Wire;

namespace Iwpmd.Os;

/// <summary>
/// Starts the daemon detached: this program once more, in a session of its own, without stdin and stdout, and waits
/// until it is ready or gone. Not by fork, which would leave a runtime without its finalizer thread.
/// </summary>
internal static unsafe class DetachedLaunch
{
    private const string ThisProgram = "/proc/self/exe";
    private const int Failure = 1, SignalBase = 128;

    /// <summary>
    /// Launches this program; <paramref name="arguments"/> are without the program's name. For the rest see the other
    /// overload.
    /// </summary>
    public static OpError? Run(ReadOnlySpan<string> arguments, out int exitStatus)
    {
        string[] argv = [Environment.GetCommandLineArgs()[0], .. arguments];
        OpError? error = Run(ThisProgram, argv, out exitStatus);
        if (error?.Errno != Errno.ENOENT)
        {
            return error;
        }
        // No /proc: the kernel has told at the start which file it runs.
        string? executable = Marshal.PtrToStringUTF8((nint)Libc.getauxval(Libc.AT_EXECFN));
        return executable is null ? error : Run(executable, argv, out exitStatus);
    }

    /// <summary>
    /// The exit status to end with is 0 only when the daemon said that it is ready, else its own; 128 and the number
    /// when a signal killed it.
    /// </summary>
    public static OpError? Run(string executable, string[] argv, out int exitStatus)
    {
        exitStatus = Failure;
        int* pipe = stackalloc int[2];
        if (Libc.pipe2(pipe, Libc.O_CLOEXEC) != 0)
        {
            return OpError.Of("pipe");
        }
        (int readEnd, int writeEnd) = (pipe[0], pipe[1]);
        _ = Libc.fcntl(writeEnd, Libc.F_SETFD, 0); // this one the daemon inherits
        Errno error = Spawn(executable, argv, writeEnd, out int pid);
        _ = Libc.close(writeEnd);
        OpError? failed = OpError.Check("posix_spawn", error);
        if (failed is null && AwaitVerdict(readEnd))
        {
            exitStatus = 0;
        }
        else if (failed is null)
        {
            failed = ReadExitStatus(pid, out exitStatus);
        }
        _ = Libc.close(readEnd);
        return failed;
    }

    private static bool AwaitVerdict(int readEnd)
    {
        byte verdict;
        while (true)
        {
            nint count = Libc.read(readEnd, &verdict, 1);
            if (count >= 0 || Errno.Last != Errno.EINTR)
            {
                return count > 0;
            }
        }
    }

    private static OpError? ReadExitStatus(int pid, out int exitStatus)
    {
        int status = 0;
        exitStatus = Failure;
        while (Libc.waitpid(pid, &status, 0) != pid)
        {
            Errno error = Errno.Last;
            if (error != Errno.EINTR)
            {
                return new OpError("waitpid", error);
            }
        }
        int signal = status & 0x7f; // WTERMSIG, and WEXITSTATUS below
        int code = (status >> 8) & 0xff;
        exitStatus = signal != 0 ? SignalBase + signal : code != 0 ? code : Failure;
        return null;
    }

    private static Errno Spawn(string executable, string[] argv, int readyFd, out int pid)
    {
        byte* actions = stackalloc byte[Libc.sizeof_posix_spawn_file_actions_t];
        byte* attributes = stackalloc byte[Libc.sizeof_posix_spawnattr_t];
        int child = 0;
        _ = Libc.posix_spawn_file_actions_init(actions);
        _ = Libc.posix_spawnattr_init(attributes);
        int result = Libc.posix_spawnattr_setflags(attributes, Libc.POSIX_SPAWN_SETSID);
        result = result != 0 ? result : Libc.posix_spawn_file_actions_addopen(actions, 0, "/dev/null", Libc.O_RDWR, 0);
        result = result != 0 ? result : Libc.posix_spawn_file_actions_addopen(actions, 1, "/dev/null", Libc.O_RDWR, 0);
        if (result == 0)
        {
            byte** arguments = ArgumentVector.Of(argv);
            byte** environment = ArgumentVector.Of(EnvironmentWith(readyFd));
            result = Libc.posix_spawn(&child, executable, actions, attributes, arguments, environment);
            ArgumentVector.Free(arguments);
            ArgumentVector.Free(environment);
        }
        _ = Libc.posix_spawnattr_destroy(attributes);
        _ = Libc.posix_spawn_file_actions_destroy(actions);
        pid = child;
        return (Errno)result;
    }

    private static List<string> EnvironmentWith(int readyFd)
    {
        var result = new List<string> { $"{ReadyPipe.EnvironmentVariable}={readyFd}" };
        foreach (DictionaryEntry variable in Environment.GetEnvironmentVariables())
        {
            if (variable.Key is string name && name != ReadyPipe.EnvironmentVariable)
            {
                result.Add($"{name}={variable.Value}");
            }
        }
        return result;
    }
}

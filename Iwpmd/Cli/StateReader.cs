// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Iwpmd.Core;
using Iwpmd.Daemon;
using Iwpmd.Os;
using Iwpmd.State;
using Iwpmd.Wire;

namespace Iwpmd.Cli;

/// <summary>What is known of the daemon whose state was looked at.</summary>
internal enum DaemonCondition
{
    Running,

    /// <summary>A process has the state, and has not yet written its number into it.</summary>
    Starting,

    /// <summary>The process is there, but its last heartbeat is longer ago than it may be.</summary>
    Hung,

    /// <summary>It ended by a signal that it handles.</summary>
    Stopped,

    /// <summary>It ended in any other way.</summary>
    Crashed,

    /// <summary>There is no state of this boot.</summary>
    Absent,

    /// <summary>There is a state that cannot be read.</summary>
    Unreadable,

    /// <summary>There may be a state, but not for this user.</summary>
    NotPermitted,
}

/// <summary>
/// The state, if it can be read, and the condition of its daemon. A reading does not disturb a running daemon.
/// </summary>
/// <param name="Problem">Why there is no <paramref name="State"/>.</param>
/// <param name="ProcessId">0 when none is known.</param>
internal sealed record StateReading(
    DaemonCondition Condition, StateSnapshot? State, string? Problem, int ProcessId, TimeSpan Now)
{
    /// <summary>
    /// How long ago the last heartbeat was: when the daemon looked at its sockets, every two seconds.
    /// </summary>
    public TimeSpan SinceHeartbeat => State is null ? TimeSpan.Zero : StateTime.Since(State.Header.SeenEmptyAt, Now);

    /// <summary>There may be a daemon, with mappings.</summary>
    public bool IsUnknown => Condition is DaemonCondition.NotPermitted or DaemonCondition.Unreadable;

    public bool IsDaemonThere =>
        Condition is DaemonCondition.Running or DaemonCondition.Starting or DaemonCondition.Hung;
}

/// <summary>
/// Reads the state of a daemon from outside, again and again into the same memory: a reading is good until the next
/// one.
/// </summary>
internal sealed class StateReader(string directory)
{
    /// <summary>The loop wakes at least every two seconds.</summary>
    public static readonly TimeSpan HungAfter = TimeSpan.FromSeconds(5);

    private const int Tries = 3;

    private StateLayout? _memory;

    public StateReading Read()
    {
        string path = Path.Combine(directory, "state");
        OpError? error = StateView.TryOpen(path, out StateView? view);
        if (view is null)
        {
            (DaemonCondition condition, string problem) =
                error?.Errno == Errno.ENOENT ? (DaemonCondition.Absent, $"there is no {path}")
                : error?.Errno == Errno.EACCES ? (
                    DaemonCondition.NotPermitted, $"{path} is for root and the daemon's user only")
                : (DaemonCondition.Unreadable, $"{path}{WhyUnreadable(error)}: move it away, and start iwpmd");
            return new StateReading(condition, null, problem, 0, Clock.Now);
        }
        using (view)
        {
            return Read(view, path);
        }
    }

    private static string WhyUnreadable(OpError? error) => error switch
    {
        { Operation: "open", Errno: Errno.ELOOP } => " is a symbolic link",
        { Operation: "type" } or { Operation: "open", Errno: Errno.ENXIO } => " is not a regular file",
        { Operation: "mmap", Errno: Errno.EINVAL } => " is empty",
        _ => $": {error}",
    };

    private StateReading Read(StateView view, string path)
    {
        int holder = view.FindHolder();
        ReadOnlySpan<byte> bytes = view.Bytes;
        Guid madeIn = bytes.Length < Unsafe.SizeOf<StateHeader>()
            ? default
            : MemoryMarshal.Read<StateHeader>(bytes).BootId;
        if (StateLayout.WhyUnusable(bytes, madeIn, out StateGeometry shape) is string problem)
        {
            string remedy = holder != 0
                ? $"restart the daemon, process {holder}"
                : "the next start of the daemon makes a new one";
            return new StateReading(
                DaemonCondition.Unreadable, null, $"{path}: {problem}: {remedy}", holder, Clock.Now);
        }
        if (new HostSettings().TryReadBootId(out Guid boot) && boot != madeIn)
        {
            return new StateReading(
                DaemonCondition.Absent, null, $"{path} was written before the last boot", 0, Clock.Now);
        }
        for (int i = 0; i < Tries; i++)
        {
            StateLayout memory = MemoryFor(StateSnapshot.CapacityFor(shape));
            if (StateSnapshot.TryTake(bytes, shape, memory, out StateSnapshot? copy))
            {
                TimeSpan now = Clock.Now; // behind the copy: nothing in it is from the future
                DaemonCondition condition = Judge(copy, holder, now);
                return copy.Header.StartedAt == TimeSpan.Zero && condition == DaemonCondition.Crashed
                    ? new StateReading(
                        DaemonCondition.Absent, null, $"{path} was made by a daemon that could not start: see its log",
                        0, now)
                    : new StateReading(
                        condition, copy, null,
                        condition == DaemonCondition.Starting ? holder : (int)copy.Header.ProcessId, now);
            }
        }
        return new StateReading(
            DaemonCondition.Unreadable, null, $"{path}: a daemon is rewriting it: try again", holder, Clock.Now);
    }

    private StateLayout MemoryFor(StateCapacity capacity)
    {
        if (_memory is null || _memory.Geometry != StateLayout.GeometryOf(capacity))
        {
            Errno error = StateFile.TryMapAnonymous(StateLayout.SizeOf(capacity), out nint address);
            _memory = error == Errno.None
                ? new StateLayout(address, capacity)
                : throw new SetupException(ExitStatus.Failure, $"state: mmap failed: {error.Text()}");
        }
        return _memory;
    }

    /// <summary>
    /// The lock tells whether it lives, since the number of a dead process can be another's by now. One that was taken
    /// over with the file stays in the name of the process that is gone, and is not shown in a container: so a process
    /// of our name with that number counts as well.
    /// </summary>
    private static DaemonCondition Judge(StateSnapshot state, int holder, TimeSpan now)
    {
        bool isKnownProcess = ProcessList.Runs((int)state.Header.ProcessId);
        bool hasEnded = state.Header.EndedAt != TimeSpan.Zero;
        bool isThere = holder != 0
            || (!hasEnded && isKnownProcess && ProcessList.NameOf((int)state.Header.ProcessId) == "iwpmd");
        // the header is still an earlier one's
        bool isStarting = state.Header.StartedAt == TimeSpan.Zero || hasEnded || !isKnownProcess;
        return !isThere ? hasEnded ? DaemonCondition.Stopped : DaemonCondition.Crashed
            : isStarting ? DaemonCondition.Starting
            : state.Header.SeenEmptyAt < now - HungAfter ? DaemonCondition.Hung
            : DaemonCondition.Running;
    }
}

// SPDX-License-Identifier: MIT
using System.Diagnostics;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Native;

/// <summary>What takes its time: all of it at once, while the other tests run.</summary>
public sealed class LongScenes : IDisposable
{
    private static readonly TimeSpan Idle = TimeSpan.FromSeconds(10), Tick = TimeSpan.FromSeconds(2);

    private readonly Scene _stalled = new(), _stopped = new(), _starved = new(), _idle = new();

    public LongScenes()
    {
        Stalled = Start(StopForTwoSeconds);
        Stopped = Start(StopForElevenSeconds);
        Starved = Start(HoldReceiveForElevenSeconds);
        WakeUps = Start(CountWakeUps);
    }

    /// <summary>How many of 1000 ADDs were answered.</summary>
    internal Task<int> Stalled { get; }

    /// <summary>What was answered of the requests that waited too long, and the answer to the next one.</summary>
    internal Task<(DaemonMessage[] TooLate, KernelReply Next, bool IsPortFree)> Stopped { get; }

    /// <summary>The answer to a request that came after the daemon had read what waited.</summary>
    internal Task<KernelReply> Starved { get; }

    /// <summary>Of all threads while nothing happens, and how many there may be.</summary>
    internal Task<(int Seen, int Allowed)> WakeUps { get; }

    public void Dispose()
    {
        Task.WaitAll(Task.WhenAny(Stalled), Task.WhenAny(Stopped), Task.WhenAny(Starved), Task.WhenAny(WakeUps));
        _stalled.Dispose();
        _stopped.Dispose();
        _starved.Dispose();
        _idle.Dispose();
    }

    private static Task<T> Start<T>(Func<T> scene) => Task.Factory.StartNew(scene, TaskCreationOptions.LongRunning);

    private int StopForTwoSeconds()
    {
        _stalled.Ready();
        _stalled.Daemon.StopIdle();
        uint[] sequences =
            [.. Enumerable.Range(5000, 1000).Select(port => _stalled.Kernel.Send(Scene.Add($"10.0.0.1:{port}")))];
        Thread.Sleep(TimeSpan.FromSeconds(2));
        Assert.Equal(1000, _stalled.Kernel.Socket.Queued);
        _stalled.Daemon.Signal(NativeCalls.SIGCONT);
        HashSet<ushort> ports = [.. sequences.Select(
            sequence => _stalled.Kernel.Expect(KernelReplyKind.AddMapping, sequence).MappedLocal.Port)];
        return ports.Count;
    }

    private (DaemonMessage[] TooLate, KernelReply Next, bool IsPortFree) StopForElevenSeconds()
    {
        _stopped.Ready();
        ushort held = _stopped.AddMapping("10.0.0.1:5000");
        int before = _stopped.Kernel.Messages.Length;
        _stopped.Daemon.StopIdle();
        _stopped.Kernel.Send(Scene.Add("10.0.0.1:5000"));
        _stopped.Kernel.Send(Scene.Add("10.0.0.1:5001"));
        _stopped.Kernel.Send(Scene.Query("10.0.0.1:5002", "10.0.0.2:80"));
        uint last = _stopped.Kernel.Send(Scene.Register);
        Thread.Sleep(TimeSpan.FromSeconds(11));
        _stopped.Daemon.Signal(NativeCalls.SIGCONT);
        _stopped.Daemon.ExpectLog($"kernel: RegisterPid {last}:"); // it has read them
        foreach (string local in (string[])["10.0.0.1:5000", "10.0.0.1:5001", "10.0.0.1:5002"])
        {
            _stopped.Kernel.Send(Scene.Remove(local)); // the kernel continues unmapped, and ends them
        }
        KernelReply next = _stopped.Kernel.Expect(
            KernelReplyKind.AddMapping, _stopped.Kernel.Send(Scene.Add("10.0.0.1:5003")));
        DaemonMessage[] late =
            [.. _stopped.Kernel.Messages[before..].Where(message => message.Reply.RequestSequence <= last)];
        return (late, next, _stopped.IsFree(held));
    }

    private KernelReply HoldReceiveForElevenSeconds()
    {
        _starved.Ready();
        _starved.Kernel.HoldReceive();
        uint tooLate = _starved.Kernel.Send(Scene.Register);
        Thread.Sleep(TimeSpan.FromSeconds(11));
        _starved.Kernel.LetGoReceive();
        _starved.Daemon.ExpectLog($"kernel: RegisterPid {tooLate}:"); // it has seen the socket empty since
        return _starved.Kernel.Expect(KernelReplyKind.AddMapping, _starved.Kernel.Send(Scene.Add("10.0.0.1:5000")));
    }

    private (int Seen, int Allowed) CountWakeUps()
    {
        _idle.Ready();
        _idle.AddMapping("10.0.0.1:5000");
        Thread.Sleep(500); // the log has its own thread
        var waited = Stopwatch.StartNew();
        int before = Switches();
        Thread.Sleep(Idle);
        return (Switches() - before, (int)(waited.Elapsed / Tick) + 1);
    }

    private int Switches() => Directory.EnumerateDirectories($"/proc/{_idle.Daemon.Id}/task")
        .Sum(task => int.Parse(
            File.ReadLines(Path.Combine(task, "status")).First(
                line => line.StartsWith("voluntary_ctxt_switches:")).Split(':')[1]));
}

/// <summary>The published executable when it is held up, and when it has nothing to do.</summary>
public class StallTests(LongScenes scenes) : IClassFixture<LongScenes>
{
    [Fact]
    public async Task A_thousand_ADDs_at_a_daemon_that_was_stopped_for_two_seconds_are_all_answered() =>
        Assert.Equal(1000, await scenes.Stalled);

    [Fact]
    public async Task After_eleven_seconds_nothing_that_waited_is_answered_and_the_next_request_is_served()
    {
        (DaemonMessage[] tooLate, KernelReply next, bool isPortFree) = await scenes.Stopped;

        Assert.Empty(tooLate);
        Assert.Equal(5003, next.Local.Port);
        Assert.False(isPortFree); // its owner is alive: the ADD that waited was counted, and so was its REMOVE
    }

    [Fact]
    public async Task A_daemon_that_was_held_up_while_it_received_serves_the_next_request() =>
        Assert.Equal(5000, (await scenes.Starved).Local.Port);

    [Fact]
    public async Task An_idle_daemon_wakes_at_most_once_in_two_seconds()
    {
        (int seen, int allowed) = await scenes.WakeUps;

        Assert.InRange(seen, 1, allowed);
    }
}

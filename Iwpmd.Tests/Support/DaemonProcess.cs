// SPDX-License-Identifier: MIT
using System.Diagnostics;
using System.Text;
using Iwpmd.Tests.Os;
using Xunit;

namespace Iwpmd.Tests.Support;

/// <summary>
/// One process of a daemon on a host, with what it says on its outputs. Nothing of it is left when this is disposed:
/// see also simkernel.h.
/// </summary>
internal sealed class DaemonProcess : IDisposable
{
    private readonly Process _process;
    private readonly StringBuilder _log = new();
    private readonly Thread _reader;

    private DaemonProcess(Process process)
    {
        _process = process;
        _reader = new Thread(ReadLog) { IsBackground = true, Name = "log" };
        _reader.Start();
    }

    /// <summary>What came on stderr.</summary>
    public string Errors
    {
        get
        {
            lock (_log)
            {
                return _log.ToString();
            }
        }
    }

    public int Id => _process.Id;

    public bool IsOurs => _process.StartInfo.FileName == Binaries.Ours;

    public bool HasExited => _process.HasExited;

    /// <summary>Starts a program on <paramref name="host"/>, so that it sees <paramref name="kernel"/>.</summary>
    public static DaemonProcess Start(
        Host host, SimulatedKernel? kernel, string[] command,
        params IEnumerable<(string Name, string Value)> environment)
    {
        var start =
            new ProcessStartInfo(
                command[0],
                command[1..]) { RedirectStandardError = true, RedirectStandardOutput = true, WorkingDirectory = "/" };
        foreach (string inherited in (string[])
            ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS"])
        {
            start.Environment.Remove(inherited);
        }
        foreach ((string name, string value) in environment.Concat(
            kernel?.Environment.Select(pair => (pair.Key, pair.Value)) ?? []))
        {
            start.Environment[name] = value;
        }
        return new DaemonProcess(host.Run(() => Process.Start(start)!));
    }

    /// <summary>Our daemon in the foreground, at the log level debug.</summary>
    public static DaemonProcess Foreground(Host host, SimulatedKernel kernel, params string[] options) =>
        Start(host, kernel, [Binaries.Ours, "-f", "-l", "debug", .. options]);

    /// <summary>The daemon of rdma-core in the foreground; it logs to the system log.</summary>
    public static DaemonProcess C(Host host, SimulatedKernel kernel) =>
        Start(host, kernel, [Binaries.C, "-s"], ("LD_LIBRARY_PATH", Binaries.LibrariesOfC));

    public void Signal(int signal) => NativeCalls.Succeed(TestLibc.kill(Id, signal), "kill");

    /// <summary>Stops it while it waits for something to do.</summary>
    public void StopIdle()
    {
        WaitIdle();
        Signal(NativeCalls.SIGSTOP);
    }

    /// <summary>Waits until it waits for something to do.</summary>
    public void WaitIdle() => WaitFor('S', "it is never idle");

    public void WaitStopped() => WaitFor('T', "it does not stop");

    private void WaitFor(char state, string complaint)
    {
        for (var waited = Stopwatch.StartNew(); File.ReadAllText(
            $"/proc/{Id}/stat").Split(") ")[1][0] != state; Thread.Sleep(1))
        {
            Assert.True(waited.Elapsed < Timeouts.Answer, complaint);
        }
    }

    /// <summary>Waits for a line with this in it, and returns the line.</summary>
    public string ExpectLog(string part)
    {
        var waited = Stopwatch.StartNew();
        lock (_log)
        {
            while (true)
            {
                if (Array.Find(_log.ToString().Split('\n')[..^1], line => line.Contains(
                    part, StringComparison.Ordinal)) is string found)
                {
                    return found;
                }
                TimeSpan left = Timeouts.Answer - waited.Elapsed;
                Assert.True(left > TimeSpan.Zero, $"\"{part}\" is not in the log:\n{_log}");
                Monitor.Wait(_log, left);
            }
        }
    }

    /// <summary>Waits for the process to end by itself; returns its status.</summary>
    public int ExpectExit()
    {
        Assert.True(_process.WaitForExit(Timeouts.Exit), $"process {Id} does not end:\n{Errors}");
        _reader.Join(Timeouts.Exit);
        return _process.ExitCode;
    }

    /// <summary>Ends it as a service manager would, and checks that it ends well.</summary>
    public void Stop()
    {
        Signal(TestLibc.SIGTERM);
        Assert.Equal(0, ExpectExit());
    }

    /// <summary>Kills it and waits until it is gone.</summary>
    public void Kill()
    {
        _process.Kill();
        ExpectExit();
    }

    public string Output() => _process.StandardOutput.ReadToEnd();

    public void Dispose()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
            _process.WaitForExit();
        }
        _process.Dispose();
    }

    private void ReadLog()
    {
        StreamReader errors = _process.StandardError;
        try
        {
            while (errors.ReadLine() is string line)
            {
                lock (_log)
                {
                    _log.Append(line).Append('\n');
                    Monitor.PulseAll(_log);
                }
            }
        }
        catch (ObjectDisposedException)
        {
            // the process was disposed of
        }
    }
}

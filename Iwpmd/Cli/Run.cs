// SPDX-License-Identifier: MIT
using Iwpmd.Daemon;
using Iwpmd.Os;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;

namespace Iwpmd.Cli;

/// <summary>
/// How the daemon was asked to run; <paramref name="Arguments"/> are all of the command line, to be given on when it
/// detaches.
/// </summary>
internal sealed record RunOptions(
    bool Systemd, bool Foreground, StartMode Mode, string? ConfigPath, LogLevel? LogLevel, SandboxMode Sandbox,
    string[] Arguments);

/// <summary><c>iwpmd</c>: the daemon itself, detached unless it is to stay.</summary>
internal static class Run
{
    public static int Execute(RunOptions options)
    {
        bool stays = options.Systemd || options.Foreground;
        ReadyPipe? readyPipe = stays ? null : ReadyPipe.FromEnvironment();
        if (!stays && readyPipe is null)
        {
            return Detach(options);
        }
        ProcessName.Set("iwpmd"u8); // a detached one would be called "exe", for how it is started
        string path = options.ConfigPath ?? Configuration.DefaultPath;
        TimeSpan readAt = Clock.Now;
        FileStream? opened = readyPipe is null ? null : HandedOnFile.TryOpen(ref readAt);
        LoadedConfiguration loaded = Configuration.Load(path, isRequired: options.ConfigPath is not null, opened);
        loaded = loaded with
        {
            Configuration = loaded.Configuration with
            {
                Sandbox = options.Sandbox,
                Path = Path.GetFullPath(path),
                ReadAt = readAt,
                Faults = loaded.Complaints.Length,
            },
        };
        LogLevel level = options.LogLevel ?? loaded.Configuration.LogLevel;
        if (readyPipe is not null)
        {
            using var syslog =
                new Syslog(Syslog.DefaultPath, "iwpmd") { MinimumLevel = level, Terminal = Output.Complain };
            return RunDaemon(loaded, options, path, readyPipe, syslog, to => syslog.MinimumLevel = to);
        }
        LineAudience audience = options.Systemd ? LineAudience.ServiceManager : LineAudience.People;
        using ConsoleLog console = NetAdmin.Without(() => new ConsoleLog(new LineFormatter(audience), level));
        return RunDaemon(loaded, options, path, null, console, to => console.MinimumLevel = to);
    }

    private static int Detach(RunOptions options)
    {
        Privileges.Drop(options);
        OpError? error = DetachedLaunch.Run(options.Arguments, out int status);
        if (error is not null)
        {
            Output.Complain(File.Exists("/dev/null") ? $"detach: {error}: try --foreground"
                : "detach: there is no /dev/null: mount /dev, or try --foreground");
        }
        return status;
    }

    private static int RunDaemon(
        LoadedConfiguration loaded, RunOptions options, string path, ReadyPipe? readyPipe, LogSink log,
        Action<LogLevel> setLogLevel)
    {
        foreach (Complaint complaint in Array.FindAll(loaded.Complaints, one => !one.IsFatal)) // a fatal one: below
        {
            Log.ConfigurationComplaint(log, path, complaint.ToString());
        }
        using SystemdNotify notify = SystemdNotify.FromEnvironment();
        var host = new DaemonHost(loaded.Configuration, options.Mode, notify, readyPipe, log)
        {
            SetLogLevel = options.LogLevel is null ? setLogLevel : null,
        };
        try
        {
            loaded.Refuse(path);
            return host.Run();
        }
        catch (SetupException e)
        {
            Log.SetupFailed(log, e.Message);
            _ = notify.Send($"STATUS={e.Message}");
            return e.ExitStatus;
        }
        catch (Exception e)
        {
            Log.Failed(log, Fault.Describe(e));
            return ExitStatus.Fault;
        }
        finally
        {
            log.TellSuppressed(TimeSpan.MaxValue);
        }
    }
}

using Iwpmd.Daemon;
using Iwpmd.Os;
using Microsoft.Extensions.Logging;

namespace Iwpmd.Cli;

/// <summary>How the daemon was asked to run; <paramref name="Arguments"/> are all of the command line, to be given on when it detaches.</summary>
internal sealed record RunOptions(bool Systemd, bool Foreground, StartMode Mode, string? ConfigPath, LogLevel? LogLevel, SandboxMode Sandbox, string[] Arguments);

/// <summary><c>iwpmd</c>: the daemon itself, detached unless it is to stay.</summary>
internal static class Run
{
    public static int Execute(RunOptions options)
    {
        StandardDescriptors.Fill();
        bool stays = options.Systemd || options.Foreground;
        ReadyPipe? readyPipe = stays ? null : ReadyPipe.FromEnvironment();
        if (!stays && readyPipe is null)
        {
            return Detach(options);
        }
        var complaints = new List<string>();
        string path = options.ConfigPath ?? Configuration.DefaultPath;
        Configuration configuration;
        try
        {
            configuration = Configuration.Load(path, isRequired: options.ConfigPath is not null, complaints) with { Sandbox = options.Sandbox };
        }
        catch (SetupException e)
        {
            Console.Error.WriteLine($"iwpmd: {e.Message}");
            return e.ExitStatus;
        }
        LogLevel level = options.LogLevel ?? configuration.LogLevel;
        if (readyPipe is not null)
        {
            using var syslog = new Syslog(Syslog.DefaultPath, "iwpmd") { MinimumLevel = level };
            return RunDaemon(configuration, options.Mode, path, complaints, readyPipe, syslog);
        }
        using var console = new ConsoleLog(new LineFormatter(options.Systemd ? LineAudience.ServiceManager : LineAudience.People), level);
        return RunDaemon(configuration, options.Mode, path, complaints, null, console);
    }

    private static int Detach(RunOptions options)
    {
        Privileges.GiveAway(options);
        Errno error = DetachedLaunch.Run(options.Arguments, out int status, out string operation);
        if (error != Errno.None)
        {
            Console.Error.WriteLine(File.Exists("/dev/null") ? $"iwpmd: detach: {operation}: {error}: try --foreground" : "iwpmd: detach: there is no /dev/null: mount /dev, or try --foreground");
        }
        return status;
    }

    private static int RunDaemon(Configuration configuration, StartMode mode, string path, List<string> complaints, ReadyPipe? readyPipe, ILogger log)
    {
        foreach (string complaint in complaints)
        {
            Log.ConfigurationComplaint(log, path, complaint);
            if (readyPipe is not null)
            {
                Console.Error.WriteLine($"iwpmd: {path}:{complaint}"); // the caller's terminal
            }
        }
        using SystemdNotify notify = SystemdNotify.FromEnvironment();
        var host = new DaemonHost(configuration, mode, notify, readyPipe, log);
        try
        {
            return host.Run();
        }
        catch (SetupException e)
        {
            Log.SetupFailed(log, e.Message);
            if (readyPipe is not null)
            {
                Console.Error.WriteLine($"iwpmd: {e.Message}");
            }
            _ = notify.Send($"STATUS={e.Message}");
            return e.ExitStatus;
        }
    }
}

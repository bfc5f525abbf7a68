using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Parsing;
using Iwpmd.Daemon;
using Iwpmd.Os;
using Microsoft.Extensions.Logging;

namespace Iwpmd.Cli;

/// <summary>The commands and options, declared; what they do stands in a file each.</summary>
internal static partial class CommandLine
{
    /// <summary>Returns the exit status; an error of usage is told on stderr with what it is about.</summary>
    public static int Invoke(string[] arguments)
    {
        var systemd = new Option<bool>("--systemd", "-s") { Description = "stay in the foreground and tell the service manager how it goes" };
        var foreground = new Option<bool>("--foreground", "-f") { Description = "stay in the foreground with a readable log on stderr" };
        Option<string?> config = ConfigOption();
        Option<string?> logLevel = LogLevelOption();
        var takeOver = new Option<bool>("--takeover") { Description = "take over from the daemon that runs, if there is one, without losing anything" };
        var noSandbox = new Option<bool>("--no-sandbox") { Description = "do not limit the system calls of the daemon to those it needs" };
        var logSandbox = new Option<bool>("--log-sandbox") { Description = "let the kernel's log tell of other system calls, which succeed" };
        var checkConfig = new Option<bool>("--check-config") { Description = "say what is wrong with the configuration and end: 0 nothing, 1 something" };
        var version = new Option<bool>("--version") { Description = "say the version and end" };
        // Not a RootCommand: its options for help and version look for their texts by reflection, a twentieth of a start.
        var help = new Option<bool>("--help", "-h", "-?", "/h", "/?") { Description = "Show help and usage information", Recursive = true, Action = new HelpAction() };
        var root = new Command("iwpmd", "iWARP port mapper daemon: claims TCP ports for RDMA connections. Without options it detaches.");
        foreach (Option option in (Option[])[systemd, foreground, takeOver, config, logLevel, noSandbox, logSandbox, checkConfig, version, help])
        {
            root.Options.Add(option);
        }
        foreach (Command command in Commands())
        {
            root.Subcommands.Add(command);
        }
        root.SetAction(result =>
        {
            if (result.GetValue(version))
            {
                Console.WriteLine($"iwpmd {BuildInfo.Version}");
                return ExitStatus.Ended;
            }
            string? path = result.GetValue(config);
            if (result.GetValue(checkConfig))
            {
                return CheckConfig.Execute(path);
            }
            LogLevel? level = result.GetValue(logLevel) is string text && Configuration.TryParseLevel(text, out LogLevel parsed) ? parsed : null;
            StartMode mode = result.GetValue(takeOver) ? StartMode.TakeOver : StartMode.Alone;
            SandboxMode sandbox = result.GetValue(noSandbox) ? SandboxMode.Off : result.GetValue(logSandbox) ? SandboxMode.Log : SandboxMode.On;
            return Cli.Run.Execute(new RunOptions(result.GetValue(systemd), result.GetValue(foreground), mode, path, level, sandbox, arguments));
        });
        // No response files: in a boot image the program's own name begins with @, so that systemd lets it live, and that is looked at as well.
        return Invoke(root.Parse(arguments, new ParserConfiguration { ResponseFileTokenReplacer = null }));
    }

    private static Option<string?> LogLevelOption()
    {
        var logLevel = new Option<string?>("--log-level", "-l") { Description = "error, warning, info or debug (default info)", HelpName = "LEVEL" };
        logLevel.Validators.Add(result =>
        {
            if (!Configuration.TryParseLevel(result.Tokens[0].Value, out _))
            {
                result.AddError($"'{result.Tokens[0].Value}' is not a log level: error, warning, info or debug");
            }
        });
        return logLevel;
    }

    private static int Invoke(ParseResult parsed)
    {
        foreach (var error in parsed.Errors)
        {
            Console.Error.WriteLine($"iwpmd: {error.Message}");
        }
        Token? directive = parsed.Tokens.FirstOrDefault(token => token.Type == TokenType.Directive); // "[this]", which the parser passes over
        if (directive is not null)
        {
            Console.Error.WriteLine($"iwpmd: Unrecognized command or argument '{directive.Value}'.");
        }
        return parsed.Errors.Count > 0 || directive is not null ? ExitStatus.Usage : parsed.Invoke();
    }
}

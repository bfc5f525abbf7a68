// SPDX-License-Identifier: MIT
using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Parsing;
using Iwpmd.Daemon;
using Iwpmd.Os;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;

namespace Iwpmd.Cli;

/// <summary>The commands and options, declared; what each does is in a file of its own name.</summary>
internal static partial class CommandLine
{
    private static readonly Option<string?> RootConfig = ConfigOption();

    /// <summary>Returns the exit status; what goes wrong is told on stderr in a line, never with a trace.</summary>
    public static int Invoke(string[] arguments)
    {
        StandardDescriptors.Fill();
        try
        {
            return Parse(arguments);
        }
        catch (SetupException e)
        {
            Output.Complain(e.Message);
            return e.ExitStatus;
        }
        catch (OutputException e)
        {
            if (e.Error != Errno.EPIPE) // whoever closed it knows
            {
                Output.Complain(e.Message);
            }
            return ExitStatus.Output;
        }
        catch (Exception e)
        {
            Output.Complain(Fault.Describe(e));
            return ExitStatus.Fault;
        }
    }

    private static int Parse(string[] arguments)
    {
        var systemd = new Option<bool>("--systemd", "-s")
        {
            Description = "stay in the foreground, log in journal format and notify the service manager",
        };
        var foreground = new Option<bool>("--foreground", "-f")
        {
            Description = "stay in the foreground with a readable log on stderr",
        };
        Option<LogLevel?> logLevel = Parsed<LogLevel>(
            new("--log-level", "-l")
            {
                Description = "log this level and above: error, warning, info or debug (default info)",
                HelpName = "LEVEL",
            },
            "a log level: error, warning, info or debug", Configuration.TryParseLevel);
        var takeOver = new Option<bool>("--takeover")
        {
            Description = "take over from the running daemon, if there is one, without losing a request",
        };
        var noSandbox = new Option<bool>("--no-sandbox")
        {
            Description = "do not limit the system calls of the daemon",
        };
        var logSandbox = new Option<bool>("--log-sandbox")
        {
            Description = "allow system calls outside the sandbox and have the kernel log them",
        };
        var checkConfig = new Option<bool>("--check-config")
        {
            Description = "check the configuration and exit (0 valid, 1 warnings, 78 the daemon would not start)",
        };
        var version = new Option<bool>("--version", "-V") { Description = "print the version and exit" };
        // Not a RootCommand: its options for help and version look for their texts by reflection, a twentieth of a
        // start.
        var help = new Option<bool>("--help", "-h", "-?")
        {
            Description = "print help and exit",
            Recursive = true,
            Action = new HelpAction(),
        };
        var root = new Command(
            "iwpmd", "iWARP port mapper daemon: claims TCP ports for RDMA connections. Without options it detaches.");
        foreach (Option option in (Option[])
        [
            systemd, foreground, takeOver, RootConfig, logLevel, noSandbox, logSandbox, checkConfig, version, help,
        ])
        {
            root.Options.Add(option);
        }
        root.Validators.Add(result => Exclude(result, systemd, foreground));
        root.Validators.Add(result => Exclude(result, noSandbox, logSandbox));
        root.SetAction(result =>
        {
            string? path = result.GetValue(RootConfig);
            StartMode mode = result.GetValue(takeOver) ? StartMode.TakeOver : StartMode.Alone;
            SandboxMode sandbox = result.GetValue(noSandbox) ? SandboxMode.Off
                : result.GetValue(logSandbox) ? SandboxMode.Log
                : SandboxMode.On;
            return result.GetValue(version) ? ShowVersion()
                : result.GetValue(checkConfig) ? CheckConfig.Execute(path)
                : Cli.Run.Execute(new RunOptions(
                    result.GetValue(systemd), result.GetValue(foreground), mode, path, result.GetValue(logLevel),
                    sandbox, arguments));
        });
        return Invoke(root, Parse(root, arguments), arguments);
    }

    /// <summary>The daemon's own options first: for its start the commands need not be declared.</summary>
    private static ParseResult Parse(Command root, string[] arguments)
    {
        // No response files: in a boot image the program's own name begins with @, so that systemd lets it live, and
        // that is looked at as well.
        var configuration = new ParserConfiguration { ResponseFileTokenReplacer = null };
        ParseResult parsed = root.Parse(arguments, configuration);
        if (parsed.Errors.Count == 0 && parsed.Action is not HelpAction)
        {
            return parsed;
        }
        foreach (Command command in Commands(root))
        {
            root.Subcommands.Add(command);
        }
        return root.Parse(arguments, configuration);
    }

    private static int ShowVersion()
    {
        Output.Line($"iwpmd {BuildInfo.Version}");
        return ExitStatus.Ended;
    }

    private static void Exclude(CommandResult result, Option<bool> one, Option<bool> other)
    {
        if (result.GetValue(one) && result.GetValue(other))
        {
            result.AddError($"{one.Name} and {other.Name} contradict each other");
        }
    }

    private static int Invoke(Command root, ParseResult parsed, string[] arguments)
    {
        List<string> errors = [.. parsed.Errors.Select(error => error.Message)];
        errors.AddRange(parsed.Tokens
            .Where(token => token.Type == TokenType.Directive) // "[this]", which the parser passes over
            .Select(token => Unrecognized(token.Value)));
        errors.AddRange(FindMisplaced(root, parsed));
        errors.AddRange(FindEmpty(arguments));
        errors.AddRange(FindMeant(parsed));
        Command command = parsed.CommandResult.Command;
        if (parsed.Action is HelpAction && command == root && parsed.UnmatchedTokens is [string word, ..]
            && !word.StartsWith('-'))
        {
            errors.Insert(0, Unrecognized(word)); // help with something else was wanted
        }
        else if (errors.Count == 0 || parsed.Action is HelpAction)
        {
            using var output = new StreamWriter(new StandardOutput());
            var configuration = new InvocationConfiguration { Output = output, EnableDefaultExceptionHandler = false };
            int status = parsed.Invoke(configuration);
            output.Flush();
            return status;
        }
        errors.ForEach(Output.Complain);
        Output.Complain(
            $"see {(command == root || command.Name == "help" ? "iwpmd" : $"iwpmd {command.Name}")} --help");
        return ExitStatus.Usage;
    }

    /// <summary>The parser's own sentence, for what it passes over.</summary>
    private static string Unrecognized(string word) => $"Unrecognized command or argument '{word}'.";

    /// <summary>
    /// Options of the daemon before a command, where they would mean nothing; only the configuration may stand on
    /// either side.
    /// </summary>
    private static IEnumerable<string> FindMisplaced(Command root, ParseResult parsed)
    {
        Command command = parsed.CommandResult.Command;
        Option? config = command.Options.FirstOrDefault(option => option.Name == RootConfig.Name);
        Option[] given = [.. root.Options.Where(option => !option.Recursive && IsGiven(parsed, option))];
        foreach (Option option in command == root ? [] : given)
        {
            if (option != RootConfig || config is null)
            {
                yield return $"{option.Name} is no option of the command {command.Name}";
            }
            else if (IsGiven(parsed, config))
            {
                yield return $"{option.Name} is given before and behind the command {command.Name}";
            }
            else if (parsed.GetResult(option)!.Tokens is not [{ Value.Length: > 0 }])
            {
                yield return $"{option.Name} takes the name of one file"; // the parser checks it without a command only
            }
        }
    }

    /// <summary>The parser takes "--option=" for the option without a value.</summary>
    private static IEnumerable<string> FindEmpty(string[] arguments) =>
        arguments.TakeWhile(one => one != "--")
            .Where(one => one.StartsWith('-') && one.IndexOf('=') == one.Length - 1)
            .Select(one => $"'{one}' has no value behind it");

    /// <summary>Of unknown words that are nearly a command or an option.</summary>
    private static IEnumerable<string> FindMeant(ParseResult parsed)
    {
        Command command = parsed.CommandResult.Command;
        string[] known = [.. command.Subcommands.Select(one => one.Name), .. command.Options.Select(one => one.Name)];
        return parsed.UnmatchedTokens.Select(word => Spelling.FindNearest(word, known)).OfType<string>()
            .Select(meant => $"perhaps {meant}");
    }

    private static bool IsGiven(ParseResult parsed, Option option) =>
        parsed.GetResult(option) is OptionResult { Implicit: false };
}

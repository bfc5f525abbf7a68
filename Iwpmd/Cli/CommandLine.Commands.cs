// SPDX-License-Identifier: MIT
using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using Iwpmd.Daemon;
using Iwpmd.Wire;

namespace Iwpmd.Cli;

/// <summary>The commands that tell how the daemon and its host are.</summary>
internal static partial class CommandLine
{
    private const double ShortestWatch = 0.1, LongestWatch = 86400;
    private static readonly TimeSpan DefaultWatch = TimeSpan.FromSeconds(2);

    private delegate bool TryParse<T>(string text, out T value);

    private static Command[] Commands(Command root) =>
    [
        HelpCommand(root),
        ViewCommand(
            "status", "report whether port mapping works (exit status 0 yes, 1 degraded, 3 no daemon runs)", null, null,
            _ => new Status()),
        ViewCommand(
            "mappings", "list the mappings", AddressOption(),
            PortOption("show only mappings with this port, local or mapped"), options => new Mappings(options)),
        ViewCommand(
            "peers", "list the hosts whose port mappers were queried", AddressOption(), null,
            options => new Peers(options)),
        MetricsCommand(),
        PingCommand(),
        DoctorCommand(),
        ReloadCommand(),
    ];

    private static Command ViewCommand(
        string name, string description, Option<InetEndpoint?>? address, Option<ushort?>? port,
        Func<ViewOptions, IView> view)
    {
        Option<string?> config = ConfigOption();
        Option<bool> json = JsonOption();
        Option<TimeSpan?> watch = Parsed<TimeSpan>(
            new("--watch", "-w")
            {
                Description = "repeat every SECONDS (default 2)",
                HelpName = "SECONDS",
                Arity = ArgumentArity.ZeroOrOne,
            },
            "a number of seconds from 0.1 to 86400", TryParseInterval, withoutValue: DefaultWatch);
        var command = new Command(name, description);
        foreach (Option? option in (Option?[])[config, json, watch, address, port])
        {
            if (option is not null)
            {
                command.Options.Add(option);
            }
        }
        command.SetAction(result =>
        {
            var options = new ViewOptions(
                ConfigPath(result, config),
                result.GetValue(json),
                result.GetValue(watch),
                address is null ? null : result.GetValue(address),
                port is null ? null : result.GetValue(port));
            return View.Execute(options, view(options));
        });
        return command;
    }

    private static Command MetricsCommand()
    {
        Option<string?> config = ConfigOption();
        var output = new Option<string?>("--output", "-o")
        {
            Description = "write to this file, in one step, instead of to standard output",
            HelpName = "FILE",
        };
        RefuseNames(output, "", "-");
        var open = new Option<bool>("--openmetrics") { Description = "in the format OpenMetrics" };
        var command = new Command("metrics", "print metrics in the text format of Prometheus") { config, output, open };
        command.SetAction(result => Metrics.Execute(
            ConfigPath(result, config),
            result.GetValue(output),
            result.GetValue(open) ? MetricFormat.OpenMetrics : MetricFormat.Text));
        return command;
    }

    private static Command PingCommand()
    {
        var host = new Argument<string>("HOST") { Description = "name or address of the host" };
        host.Validators.Add(result =>
        {
            if (result.Tokens is [{ Value: ['-', ..] } name])
            {
                result.AddError($"'{name.Value}' is no option of the command ping, and no host");
            }
            else if (result.Tokens is [{ Value: "" }])
            {
                result.AddError("HOST is empty");
            }
        });
        Option<ushort?> count = Parsed<ushort>(
            new("--count", "-c") { Description = "number of Requests to send (default 3)", HelpName = "N" },
            "a number from 1 to 65535", TryParsePositive);
        Option<ushort?> port = PortOption("ask for this port instead of one that cannot be mapped");
        var command = new Command(
            "ping", "query the port mapper of another host (exit status 0 it answers, 1 it does not)")
        {
            host,
            count,
            port,
        };
        command.SetAction(result => Ping.Execute(
            new PingOptions(result.GetValue(host)!, result.GetValue(count) ?? 3, result.GetValue(port) ?? 0)));
        return command;
    }

    private static Command HelpCommand(Command root)
    {
        var of = new Argument<string?>("COMMAND") { Description = "a command", Arity = ArgumentArity.ZeroOrOne };
        of.Validators.Add(result =>
        {
            if (result.Tokens.Count > 0 && !root.Subcommands.Any(one => one.Name == result.Tokens[0].Value))
            {
                string given = result.Tokens[0].Value;
                string hint = Spelling.FindNearest(given, root.Subcommands.Select(one => one.Name)) is string meant
                    ? $", perhaps {meant}"
                    : "";
                result.AddError($"'{given}' is no command{hint}");
            }
        });
        var command = new Command("help", "print this, or the options of a command") { of };
        command.SetAction(result =>
        {
            string[] words = result.GetValue(of) is string name ? [name, "--help"] : ["--help"];
            return root.Parse(words).Invoke(result.InvocationConfiguration);
        });
        return command;
    }

    /// <summary>Before the command or behind it.</summary>
    private static string? ConfigPath(ParseResult result, Option<string?> config) =>
        result.GetValue(config) ?? result.GetValue(RootConfig);

    private static Command DoctorCommand()
    {
        Option<string?> config = ConfigOption();
        Option<bool> json = JsonOption();
        var command = new Command("doctor", "check this host and name remedies (exit status 0 no failure, 1 failures)")
        {
            config,
            json,
        };
        command.SetAction(result =>
            Doctor.Execute(ConfigPath(result, config), result.GetValue(json) ? DoctorFormat.Json : DoctorFormat.Text));
        return command;
    }

    private static Command ReloadCommand()
    {
        Option<string?> config = ConfigOption();
        var command = new Command(
            "reload",
            "put the configuration in force in the running daemon (exit status 0 in force, 1 refused, 3 no daemon)")
        {
            config,
        };
        command.SetAction(result => Reload.Execute(ConfigPath(result, config)));
        return command;
    }

    private static Option<bool> JsonOption() =>
        new("--json", "-j") { Description = "print one line of JSON, as described in iwpmd(8)" };

    private static Option<string?> ConfigOption()
    {
        var option = new Option<string?>("--config", "-c")
        {
            Description = $"configuration file (default {Configuration.DefaultPath})",
            HelpName = "FILE",
        };
        RefuseNames(option, "");
        return option;
    }

    private static Option<InetEndpoint?> AddressOption() => Parsed<InetEndpoint>(
        new("--address", "-a") { Description = "show only entries with this IP address", HelpName = "ADDRESS" },
        "an IP address", InetEndpoint.TryParseAddress);

    private static Option<ushort?> PortOption(string description) => Parsed<ushort>(
        new("--port", "-p") { Description = description, HelpName = "PORT" }, "a port from 1 to 65535",
        TryParsePositive);

    private static bool TryParsePositive(string text, out ushort number) =>
        ushort.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number) && number > 0;

    private static bool TryParseInterval(string text, out TimeSpan interval)
    {
        bool isNumber =
            double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double seconds);
        bool isValid = isNumber && seconds is >= ShortestWatch and <= LongestWatch;
        interval = isValid ? TimeSpan.FromSeconds(seconds) : default;
        return isValid;
    }

    /// <summary>Has each value parsed once; one that cannot be is an error.</summary>
    private static Option<T?> Parsed<T>(
        Option<T?> option, string expected, TryParse<T> tryParse, T? withoutValue = null)
        where T : struct
    {
        option.CustomParser = result =>
        {
            if (result.Tokens.Count == 0)
            {
                return withoutValue;
            }
            if (tryParse(result.Tokens[0].Value, out T value))
            {
                return value;
            }
            result.AddError($"'{result.Tokens[0].Value}' is not {expected}");
            return null;
        };
        return option;
    }

    private static void RefuseNames(Option<string?> option, params string[] names) =>
        option.Validators.Add(result =>
        {
            if (result.Tokens is [Token name, ..] && names.Contains(name.Value))
            {
                result.AddError($"'{name.Value}' is not the name of a file");
            }
        });
}

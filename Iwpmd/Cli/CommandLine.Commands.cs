// SPDX-License-Identifier: MIT
using System.CommandLine;
using System.Globalization;
using Iwpmd.Daemon;
using Iwpmd.Wire;

namespace Iwpmd.Cli;

/// <summary>The commands that tell how the daemon and its host are.</summary>
internal static partial class CommandLine
{
    private const double ShortestWatch = 0.1, LongestWatch = 86400;

    private static Command[] Commands(Command root) =>
    [
        HelpCommand(root),
        ViewCommand(
            "status", "report whether port mapping works (exit status 0 yes, 1 degraded, 3 no daemon runs)", null, null,
            _ => new Status()),
        ViewCommand("mappings", "list the mappings", AddressFilter(), PortFilter(), options => new Mappings(options)),
        ViewCommand(
            "peers", "list the hosts whose port mappers were queried", AddressFilter(), null,
            options => new Peers(options)),
        MetricsCommand(),
        PingCommand(),
        DoctorCommand(),
        ReloadCommand(),
    ];

    private static Command ViewCommand(
        string name, string description, Option<string?>? address, Option<string?>? port, Func<ViewOptions, IView> view)
    {
        Option<string?> config = ConfigOption();
        Option<bool> json = JsonOption();
        var watch = new Option<string?>("--watch", "-w")
        {
            Description = "repeat every SECONDS (default 2)",
            HelpName = "SECONDS",
            Arity = ArgumentArity.ZeroOrOne,
        };
        Check(watch, IsWatchInterval, "a number of seconds from 0.1 to 86400");
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
            TimeSpan? interval = result.GetResult(watch) is null ? null
                : TimeSpan.FromSeconds(
                    result.GetValue(watch) is string text ? double.Parse(text, CultureInfo.InvariantCulture) : 2);
            var options = new ViewOptions(
                ConfigPath(result, config),
                result.GetValue(json),
                interval,
                address is not null && result.GetValue(address) is string asked
                    && InetEndpoint.TryParseAddress(asked, out InetEndpoint one) ? one : null,
                port is not null && result.GetValue(port) is string number
                    ? int.Parse(number, CultureInfo.InvariantCulture)
                    : null);
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
        Check(output, text => text.Length > 0 && text != "-", "the name of a file");
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
        var count = new Option<string?>("--count", "-c")
        {
            Description = "number of Requests to send (default 3)",
            HelpName = "N",
        };
        Option<string?> port = new("--port", "-p")
        {
            Description = "ask for this port instead of one that cannot be mapped",
            HelpName = "PORT",
        };
        Check(count, IsPort, "a number from 1 to 65535");
        Check(port, IsPort, "a port from 1 to 65535");
        var command = new Command(
            "ping", "query the port mapper of another host (exit status 0 it answers, 1 it does not)")
        {
            host,
            count,
            port,
        };
        command.SetAction(result => Ping.Execute(new PingOptions(
            result.GetValue(host)!,
            int.Parse(result.GetValue(count) ?? "3", CultureInfo.InvariantCulture),
            ushort.Parse(result.GetValue(port) ?? "0", CultureInfo.InvariantCulture))));
        return command;
    }

    private static Command HelpCommand(Command root)
    {
        var of = new Argument<string?>("COMMAND") { Description = "a command", Arity = ArgumentArity.ZeroOrOne };
        of.Validators.Add(result =>
        {
            if (result.Tokens.Count > 0 && !root.Subcommands.Any(one => one.Name == result.Tokens[0].Value))
            {
                result.AddError($"'{result.Tokens[0].Value}' is no command");
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
        Check(option, text => text.Length > 0, "the name of a file");
        return option;
    }

    private static Option<string?> AddressFilter()
    {
        var option = new Option<string?>("--address", "-a")
        {
            Description = "show only entries with this IP address",
            HelpName = "ADDRESS",
        };
        Check(option, text => InetEndpoint.TryParseAddress(text, out _), "an IP address");
        return option;
    }

    private static Option<string?> PortFilter()
    {
        var option = new Option<string?>("--port", "-p")
        {
            Description = "show only mappings with this port, local or mapped",
            HelpName = "PORT",
        };
        Check(option, IsPort, "a port from 1 to 65535");
        return option;
    }

    private static bool IsPort(string text) =>
        ushort.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out ushort port) && port > 0;

    private static bool IsWatchInterval(string text) =>
        double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double seconds)
            && seconds is >= ShortestWatch and <= LongestWatch;

    private static void Check(Option<string?> option, Func<string, bool> isValid, string expected) =>
        option.Validators.Add(result =>
    {
        if (result.Tokens.Count > 0 && !isValid(result.Tokens[0].Value))
        {
            result.AddError($"'{result.Tokens[0].Value}' is not {expected}");
        }
    });
}

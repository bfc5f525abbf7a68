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
        ViewCommand("status", "say whether port mapping works: exit status 0 yes, 1 not as it should, 3 no daemon runs", null, null, _ => new Status()),
        ViewCommand("mappings", "list the mappings", AddressFilter(), PortFilter(), options => new Mappings(options)),
        ViewCommand("peers", "list the hosts whose port mappers were asked", AddressFilter(), null, options => new Peers(options)),
        MetricsCommand(),
        PingCommand(),
        DoctorCommand(),
        ReloadCommand(),
    ];

    private static Command ViewCommand(string name, string description, Option<string?>? address, Option<string?>? port, Func<ViewOptions, IView> view)
    {
        Option<string?> config = ConfigOption();
        Option<bool> json = JsonOption();
        var watch = new Option<string?>("--watch", "-w") { Description = "look again every SECONDS, which may be left out (2)", HelpName = "SECONDS", Arity = ArgumentArity.ZeroOrOne };
        Check(watch, text => double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double seconds) && seconds is >= ShortestWatch and <= LongestWatch, "a number of seconds from 0.1 to 86400");
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
                : TimeSpan.FromSeconds(result.GetValue(watch) is string text ? double.Parse(text, CultureInfo.InvariantCulture) : 2);
            var options = new ViewOptions(
                ConfigPath(result, config),
                result.GetValue(json),
                interval,
                address is not null && result.GetValue(address) is string asked
                    && InetEndpoint.TryParseAddress(asked, out InetEndpoint one) ? one : null,
                port is not null && result.GetValue(port) is string number ? int.Parse(number, CultureInfo.InvariantCulture) : null);
            return View.Execute(options, view(options));
        });
        return command;
    }

    private static Command MetricsCommand()
    {
        Option<string?> config = ConfigOption();
        var output = new Option<string?>("--output", "-o") { Description = "write to this file instead of stdout, in one step", HelpName = "FILE" };
        Check(output, text => text.Length > 0, "the name of a file");
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
        var host = new Argument<string>("HOST") { Description = "its name or address" };
        var count = new Option<string?>("--count", "-c") { Description = "how often to ask, 3 if not given", HelpName = "N" };
        Option<string?> port = new("--port", "-p") { Description = "ask for this port instead of one that nobody can have", HelpName = "PORT" };
        Check(count, IsPort, "a number from 1 to 65535");
        Check(port, IsPort, "a port from 1 to 65535");
        var command = new Command("ping", "ask the port mapper of another host: exit status 0 it answers, 1 it does not") { host, count, port };
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
        var command = new Command("help", "show this, or the options of a command") { of };
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
        var command = new Command("doctor", "check this host and say what to do: exit status 0 no failure, 1 some") { config, json };
        command.SetAction(result =>
            Doctor.Execute(ConfigPath(result, config), result.GetValue(json) ? DoctorFormat.Json : DoctorFormat.Text));
        return command;
    }

    private static Command ReloadCommand()
    {
        Option<string?> config = ConfigOption();
        var command = new Command("reload", "have the daemon that runs use the configuration as it is now: exit status 0 it does, 1 it does not, 3 none runs") { config };
        command.SetAction(result => Reload.Execute(ConfigPath(result, config)));
        return command;
    }

    private static Option<bool> JsonOption() => new("--json", "-j") { Description = "print one line of JSON, as described in iwpmd(8)" };

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
        var option = new Option<string?>("--address", "-a") { Description = "only those with this IP address", HelpName = "ADDRESS" };
        Check(option, text => InetEndpoint.TryParseAddress(text, out _), "an IP address");
        return option;
    }

    private static Option<string?> PortFilter()
    {
        var option = new Option<string?>("--port", "-p") { Description = "only those with this port, local or mapped", HelpName = "PORT" };
        Check(option, IsPort, "a port from 1 to 65535");
        return option;
    }

    private static bool IsPort(string text) => ushort.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out ushort port) && port > 0;

    private static void Check(Option<string?> option, Func<string, bool> isValid, string expected) => option.Validators.Add(result =>
    {
        if (result.Tokens.Count > 0 && !isValid(result.Tokens[0].Value))
        {
            result.AddError($"'{result.Tokens[0].Value}' is not {expected}");
        }
    });
}

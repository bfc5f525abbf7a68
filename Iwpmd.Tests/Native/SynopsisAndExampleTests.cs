// SPDX-License-Identifier: MIT
using System.Net;
using System.Net.Sockets;
using System.Text.RegularExpressions;
using Iwpmd.Tests.Support;
using Xunit;

namespace Iwpmd.Tests.Native;

/// <summary>
/// The program takes what the manual says, as the renderers show it: each synopsis is compared with --help, each
/// example is run.
/// </summary>
public sealed partial class SynopsisAndExampleTests
{
    private const int TakenPort = 41003;

    [Fact]
    public void Each_synopsis_names_the_options_that_the_program_takes_and_no_other()
    {
        foreach (ManualPage page in ManualPage.Rendered("iwpmd.8"))
        {
            string[] lines = [.. page.Section("SYNOPSIS").Select(line => line.Trim()).Where(line => line.Length > 0)];
            string[] commands = [.. CommandHelp().Matches(Help()).Select(command => command.Groups[1].Value)];
            Assert.True(commands.Length >= 6, string.Join(' ', commands));
            Assert.Equal(commands.Order(), lines.Select(CommandOf).Where(command => command.Length > 0).Order());
            foreach (string command in (string[])["", .. commands])
            {
                string synopsis = string.Join('\n', lines.Where(line => CommandOf(line) == command));
                Assert.Equal(Taken(command), Named(synopsis));
            }
        }
    }

    [Fact]
    public void The_section_on_commands_has_the_same_synopses()
    {
        foreach (ManualPage page in ManualPage.Rendered("iwpmd.8"))
        {
            string[] synopses =
                [.. page.Section("SYNOPSIS").Select(line => line.Trim()).Where(
                    line => CommandOf(line).Length > 0).Select(line => line["iwpmd ".Length..])];
            Assert.True(synopses.Length >= 6);
            Assert.Empty(synopses.Except(page.Section("COMMANDS").Select(line => line.Trim())));
        }
    }

    /// <summary>
    /// Against a daemon with a mapping whose port another program has, on a host where loading modules and the like
    /// does nothing.
    /// </summary>
    [Fact]
    public void Each_example_does_what_the_manual_says()
    {
        foreach (ManualPage page in ManualPage.Rendered("iwpmd.8"))
        {
            using Scene scene = new Scene(configuration: $"port_range={TakenPort}-{TakenPort}\n").Ready();
            Assert.Equal(TakenPort, scene.AddMapping("10.0.0.1:5000"));
            scene.Daemon.Stop();
            using Socket other = scene.Host.Open(SocketType.Stream, new IPEndPoint(IPAddress.Any, TakenPort));
            scene.Restart().ExpectLog("daemon: ready");
            Dictionary<string, CommandResult> seen = page.Examples().Where(line => line.Length > 0).ToDictionary(
                line => line, line => RunAsShown(scene, line));

            Assert.Equal("no", Seen("iwpmd status || echo no").Output.TrimEnd().Split('\n')[^1]);
            Assert.Matches(@"\n10\.0\.0\.1:5000 +10\.0\.0\.1:41003 ", Seen("iwpmd mappings --port 41003").Output);
            Assert.Contains("\"mapped\": \"10.0.0.1:41003\"", Seen("iwpmd mappings --json | jq").Output);
            Assert.Equal(0, Seen("iwpmd --check-config -c ./iwpmd.conf").Status);
            // Two that start a daemon find the one that runs: it is what they would have become.
            string[] starts = [.. seen.Keys.Where(line => line is "# iwpmd" or "# iwpmd -f -l debug")];
            Assert.Equal(2, starts.Length);
            Assert.All(starts, line => Assert.Contains("is in use", seen[line].Errors));
            Assert.All(seen.Where(example => !starts.Contains(example.Key)), example => Assert.True(
                example.Value.Status == 0, $"{example.Key}: {example.Value}"));

            CommandResult Seen(string start) =>
                seen.Single(example => example.Key[2..].StartsWith(start, StringComparison.Ordinal)).Value;
        }
    }

    [Fact]
    public void Each_example_of_a_configuration_is_taken_without_a_complaint()
    {
        foreach (ManualPage page in ManualPage.Rendered("iwpmd.conf.5"))
        {
            using var host = new Host();
            string[] examples = string.Join('\n', page.Examples()).Split("\n\n", StringSplitOptions.RemoveEmptyEntries);
            Assert.True(examples.Length >= 2);
            foreach (string example in examples)
            {
                host.Write("/etc/iwpmd.conf", example + "\n");
                CommandResult result = Command.Run(host, "--check-config");
                Assert.True(result.Status == 0, $"{example}\n{result}");
            }
        }
    }

    private static string Help(string command = "")
    {
        using var host = new Host();
        return Command.Run(host, [.. command.Split(' ', StringSplitOptions.RemoveEmptyEntries), "--help"]).Output;
    }

    private static string CommandOf(string synopsis) => SynopsisCommand().Match(synopsis).Groups[1].Value;

    /// <summary>
    /// What --help lists: each option by its short name if it has one, with a sign if it takes a value. The option for
    /// help itself is said once, for all.
    /// </summary>
    private static string[] Taken(string command)
    {
        string help = Help(command);
        IEnumerable<string> options = OptionHelp().Matches(help).Select(
            option => option.Groups["long"].Value == "--help"
            ? command.Length > 0 ? "" : "--help"
            : (option.Groups["short"].Value is { Length: > 0 } name ? name : option.Groups["long"].Value)
                + (option.Groups["value"].Success ? "=" : ""));
        IEnumerable<string> arguments = ArgumentHelp().Matches(help).Select(
            argument => argument.Groups[1].Value.ToLowerInvariant());
        return [.. options.Concat(arguments).Where(name => name.Length > 0).Order(StringComparer.Ordinal)];
    }

    private static string[] Named(string synopsis)
    {
        IEnumerable<string> options = SynopsisOption().Matches(synopsis).Select(
            option => option.Groups[1].Value + (option.Groups["value"].Success ? "=" : ""));
        IEnumerable<string> arguments = SynopsisArgument().Matches(synopsis).Select(
            argument => argument.Groups[1].Value);
        return [.. options.Concat(arguments).Distinct().Order(StringComparer.Ordinal)];
    }

    private static CommandResult RunAsShown(Scene scene, string line)
    {
        string folder = Directory.CreateDirectory(scene.Host["examples"]).FullName;
        foreach (string program in (string[])["modprobe", "rdma", "systemctl"])
        {
            File.Delete(Path.Combine(folder, program));
            File.CreateSymbolicLink(Path.Combine(folder, program), "/bin/true");
        }
        File.WriteAllText(Path.Combine(folder, "iwpmd.conf"), "log_level=debug\n");
        Assert.Contains(line[..2], (string[])["# ", "$ "]);
        return Command.Run(scene.Host, [.. scene.Kernel.Environment, new(
            "PATH", $"{folder}:{Path.GetDirectoryName(Binaries.Ours)}:/usr/bin:/bin")],
            ["/bin/sh", "-c", $"cd {folder} && {line[2..]}"]);
    }

    [GeneratedRegex(@"(?m)^  ([a-z]+)(?: <[A-Z]+>)?  +\w")]
    private static partial Regex CommandHelp();

    [GeneratedRegex(@"(?m)^  (?:-\?, )?(?:(?<short>-\w), )?(?<long>--[a-z-]+)(?<value> <[A-Z]+>)?")]
    private static partial Regex OptionHelp();

    [GeneratedRegex(@"(?m)^  <([A-Z]+)>")]
    private static partial Regex ArgumentHelp();

    [GeneratedRegex(@"^iwpmd ([a-z]+)\b")]
    private static partial Regex SynopsisCommand();

    [GeneratedRegex(@"(?<=[\[ ])(--?[A-Za-z][a-z-]*)(?<value> \[?[a-z]+)?")]
    private static partial Regex SynopsisOption();

    [GeneratedRegex(@"(?:\] |^iwpmd [a-z]+ \[)([a-z]+)")]
    private static partial Regex SynopsisArgument();
}

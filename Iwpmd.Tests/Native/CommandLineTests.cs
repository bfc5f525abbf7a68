// SPDX-License-Identifier: MIT
using System.Diagnostics;
using Iwpmd.Tests.Support;
using Xunit;

namespace Iwpmd.Tests.Native;

/// <summary>The published executable as a command.</summary>
public class CommandLineTests
{
    private static (int Status, string Output, string Errors) Run(params string[] options)
    {
        using Process process = Tool.Start(Binaries.Ours, "iwpmd", options);
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        Assert.True(process.WaitForExit(Timeouts.Exit));
        return (process.ExitCode, output, errors.GetAwaiter().GetResult());
    }

    private static (int Status, string Output, string Errors) CheckConfiguration(string text)
    {
        string path = Path.GetTempFileName();
        try
        {
            File.WriteAllText(path, text);
            (int status, string output, string errors) = Run("--check-config", "-c", path);
            return (status, output.Replace(path, "FILE"), errors);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Theory]
    [InlineData("'--watch=' has no value behind it", "status", "--watch=")]
    [InlineData("'-w=' has no value behind it", "mappings", "-j", "-w=")]
    [InlineData("'--config=' has no value behind it", "--check-config", "--config=")]
    [InlineData("'--config=' has no value behind it", "--config=", "status")]
    [InlineData("'-x' is no option of the command ping, and no host", "ping", "-x")]
    [InlineData("'--cuont=3' is no option of the command ping, and no host", "ping", "--cuont=3")]
    [InlineData("'-x' is no option of the command ping, and no host", "ping", "--", "-x")]
    [InlineData("HOST is empty", "ping", "")]
    public void An_option_without_its_value_or_unknown_to_ping_is_an_error(string expected, params string[] options)
    {
        (int status, string output, string errors) = Run(options);
        Assert.Equal((2, ""), (status, output));
        Assert.Contains($"iwpmd: {expected}\n", errors);
    }

    [Theory]
    [InlineData("/")]
    [InlineData("/run/a\0b")]
    [InlineData(
        "/run/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")]
    public void A_directory_in_which_no_socket_can_be_named_is_a_complaint_with_its_line(string directory)
    {
        (int status, string output, _) = CheckConfiguration($"\nstate_dir={directory}\n");

        Assert.Equal(1, status);
        Assert.StartsWith("FILE:2: state_dir must be an absolute path, not /, of at most 98 bytes, not '", output);
        Assert.EndsWith("': the default, /run/iwpmd, stands\n", output);
    }

    [Fact]
    public void Version_is_told_on_stdout()
    {
        (int status, string output, string errors) = Run("--version");

        Assert.Matches(@"^iwpmd \d+\.\d+\.\d+\n$", output);
        Assert.Equal((0, ""), (status, errors));
    }

    /// <summary>
    /// A daemon of a boot image is called so, since systemd ends whatever is not when the root changes.
    /// </summary>
    [Fact]
    public void The_programs_own_name_may_begin_with_an_at_sign()
    {
        string version = Tool.Run("bash", "bash", "-c", $"exec -a @iwpmd {Binaries.Ours} --version");

        Assert.Equal(Run("--version").Output, version);
    }

    [Fact]
    public void A_word_in_brackets_is_no_argument()
    {
        Assert.Equal(
            (2, "", "iwpmd: Unrecognized command or argument '[diagram]'.\niwpmd: see iwpmd --help\n"),
            Run("[diagram]", "--version"));
    }

    [Theory]
    [InlineData("--help")]
    [InlineData("-h")]
    [InlineData("-?")]
    [InlineData("ping", "--help")] // without the host that it needs
    [InlineData("--help", "--no-such-option")]
    public void Help_comes_before_errors(params string[] options)
    {
        (int status, string output, string errors) = Run(options);
        Assert.Equal((0, ""), (status, errors));
        Assert.Contains("Usage:", output, StringComparison.Ordinal);
    }

    [Fact]
    public void Help_names_every_option()
    {
        (int status, string output, _) = Run("--help");

        Assert.Equal(0, status);
        string[] options =
            [
                "-s, --systemd", "-f, --foreground", "-c, --config", "-l, --log-level", "--check-config",
                "-V, --version", "--help",
            ];
        Assert.All(options, option => Assert.Contains(option, output));
    }

    [Theory]
    [InlineData("--frobnicate")]
    [InlineData("-x")]
    [InlineData("surplus")]
    public void An_unknown_option_is_named_and_ends_with_2(string option)
    {
        (int status, string output, string errors) = Run("-f", option);

        Assert.Equal((2, ""), (status, output));
        Assert.Contains(option, errors);
    }

    [Fact]
    public void The_configuration_may_be_named_before_a_command()
    {
        using var host = new Host();
        host.Write("/etc/other.conf", "state_dir=/run/other\n");
        foreach (string[] words in (string[][])
            [["-c", "/etc/other.conf", "status"], ["status", "-c", "/etc/other.conf"], ["--config", "/etc/other.conf",
             "metrics", "-o", "/etc/m"]])
        {
            CommandResult result = Command.Run(host, words);
            Assert.True(
                words.Contains("metrics") ? result.Status == 0 : result.Output.Contains("there is no /run/other/state"),
                result.ToString());
        }
    }

    [Theory]
    [InlineData("--foreground is no option of the command status", "status", "-f", "status")]
    [InlineData("--log-level is no option of the command doctor", "doctor", "-l", "debug", "doctor")]
    [InlineData("--version is no option of the command peers", "peers", "--version", "peers")]
    [InlineData("--check-config is no option of the command metrics", "metrics", "--check-config", "metrics")]
    [InlineData("--takeover is no option of the command mappings", "mappings", "--takeover", "mappings")]
    [InlineData("--config is no option of the command ping", "ping", "-c", "3", "ping", "10.0.0.2")]
    [InlineData("--config is given before and behind the command status", "status", "-c", "a", "status", "-c", "b")]
    [InlineData("--systemd and --foreground contradict each other", null, "-s", "-f")]
    [InlineData("--no-sandbox and --log-sandbox contradict each other", null, "-f", "--log-sandbox", "--no-sandbox")]
    [InlineData("Unrecognized command or argument '/h'.", null, "/h")]
    [InlineData("Unrecognized command or argument '/?'.", null, "/?")]
    [InlineData("'staus' is no command, perhaps status", null, "help", "staus")]
    [InlineData("'stop' is no command", null, "help", "stop")]
    [InlineData("Unrecognized command or argument 'stauts'.\niwpmd: perhaps status", null, "stauts")]
    [InlineData("Unrecognized command or argument '--foregroud'.\niwpmd: perhaps --foreground", null, "--foregroud")]
    [InlineData("Unrecognized command or argument '--jsn'.\niwpmd: perhaps --json", "peers", "peers", "--jsn")]
    [InlineData("Unrecognized command or argument 'start'.", null, "start")]
    [InlineData("Unrecognized command or argument 'foo'.", null, "foo", "--help")]
    [InlineData("'' is not the name of a file", "status", "status", "-c", "")]
    [InlineData("--config takes the name of one file", "status", "-c", "", "status")]
    [InlineData("--config takes the name of one file", "doctor", "-c", "a", "--config=b", "doctor")]
    [InlineData("'-' is not the name of a file", "metrics", "metrics", "-o", "-")]
    [InlineData("'10' is not an IP address", "mappings", "mappings", "-a", "10")]
    public void Wrong_usage_names_what_is_wrong_and_the_help(string fault, string? command, params string[] words)
    {
        string help = command is null ? "iwpmd" : $"iwpmd {command}";

        Assert.Equal((2, "", $"iwpmd: {fault}\niwpmd: see {help} --help\n"), Run(words));
    }

    [Fact]
    public void Help_and_version_as_people_try_them()
    {
        Assert.Equal(Run("--version"), Run("-V"));
        Assert.Equal(Run("--help"), Run("help"));
        Assert.Equal(Run("ping", "--help"), Run("help", "ping"));
        Assert.Contains("HOST", Run("help", "ping").Output);
        Assert.Contains("  help", Run("help").Output);
    }

    [Fact]
    public void An_unknown_log_level_ends_with_2()
    {
        (int status, _, string errors) = Run("-f", "-l", "loud");

        Assert.Equal(2, status);
        Assert.Contains("'loud'", errors);
    }

    [Fact]
    public void A_sound_configuration_has_no_complaints() => Assert.Equal(
        (0, "", ""), CheckConfiguration("# all is well\nquery_deadline = 2000\n\nport_range=40000-50000\n"));

    [Fact]
    public void Every_complaint_names_file_and_line()
    {
        (int status, string output, string errors) = CheckConfiguration(
            "query_deadline=1\n# fine\nno_such_name=1\nquery_retry=200\nport_range=9-3\n");

        Assert.Equal((1, ""), (status, errors));
        string[] lines = output.TrimEnd().Split('\n');
        Assert.Equal(["FILE:1:", "FILE:3:", "FILE:5:"], lines.Select(line => line[..7]));
        Assert.Contains("no_such_name", lines[1]);
    }

    /// <summary>By the setting of a separate network namespace.</summary>
    [Fact]
    public void Ports_that_the_daemon_may_not_bind_are_a_complaint()
    {
        using var host = new Host();
        host.Write("/etc/iwpmd.conf", "port_range=900-1100\nkeep_ports=1000\n");
        host.Write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "901");
        CommandResult one = Command.Run(host, "--check-config");
        const string Rest = "they need net.ipv4.ip_unprivileged_port_start, where the daemon is not root\n";
        Assert.Equal(
            (1, $"/etc/iwpmd.conf:1: port_range has privileged ports, those below 901: {Rest}"),
            (one.Status, one.Output));
        host.Write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "1024");
        Assert.Equal(
            one.Output.Replace(
                "901", "1024") + $"/etc/iwpmd.conf:2: keep_ports has privileged ports, those below 1024: {Rest}",
            Command.Run(host, "--check-config").Output);
        host.Write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
        Assert.Equal((0, ""), (Command.Run(host, "--check-config").Status, Command.Run(host, "--check-config").Output));
    }

    /// <summary>"Everyone" is not what was meant.</summary>
    [Theory]
    [InlineData("allow=10.0.0.0/99")]
    [InlineData("deny 10.0.0.1")]
    [InlineData("interfase=eth0")]
    public void A_fault_in_an_access_rule_keeps_the_daemon_from_starting(string line)
    {
        using var host = new Host();
        host.Write("/etc/iwpmd.conf", $"# who may ask\n{line}\n");

        Assert.Equal(78, Command.Run(host, "--check-config").Status);
        foreach (string[] options in (string[][])[[], ["-f"], ["-s"]])
        {
            CommandResult result = Command.Run(host, options);
            Assert.Equal(78, result.Status);
            Assert.Contains("configuration: /etc/iwpmd.conf:2: ", result.Errors);
            Assert.DoesNotContain("starting", result.Errors);
        }
    }

    [Fact]
    public void Control_characters_of_a_file_do_not_reach_the_terminal()
    {
        Assert.Equal(
            (1, "FILE:1: unknown name 'a\\x1b[2Jb': the line is ignored\n", ""), CheckConfiguration("a\u001b[2Jb=1\n"));
        Assert.DoesNotContain("\u001b", Run("ping", "no\u001b[2Jhost").Errors);
        Assert.DoesNotContain("\u001b", Run("no\u001b[2Jcommand").Errors);
    }

    [Theory]
    [InlineData("--check-config")]
    [InlineData("-f")]
    [InlineData("-s")]
    [InlineData(null)]
    [InlineData("status")]
    [InlineData("reload")]
    public void A_configuration_that_cannot_be_read_is_fatal_when_it_was_asked_for(string? option)
    {
        (int status, _, string errors) = Run([.. option is null ? (string[])[] : [option], "-c", "/no/such/file"]);

        Assert.Equal(78, status);
        Assert.Contains("/no/such/file", Assert.Single(errors.TrimEnd().Split('\n')));
    }
}

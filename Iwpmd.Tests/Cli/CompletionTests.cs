// SPDX-License-Identifier: MIT
using System.Text.RegularExpressions;
using Iwpmd.Tests.Native;
using Iwpmd.Tests.Support;
using Xunit;

namespace Iwpmd.Tests.Cli;

/// <summary>The completions know every command and option, and no other.</summary>
public partial class CompletionTests
{
    private const string Bash = "dist/completions/iwpmd.bash", Zsh = "dist/completions/_iwpmd";

    private static string Read(string path) => File.ReadAllText(Repository.PathOf(path));

    private static string[] Options =>
        [.. SourceRules.Options(Read("Iwpmd/Cli/CommandLine.cs") + Read("Iwpmd/Cli/CommandLine.Commands.cs")).Where(
            name => name.StartsWith("--")).Order()];

    private static string[] Commands =>
        [.. CommandName().Matches(
            Read("Iwpmd/Cli/CommandLine.Commands.cs")).Select(name => name.Groups[1].Value).Order()];

    /// <summary>What bash offers for the last of these words.</summary>
    private static string[] Complete(params string[] words)
    {
        string line = string.Join(' ', words.Select(word => $"'{word}'"));
        string script =
            $"source {Repository.PathOf(Bash)}; COMP_WORDS=({line}); COMP_CWORD={words.Length - 1}; _iwpmd; "
                + $"printf '%s\\n' \"${{COMPREPLY[@]}}\"";
        return [.. Tool.Run("bash", "bash", "-c", script).Split('\n', StringSplitOptions.RemoveEmptyEntries).Order()];
    }

    [Theory]
    [InlineData(Bash)]
    [InlineData(Zsh)]
    public void Every_option_is_there(string path) =>
        Assert.Equal(Options, OptionWord().Matches(Read(path)).Select(word => word.Value).Distinct().Order());

    [Fact]
    public void Bash_completes_commands_and_their_options()
    {
        Assert.Equal(["doctor", "help", "mappings", "metrics", "peers", "ping", "reload", "status"], Commands);
        Assert.Equal(Commands, Complete("iwpmd", "").Where(word => word[0] != '-'));
        Assert.Equal(["mappings", "metrics"], Complete("iwpmd", "m"));
        Assert.Equal(
            ["--json", "--watch"], Complete("iwpmd", "status", "--").Where(word => word is "--json" or "--watch"));
        Assert.Equal(["--address"], Complete("iwpmd", "mappings", "--json", "--a"));
        Assert.Empty(Complete("iwpmd", "mappings", "--port", ""));
        Assert.Equal(["warning"], Complete("iwpmd", "--log-level", "w"));
    }

    /// <summary>Bash makes a word of each equals sign.</summary>
    [Fact]
    public void Bash_completes_a_value_behind_an_equals_sign()
    {
        Assert.Equal(["debug", "error", "info", "warning"], Complete("iwpmd", "--log-level", "="));
        Assert.Equal(["warning"], Complete("iwpmd", "--log-level", "=", "w"));
        Assert.Empty(Complete("iwpmd", "mappings", "--port", "=", "4"));
    }

    [Fact]
    public void Zsh_knows_every_command() =>
        Assert.Equal(Commands, ZshCommand().Matches(Read(Zsh)).Select(word => word.Groups[1].Value).Order());

    [GeneratedRegex("""
        (?:ViewCommand|new[ ]Command)\(\s*"([a-z]+)"
        """, RegexOptions.IgnorePatternWhitespace)]
    private static partial Regex CommandName();

    [GeneratedRegex(@"(?<![\w-])--[a-z][a-z-]*")]
    private static partial Regex OptionWord();

    [GeneratedRegex(@"(?m)^            '([a-z]+):")]
    private static partial Regex ZshCommand();
}

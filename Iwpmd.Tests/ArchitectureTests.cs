// SPDX-License-Identifier: MIT
using Iwpmd.Os.Interop;
using Iwpmd.State;
using Iwpmd.Tests.Support;
using Xunit;

namespace Iwpmd.Tests;

/// <summary>
/// The house keeps its own rules: the sources are read and asked. Each rule is also shown a text that breaks it.
/// </summary>
public class ArchitectureTests
{
    private delegate IEnumerable<string> Rule(string path, string text);

    [Fact]
    public void Folders_depend_on_each_other_downwards_only() => AssertKept(SourceRules.Dependencies);

    [Theory]
    [InlineData("Wire/X.cs", "namespace Iwpmd.Wire; using Iwpmd.Core;")]
    [InlineData("Wire/X.cs", "namespace Iwpmd.Wire; class X { void M() => Log.Started(); }")]
    [InlineData("State/X.cs", "namespace Iwpmd.State; using Iwpmd.Core;")]
    [InlineData("Core/X.cs", "namespace Iwpmd.Core; using Iwpmd.Os;")]
    [InlineData("Core/X.cs", "namespace Iwpmd.Core; using static Iwpmd.Os.Interop.Libc;")]
    [InlineData("Core/X.cs", "namespace Iwpmd.Core; class X { Os.Fd _fd; }")]
    [InlineData("Core/X.cs", "namespace Iwpmd.Core; class X { string M() => $\"{Iwpmd.Daemon.EventLoop.Name}\"; }")]
    [InlineData("Os/X.cs", "namespace Iwpmd.Os; using P = Iwpmd.Core.PortMapper;")]
    [InlineData("Os/X.cs", "namespace Iwpmd.Os; using Iwpmd.State;")]
    [InlineData("Daemon/X.cs", "namespace Iwpmd.Daemon; using Iwpmd.Cli;")]
    [InlineData("Log.cs", "namespace Iwpmd; using Iwpmd.Core;")]
    [InlineData("Log.cs", "namespace Iwpmd; class Log { void M(Os.UdpSocket socket) { } }")]
    [InlineData("Core/X.cs", "namespace Iwpmd.Os; class X;")]
    [InlineData("Core/X.cs", "global using Iwpmd.Wire;")]
    public void An_arrow_upwards_or_across_is_seen(string path, string text) =>
        Assert.NotEmpty(SourceRules.Dependencies("Iwpmd/" + path, text));

    [Theory]
    [InlineData(
        "Core/X.cs",
        "using Iwpmd.Wire; namespace Iwpmd.Core; class X { void M() => Log.Started(); } // unlike Iwpmd.Os.Fd")]
    [InlineData("Os/X.cs", "namespace Iwpmd.Os; class X { string M() => \"Iwpmd.Core.PortMapper\"; }")]
    [InlineData("Daemon/X.cs", "using Iwpmd.Core; using Iwpmd.Os; using Iwpmd.Wire; namespace Iwpmd.Daemon;")]
    [InlineData(
        "Log.cs",
        "using Iwpmd.Wire; namespace Iwpmd; class Log { void M(IpFamily family, State.MappingState state) { } }")]
    [InlineData("Program.cs", "return Iwpmd.Cli.CommandLine.Run(args);")]
    public void An_arrow_downwards_is_fine(string path, string text) =>
        Assert.Empty(SourceRules.Dependencies("Iwpmd/" + path, text));

    [Fact]
    public void Unsafe_code_is_only_in_Os_and_in_the_state_layout()
    {
        AssertKept(SourceRules.UnsafeCode);
        Assert.NotEmpty(SourceRules.UnsafeCode("Iwpmd/Core/PortMapper.cs", "internal unsafe class X;"));
        Assert.Empty(SourceRules.UnsafeCode("Iwpmd/State/StateLayout.Rows.cs", "internal unsafe class X;"));
        Assert.Empty(SourceRules.UnsafeCode(
            "Iwpmd/Core/PortMapper.cs", "// nothing unsafe here\nclass X { string Y = \"unsafe\"; }"));
    }

    [Fact]
    public void Native_functions_are_imported_only_in_Os()
    {
        AssertKept(SourceRules.NativeImports);
        Assert.NotEmpty(SourceRules.NativeImports(
            "Iwpmd/Daemon/X.cs", "[LibraryImport(\"libc\")] internal static partial int getpid();"));
        Assert.NotEmpty(SourceRules.NativeImports(
            "Iwpmd/Core/X.cs", "[System.Runtime.InteropServices.DllImport(\"libc\")] static extern int getpid();"));
    }

    [Fact]
    public void There_is_no_reflection()
    {
        AssertKept(SourceRules.Reflection);
        string[] samples =
            [
                "using System.Reflection;", "Activator.CreateInstance<X>();", "x.GetType().Name",
                "typeof(X).GetMethods()", "typeof(X).Assembly", "Type.GetType(name)", "dynamic x = y;",
            ];
        Assert.All(samples, sample => Assert.NotEmpty(SourceRules.Reflection("Iwpmd/Core/X.cs", sample)));
    }

    [Fact]
    public void No_type_has_a_name_that_says_nothing()
    {
        AssertKept(SourceRules.TypeNames);
        string[] samples =
            [
                "class PortManager", "static class NetHelpers", "record struct CommonData", "interface IUtil",
                "enum Utilities",
            ];
        Assert.All(samples, sample => Assert.NotEmpty(SourceRules.TypeNames("Iwpmd/Core/X.cs", sample)));
    }

    [Fact]
    public void Core_and_Wire_have_neither_clock_nor_dice()
    {
        AssertKept(SourceRules.Clocks);
        string[] samples =
            [
                "var now = DateTime.UtcNow;", "Stopwatch.GetTimestamp()", "Environment.TickCount64",
                "Random.Shared.Next()", "new Random()", "Guid.NewGuid()",
            ];
        Assert.All(samples, sample => Assert.NotEmpty(SourceRules.Clocks("Iwpmd/Core/X.cs", sample)));
    }

    [Fact]
    public void The_names_of_C_stay_where_C_is_spoken()
    {
        AssertKept(SourceRules.CNames);
        Assert.NotEmpty(SourceRules.CNames("Iwpmd/Core/X.cs", "if (error == IWPM_DUPLICATE_MAPPING_ERROR)"));
        Assert.NotEmpty(SourceRules.CNames("Iwpmd/Daemon/X.cs", "Libc.socket(AF_INET, 0, 0)"));
        Assert.NotEmpty(SourceRules.CNames("Iwpmd/Os/UdpSocket.cs", "private const int SOL_UDP = 17;"));
        Assert.Empty(SourceRules.CNames(
            "Iwpmd/Os/UdpSocket.cs", "int level = v6 ? SOL_IPV6 : SOL_IP; bool same = SOL_IP == level;"));
        Assert.Empty(SourceRules.CNames("Iwpmd/Os/Interop/Libc.netinet_in.cs", "internal const int IPPROTO_UDP = 17;"));
    }

    [Fact]
    public void Every_log_line_stands_in_Log()
    {
        AssertKept(SourceRules.LogLines);
        Assert.NotEmpty(SourceRules.LogLines(
            "Iwpmd/Core/X.cs", "[LoggerMessage(1, LogLevel.Debug, \"x\")] static partial void X(ILogger log);"));
        Assert.Empty(SourceRules.LogLines(
            "Iwpmd/Log.cs", "[LoggerMessage(1, LogLevel.Debug, \"x\")] static partial void X(ILogger log);"));
    }

    [Fact]
    public void Every_note_of_a_deviation_is_in_the_list_and_the_other_way_round() =>
        AssertNone(SourceRules.Deviations(
            Repository.Sources("Iwpmd").Select(path => (path, Read(path))), Read("doc/deviations.md")));

    [Theory]
    [InlineData("- Differs: asks first (`Core/A.cs`)\n- Kept: 64\n  bytes (`Wire/B.cs`)\n", "")]
    [InlineData("- Kept: 64 bytes (`Wire/B.cs`)", "Core/A.cs: 1 x Differs, doc/deviations.md: 0")]
    [InlineData(
        "- Kept: asks first (`Core/A.cs`)\n- Kept: 64 bytes (`Wire/B.cs`)",
        "Core/A.cs: 1 x Differs, doc/deviations.md: 0\nCore/A.cs: 0 x Kept, doc/deviations.md: 1")]
    [InlineData(
        "- Differs: asks first (`Core/A.cs`)\n- Differs: asks twice (`Core/A.cs`)\n- Kept: 64 bytes (`Wire/B.cs`)",
        "Core/A.cs: 1 x Differs, doc/deviations.md: 2")]
    [InlineData(
        "- Differs: asks first (`Core/A.cs`)\n- Kept: 64 bytes",
        "Wire/B.cs: 1 x Kept, doc/deviations.md: 0\ndoc/deviations.md: no source named: - Kept: 64 bytes")]
    public void A_deviation_that_only_the_sources_or_only_the_list_knows_is_seen(string list, string violations)
    {
        (string, string)[] sources =
            [("Iwpmd/Core/A.cs", "// Differs: asks first"), ("Iwpmd/Wire/B.cs", "/// x. Kept: 64 bytes")];

        Assert.Equal(violations, string.Join('\n', SourceRules.Deviations(sources, list)));
    }

    [Fact]
    public void Every_option_and_key_is_in_its_man_page()
    {
        string[] options = SourceRules.Options(
            Read("Iwpmd/Cli/CommandLine.cs") + Read("Iwpmd/Cli/CommandLine.Commands.cs")),
            keys = SourceRules.Keys(Read("Iwpmd/Daemon/Configuration.cs"));

        Assert.Contains("--systemd", options);
        Assert.Contains("--watch", options);
        Assert.Contains("query_deadline", keys);
        AssertNone(SourceRules.Undocumented(options, Read("iwpmd.8")));
        AssertNone(SourceRules.Undocumented(keys, Read("iwpmd.conf.5")));
        AssertNone(SourceRules.Undocumented(keys, Read("iwpmd.conf")));
    }

    [Fact]
    public void An_option_or_key_that_a_man_page_does_not_have_is_seen()
    {
        string[] options = SourceRules.Options("new Option<bool>(\"--check-config\", \"-c\")"),
            keys = SourceRules.Keys("Milliseconds(\"query_retry\"), Number(\"max_mappings\"), new(\"state_dir\", x)");

        Assert.Equal(["--check-config", "-c"], options);
        Assert.Equal(["query_retry", "max_mappings", "state_dir"], keys);
        Assert.Empty(SourceRules.Undocumented(options, ".It Fl c , Fl -check-config"));
        Assert.Empty(SourceRules.Undocumented(options, ".BR \\-c ,\n.B \\-\\-check\\-config"));
        Assert.Equal(["--check-config"], SourceRules.Undocumented(options, ".It Fl c , Fl -check-config-file"));
        Assert.Equal(["query_retry"], SourceRules.Undocumented(keys, "query_retry_time, max_mappings, state_dir"));
    }

    [Fact]
    public void No_file_names_the_machine_it_was_made_on()
    {
        // which has the samples below
        var texts = Repository.Files().Where(path => path != "Iwpmd.Tests/ArchitectureTests.cs")
            .Select(path => (Path: path, Text: Read(path)));

        AssertNone(texts.Where(file => !file.Text.Contains('\0')).SelectMany(
            file => SourceRules.BuildMachine(file.Path, file.Text, Repository.Root)));
    }

    [Theory]
    [InlineData("/builds/iwpmd", "cd /builds/iwpmd && make")]
    [InlineData("/builds/iwpmd", "see /builds")]
    [InlineData("/builds/iwpmd", "see /builds/other/file")]
    [InlineData("/usr/src/iwpmd", "see /usr/src/iwpmd/README.md")]
    [InlineData("/builds/iwpmd", "see /home/somebody/notes")]
    public void A_path_of_the_machine_is_seen(string root, string text) =>
        Assert.NotEmpty(SourceRules.BuildMachine("x", text, root));

    [Theory]
    [InlineData("/usr/src/iwpmd", "see /usr/src/linux-headers")]
    [InlineData("/builds/iwpmd", "see out/builds/x, ../builds and https://host.example/builds-of-today")]
    public void A_path_of_any_machine_is_fine(string root, string text) =>
        Assert.Empty(SourceRules.BuildMachine("x", text, root));

    [Theory]
    [InlineData("a // b\nc", "a c")]
    [InlineData("a /* b\n */ c", "a c")]
    [InlineData("a \"b // \\\" { \" c", "a c")]
    [InlineData("a @\"b\\\" c", "a c")]
    [InlineData("a @\"b\"\"{\" c", "a c")]
    [InlineData("a '\"' '\\'' c", "a c")]
    [InlineData("a $\"b{{ {c + \"d\"} }}\" e", "a c + e")]
    [InlineData("a \"\"\"b \"\" {\"\"\" c", "a c")]
    [InlineData("a $$\"\"\"b {c} {{d}} \"\"\" e", "a d e")]
    public void Comments_and_texts_are_not_taken_for_code_and_nothing_moves(string text, string words)
    {
        string code = SourceText.CodeOf(text);

        Assert.Equal(words, string.Join(' ', code.Split(default(char[]), StringSplitOptions.RemoveEmptyEntries)));
        Assert.Equal(text.Length, code.Length);
        Assert.Equal(text.IndexOf('\n'), code.IndexOf('\n'));
    }

    [Fact]
    public void The_braces_of_every_source_match_once_comments_and_texts_are_gone()
    {
        var codes = Repository.Sources("Iwpmd").Concat(Repository.Sources("Iwpmd.Tests")).Select(
            path => (Path: path, Code: SourceText.CodeOf(Read(path))));

        AssertNone(codes.Where(source => source.Code.Count(c => c == '{') != source.Code.Count(c => c == '}')).Select(
            source => source.Path));
    }

    private static void AssertKept(Rule rule)
    {
        string[] sources = [.. Repository.Sources("Iwpmd")];
        Assert.NotEmpty(sources);
        AssertNone(sources.SelectMany(path => rule(path, Read(path))));
    }

    private static void AssertNone(IEnumerable<string> violations)
    {
        string text = string.Join('\n', violations);
        Assert.True(text.Length == 0, text);
    }

    private static string Read(string path) => File.ReadAllText(Repository.PathOf(path));
}

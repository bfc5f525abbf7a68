// SPDX-License-Identifier: MIT
using System.Diagnostics;
using System.Text.RegularExpressions;
using Iwpmd.Tests.Native;
using Iwpmd.Tests.Support;
using Xunit;

namespace Iwpmd.Tests;

/// <summary>What whoever builds it meets first. Nothing is built here: the executable is a stand-in.</summary>
public sealed class MakefileTests : IDisposable
{
    private static readonly string[] s_sources =
    [
        "Makefile", "Directory.Build.props", "Directory.Build.targets", "iwpmd.conf", "iwpmd.8", "iwpmd.conf.5",
        "UPGRADING.md", "NEWS", "LICENSE", "README.md",
    ];

    private readonly string _folder = Directory.CreateTempSubdirectory("iwpmd-make-").FullName;
    private string? _path = Environment.GetEnvironmentVariable("PATH");

    public MakefileTests()
    {
        foreach (string source in s_sources)
        {
            File.Copy(Repository.PathOf(source), InFolder(source));
        }

        Tool.Run("cp", "coreutils", "--recursive", Repository.PathOf("dist"), Repository.PathOf("doc"), _folder);
        Directory.CreateDirectory(InFolder("Iwpmd"));
        Directory.CreateDirectory(InFolder("out"));
        string[] standIns =
            [
                "Iwpmd/Iwpmd.csproj", "Iwpmd/packages.lock.json", "out/iwpmd", "out/iwpmd.spdx.json",
                "out/THIRD-PARTY-NOTICES",
            ];
        foreach (string standIn in standIns)
        {
            File.WriteAllText(InFolder(standIn), "");
        }
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Help_names_every_target()
    {
        string makefile = File.ReadAllText(Repository.PathOf("Makefile"));
        string[] targets = [.. Regex.Matches(makefile, @"^\.PHONY: (.*)$", RegexOptions.Multiline)
            .SelectMany(line => line.Groups[1].Value.Split(' '))
            .Where(target => target != "FORCE" && !target.EndsWith("-deps"))];
        string[] parts = Make("help").Output.Split("\n\n");

        Assert.NotEmpty(targets);
        Assert.Equal(targets.Order(), FirstWords(parts[0]).Order());
        string[] variables = [.. FirstWords(parts[1]).Skip(1)]; // behind a heading
        Assert.Equal(["ARCH", "PREFIX", "DESTDIR", "FOR", "PROPERTIES"], variables);
        Assert.All(variables, variable => Assert.Contains($"$({variable})", makefile));

        static IEnumerable<string> FirstWords(string text) =>
            text.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => line.Split(' ')[0]);
    }

    /// <summary>As on Fedora.</summary>
    [Fact]
    public void An_rpm_needs_nothing_of_dpkg()
    {
        _path = Directory.CreateDirectory(InFolder("path")).FullName;
        foreach (string tool in (string[])["bash", "dirname", "awk", "grep", "xargs", "env"])
        {
            File.CreateSymbolicLink(
                Path.Combine(_path, tool), Tool.Run("sh", "dash", "-c", $"command -v {tool}").Trim());
        }
        StandIn("path/dotnet", "echo '10.0.100 [/nowhere]'");
        StandIn("path/gcc", "echo /lib/crt1.o");
        foreach (string program in (string[])["strip", "objcopy", "jq", "rpmlint"])
        {
            StandIn($"path/{program}", "exit 1");
        }

        Assert.Equal("need: missing: rpm\n", Need().Split("    ")[0]);
        StandIn("path/rpmbuild", "exit 1");
        Assert.Equal("", Need());

        string Need() => Run(InFolder("dist/need"), "--check", "rpm").Output;
    }

    [Fact]
    public void What_was_installed_is_uninstalled_with_the_same_variables()
    {
        string root = InFolder("root");
        string[] variables = ["BUILT=", $"DESTDIR={root}", "PREFIX=/opt/iwpmd"];
        string[] configuration = ["/etc/iwpmd.conf", "/etc/rdma/modules/iwpmd.conf"];
        Make(["install", .. variables]);
        Assert.Contains("/opt/iwpmd/sbin/iwpmd", Installed());

        string words = Make(["uninstall", .. variables]).Output;
        Assert.Equal(configuration, Installed());
        Assert.All(configuration, file => Assert.Contains($"left: {root}{file} (PURGE=1 removes it)", words));

        Make(["uninstall", "PURGE=1", .. variables]);
        Assert.Empty(Installed());
        // Folders of its own went as well.
        string[] folders = Directory.GetDirectories(root, "*iwpmd", SearchOption.AllDirectories);
        Assert.Equal(["/opt/iwpmd"], folders.Select(Below));

        string Below(string path) => path[root.Length..];
        string[] Installed() =>
            [.. Directory.GetFiles(root, "*", SearchOption.AllDirectories).Select(Below).Order(StringComparer.Ordinal)];
    }

    [Fact]
    public void Another_property_builds_anew_and_the_same_does_not()
    {
        const string Property = "PROPERTIES=-p:StackTraceSupport=false";
        Assert.True(Builds());
        Make("out/build/properties");
        File.SetLastWriteTimeUtc(InFolder("out/iwpmd"), DateTime.UtcNow.AddMinutes(1));
        Assert.False(Builds());

        Assert.True(Builds(Property));

        bool Builds(params string[] variables) =>
            Make(["-n", "out/iwpmd", .. variables]).Output.Contains("\ndotnet publish");
    }

    [Theory]
    [InlineData("dotnet", "dotnet is missing: install the .NET SDK 10")]
    [InlineData("gcc", "as root: make deps FOR=build")]
    [InlineData("strip", "    binutils")]
    public void What_is_missing_is_said_before_anything_is_started(string program, string words)
    {
        _path = Directory.CreateDirectory(InFolder("path")).FullName;
        string[] tools =
        [
            "bash", "sh", "dirname", "awk", "grep", "cat", "rm", "mkdir", "find", "sed", "stat", "dpkg-query", "gcc",
            "strip", "objcopy", "git", "xargs",
        ];
        foreach (string tool in tools.Where(tool => tool != program))
        {
            string found = Tool.Run("sh", "dash", "-c", $"command -v {tool}").Trim();
            File.CreateSymbolicLink(Path.Combine(_path, tool), found);
        }

        // Whatever would be started says so; apt-get need only be there.
        foreach (string stand in ((string[])["dotnet", "apt-get"]).Where(name => name != program))
        {
            StandIn($"path/{stand}", "[ \"$1\" = --list-sdks ] && echo '10.0.100 [/nowhere]' || echo STARTED $0 $*");
        }

        var (status, output) = Make("-j4", "out/iwpmd", "out/iwpmd-static");

        Assert.Equal(2, status);
        Assert.Contains(words, output);
        Assert.DoesNotContain("STARTED", output);
    }

    [Theory]
    [InlineData("ARCH=aarch64", "ARCH is amd64 or arm64, not aarch64")]
    [InlineData("PREFIX=usr/local", "PREFIX is an absolute path, not usr/local")]
    public void A_variable_that_would_be_taken_for_something_else_is_refused(string variable, string words)
    {
        var (status, output) = Make(variable, "install");

        Assert.Equal(2, status);
        Assert.Contains(words, output);
    }

    [Fact]
    public void A_step_that_fails_stands_last_with_its_log()
    {
        StandIn("dist/need", "echo the archive is away; exit 1");

        var (status, output) = Make("-j4", "demo");

        Assert.Equal(2, status);
        string[] lines = [.. output.Split('\n').Where(line => line != "" && !line.StartsWith("make: "))];
        Assert.StartsWith("== 1 of 4: Debian's packages that must be installed (usually ", lines[0]);
        Assert.Equal("   the archive is away", lines[^2]);
        Assert.StartsWith("make demo: step 1 of 4 (packages) failed after ", lines[^1]);
        Assert.EndsWith(" s; all of it: out/log/demo-packages.log", lines[^1]);
        Assert.Equal(lines, File.ReadAllLines(InFolder("out/log/demo.log")).Where(line => line != ""));
    }

    [Fact]
    public void Tests_that_fail_stand_last_with_reason_and_log_and_the_numbers_close()
    {
        foreach (string quiet in (string[])["dist/need", "lab/lab", "path/make"])
        {
            StandIn(quiet, "exit 0");
        }

        StandIn("path/dotnet", """
            case "$*" in
            *--list-tests) printf '    Iwpmd.Tests.%s\n' A.One A.Two Native.B.Three ;;
            *!~*)
                printf '  Passed Iwpmd.Tests.A.One [1 ms]\n  Failed Iwpmd.Tests.A.Two(at: "1 [2]", of: 3) [1 ms]\n'
                printf '  Error Message:\n   too late\n'
                exit 1 ;;
            *~*) echo killed ;;
            esac
            """);
        StandIn("lab/run", """
            printf 'passed startup full\nFAILED parallel full\nFAILED parallel (siw full, c,c): lost (logs: x)\n'
            echo 5 passed, 1 failed
            exit 1
            """);
        StandIn("deb/test", "echo deb: it runs; exit 1");
        StandIn("rpm/test", "echo rpm: ok: it runs; echo 2 passed, 0 failed");
        _path = $"{InFolder("path")}:{_path}";

        var (status, output) = Run(InFolder("dist/steps"), "check");

        Assert.Equal(1, status);
        output = Regex.Replace(output, "after [0-9]+ minutes?", "after N minutes"); // the machine's speed
        string[] end = [.. output[output.IndexOf("\nFailed:")..].Split('\n', StringSplitOptions.RemoveEmptyEntries)];
        Assert.Equal(
        [
            "Failed:",
            "   quick: Iwpmd.Tests.A.Two(at: \"1 [2]\", of: 3): too late (out/log/check-quick.log)",
            "   native: the runner ended early: killed (out/log/check-native.log)",
            "   matrix: FAILED parallel (siw full, c,c): lost (logs: x) (out/log/check-matrix.log)",
            "   lasting: FAILED parallel (siw full, c,c): lost (logs: x) (out/log/check-lasting.log)",
            "   deb: ended early: deb: it runs (out/log/check-deb.log)",
            "   newest: FAILED parallel (siw full, c,c): lost (logs: x) (out/log/check-newest.log)",
            "   arm64: FAILED parallel (siw full, c,c): lost (logs: x) (out/log/check-arm64.log)",
            "after N minutes; all of it is in out/log/check.log",
            "23 passed, 7 failed",
        ], end);
    }

    private string InFolder(string path) => Path.Combine(_folder, path);

    private void StandIn(string path, string script)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(InFolder(path))!);
        File.WriteAllText(InFolder(path), $"#!/bin/sh\n{script}\n");
        Tool.Run("chmod", "coreutils", "755", InFolder(path));
    }

    private (int Status, string Output) Make(params string[] arguments) =>
        Run("make", ["--no-print-directory", "--directory", _folder, .. arguments]);

    private (int Status, string Output) Run(string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        // A make that started these tests is no concern of this one.
        start.Environment.Remove("MAKEFLAGS");
        start.Environment.Remove("MAKELEVEL");
        start.Environment["PATH"] = _path;
        using Process process = Process.Start(start)!;
        Task<string> complaints = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output + complaints.Result);
    }
}

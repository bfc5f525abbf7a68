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
        "Makefile", "Directory.Build.props", "Directory.Build.targets", "iwpmd.conf", "iwpmd.8", "iwpmd.conf.5", "UPGRADING.md",
        "NEWS", "LICENSE", "README.md",
    ];

    private readonly string _folder = Directory.CreateTempSubdirectory("iwpmd-make-").FullName;
    private string? _path = Environment.GetEnvironmentVariable("PATH");

    public MakefileTests()
    {
        foreach (string source in s_sources)
        {
            File.Copy(Repository.PathOf(source), InFolder(source));
        }

        Tool.Run("cp", "coreutils", "--recursive", Repository.PathOf("dist"), _folder);
        Directory.CreateDirectory(InFolder("Iwpmd"));
        Directory.CreateDirectory(InFolder("out"));
        foreach (string standIn in (string[])["Iwpmd/Iwpmd.csproj", "Iwpmd/packages.lock.json", "out/iwpmd", "out/iwpmd.spdx.json"])
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
        string[] lines = Make("help").Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);

        Assert.NotEmpty(targets);
        Assert.Equal(targets.Order(), lines.Select(line => line.Split(' ')[0]).Order());
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
        Assert.Equal(["/opt/iwpmd"], Directory.GetDirectories(root, "*iwpmd", SearchOption.AllDirectories).Select(Below));

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

        bool Builds(params string[] variables) => Make(["-n", "out/iwpmd", .. variables]).Output.Contains("\ndotnet publish");
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
            "bash", "sh", "dirname", "awk", "grep", "cat", "rm", "mkdir", "find", "sed", "stat", "dpkg-query", "gcc", "strip",
            "objcopy", "git", "xargs",
        ];
        foreach (string tool in tools.Where(tool => tool != program))
        {
            File.CreateSymbolicLink(Path.Combine(_path, tool), Tool.Run("sh", "dash", "-c", $"command -v {tool}").Trim());
        }

        // Whatever would be started says so; apt-get need only be there.
        foreach (string stand in ((string[])["dotnet", "apt-get"]).Where(name => name != program))
        {
            string file = Path.Combine(_path, stand);
            File.WriteAllText(file, "#!/bin/sh\n[ \"$1\" = --list-sdks ] && echo '10.0.100 [/nowhere]' || echo STARTED $0 $*\n");
            Tool.Run("chmod", "coreutils", "755", file);
        }

        var (status, output) = Make("-j4", "out/iwpmd", "out/iwpmd-static");

        Assert.Equal(2, status);
        Assert.Contains(words, output);
        Assert.DoesNotContain("STARTED", output);
    }

    [Fact]
    public void A_step_that_fails_stands_last_with_its_log()
    {
        File.WriteAllText(InFolder("dist/need"), "#!/bin/sh\necho the archive is away\nexit 1\n");

        var (status, output) = Make("-j4", "demo");

        Assert.Equal(2, status);
        string[] lines = [.. output.Split('\n').Where(line => line != "" && !line.StartsWith("make: "))];
        Assert.StartsWith("== 1 of 4: Debian's packages that must be installed (usually ", lines[0]);
        Assert.Equal("   the archive is away", lines[^2]);
        Assert.Matches("^make demo: step 1 of 4 \\(packages\\) failed after [0-9]+ s; all of it: out/log/demo-packages.log$", lines[^1]);
        Assert.Equal(lines, File.ReadAllLines(InFolder("out/log/demo.log")).Where(line => line != ""));
    }

    private string InFolder(string path) => Path.Combine(_folder, path);

    private (int Status, string Output) Make(params string[] arguments)
    {
        var start = new ProcessStartInfo("make", ["--no-print-directory", "--directory", _folder, .. arguments])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        // A make that started these tests is no concern of this one.
        start.Environment.Remove("MAKEFLAGS");
        start.Environment["PATH"] = _path;
        using Process make = Process.Start(start)!;
        Task<string> complaints = make.StandardError.ReadToEndAsync();
        string output = make.StandardOutput.ReadToEnd();
        make.WaitForExit();
        return (make.ExitCode, output + complaints.Result);
    }
}

// SPDX-License-Identifier: MIT
using System.Text.Json;
using System.Text.RegularExpressions;
using Iwpmd.Tests.Os;
using Iwpmd.Tests.Support;
using Xunit;

namespace Iwpmd.Tests.Native;

/// <summary>
/// The static executable in the root that a container has of it, in a network namespace of its own, so that there is no
/// kernel to serve. That it serves is in the lab (empty-root.sh).
/// </summary>
public sealed partial class EmptyRootTests : IDisposable
{
    private const string WithProcAndDev = "mount -t proc proc $1/proc && mount --rbind /dev $1/dev && ";

    private readonly TemporaryDirectory _root = new();
    private readonly Host _host = new();

    private static string Image => Repository.PathOf("out/image");

    public EmptyRootTests()
    {
        Assert.True(Directory.Exists(Image), $"{Image} is missing: run make image first");
        Tool.Run("cp", "coreutils", "-a", $"{Image}/.", _root.Path);
    }

    public void Dispose()
    {
        _host.Dispose();
        _root.Dispose();
    }

    private CommandResult Run(string mounts, params string[] arguments) =>
        Command.Run(
            _host, [],
            [
                "unshare", "--mount", "sh", "-c", $"{mounts}exec chroot \"$@\"", "sh", _root.Path, "/usr/sbin/iwpmd",
                .. arguments,
            ]);

    [Fact]
    public void It_needs_nothing_to_tell_its_version() =>
        Assert.Matches(@"^status 0\niwpmd \d+\.\d+\.\d+\n$", Run("", "--version").ToString());

    [Fact]
    public void It_reads_the_configuration_of_its_root() =>
        Assert.Equal(0, Run("", "--check-config", "-c", "/etc/iwpmd.conf").Status);

    [Theory]
    [InlineData("--foreground")]
    [InlineData("--systemd")]
    [InlineData("--log-level=info")] // detached
    public void With_proc_and_dev_it_misses_nothing_but_the_kernel(string mode)
    {
        Run(WithProcAndDev, mode).ExpectNothingMissingButTheKernel();
    }

    [Fact]
    public void Without_proc_it_says_so()
    {
        Assert.Contains("host: /proc is not mounted", Run("", "--foreground").Errors);
        Assert.Matches("failure +proc +/proc is not mounted: .*: mount it\n", Run("", "doctor").Output);
        Assert.DoesNotContain(" proc ", Run(WithProcAndDev, "doctor").Output);
    }

    [Fact]
    public void Without_dev_it_does_not_detach_and_says_why()
    {
        CommandResult result = Run("mount -t proc proc $1/proc && ");

        Assert.Equal(
            (1, "iwpmd: detach: there is no /dev/null: mount /dev, or try --foreground\n"),
            (result.Status, result.Errors));
    }

    [Fact]
    public void The_commands_work_there()
    {
        Assert.Equal(3, Run(WithProcAndDev, "status").Status);
        Assert.Matches("ok +configuration +/etc/iwpmd.conf has no faults\n", Run(WithProcAndDev, "doctor").Output);
        Assert.Contains("no port mapper (ICMP unreachable", Run(WithProcAndDev, "ping", "127.0.0.1", "-c", "1").Output);
    }

    [Fact]
    public void The_container_starts_what_is_in_the_image()
    {
        string file = File.ReadAllText(Repository.PathOf("dist/container/Containerfile"));

        Assert.Matches("(?m)^FROM scratch$", file);
        string[] command = JsonSerializer.Deserialize<string[]>(EntryPoint().Match(file).Groups[1].Value)!;
        Assert.True(File.Exists(Image + command[0]), $"{command[0]} is not in the image");
        Assert.Equal(
            69,
            Command.Run(
                _host, [],
                [
                    "unshare", "--mount", "sh", "-c", $"{WithProcAndDev}exec chroot \"$@\"", "sh", _root.Path,
                    .. command,
                ]).Status);
    }

    /// <summary>
    /// As the schema of a DaemonSet has it: what the daemon cannot do without stands where Kubernetes looks for it.
    /// </summary>
    [Fact]
    public void The_example_for_Kubernetes_gives_it_what_it_needs()
    {
        string json = Tool.Run(
            "/usr/bin/python3", "python3-yaml", "-c",
            "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))",
            Repository.PathOf("dist/container/daemonset.yaml"));
        JsonElement set = JsonDocument.Parse(json).RootElement, spec = set.GetProperty("spec"),
            template = spec.GetProperty("template"), pod = template.GetProperty("spec");
        JsonElement container = Assert.Single(pod.GetProperty("containers").EnumerateArray()),
            security = container.GetProperty("securityContext").GetProperty("capabilities");

        Assert.Equal(
            ("apps/v1", "DaemonSet"), (set.GetProperty("apiVersion").GetString(), set.GetProperty("kind").GetString()));
        Assert.Equal(
            spec.GetProperty("selector").GetProperty("matchLabels").ToString(),
            template.GetProperty("metadata").GetProperty("labels").ToString());
        Assert.True(pod.GetProperty("hostNetwork").GetBoolean());
        Assert.Equal(
            """[["ALL"], ["NET_ADMIN"]]""", $"[{security.GetProperty("drop")}, {security.GetProperty("add")}]");
        Assert.True(
            File.Exists(Image + container.GetProperty("readinessProbe").GetProperty("exec").GetProperty("command")[0]));
        JsonElement mount = Assert.Single(container.GetProperty("volumeMounts").EnumerateArray()),
            volume = Assert.Single(pod.GetProperty("volumes").EnumerateArray());
        Assert.Equal(mount.GetProperty("name").GetString(), volume.GetProperty("name").GetString());
        Assert.Equal(
            ("/run/iwpmd", "/run/iwpmd"),
            (
                mount.GetProperty("mountPath").GetString(),
                volume.GetProperty("hostPath").GetProperty("path").GetString()));
    }

    [GeneratedRegex("(?m)^ENTRYPOINT (.*)$")]
    private static partial Regex EntryPoint();
}

// SPDX-License-Identifier: MIT
using System.Text.Json;
using System.Text.Json.Nodes;
using Iwpmd.Tests.Os;
using Iwpmd.Tests.Support;
using Xunit;

namespace Iwpmd.Tests.Native;

/// <summary>
/// The image that `make oci` makes, unpacked from the layout by umoci and started by crun, in a network
/// namespace of its own. That it serves, and that another container has its mappings, is in the lab (container.sh).
/// </summary>
public sealed class ContainerTests : IDisposable
{
    private readonly TemporaryDirectory _folder = new();
    private readonly Host _host = new();
    private readonly string _bundle;
    private readonly JsonNode _settings;

    private static string Layout => Repository.PathOf("out/oci");

    public ContainerTests()
    {
        Assert.True(File.Exists(Path.Combine(Layout, "index.json")), $"{Layout} is missing: run make oci first");
        JsonNode index = Read(Path.Combine(Layout, "index.json"));
        string name = (string)index["manifests"]![0]!["annotations"]!["org.opencontainers.image.ref.name"]!;
        _bundle = _folder["bundle"];
        Tool.Run("umoci", "umoci", "unpack", "--image", $"{Layout}:{name}", _bundle);
        _settings = Read($"{_bundle}/config.json");
        // As the Containerfile asks for: read only, with one capability, in the host's network.
        _settings["root"]!["readonly"] = true;
        JsonNode process = _settings["process"]!, capabilities = process["capabilities"]!;
        process["terminal"] = false;
        foreach (string set in capabilities.AsObject().Select(set => set.Key).ToArray())
        {
            capabilities[set] = new JsonArray("CAP_NET_ADMIN");
        }
        JsonArray namespaces = _settings["linux"]!["namespaces"]!.AsArray();
        namespaces.Remove(Assert.Single(namespaces, one => (string)one!["type"]! == "network"));
    }

    public void Dispose()
    {
        _host.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public void It_has_the_tree_of_make_image_and_nothing_else() =>
        Assert.Equal(
            "", Tool.Run("diff", "diffutils", "--recursive", Repository.PathOf("out/image"), $"{_bundle}/rootfs"));

    [Fact]
    public void It_starts_what_the_Containerfile_starts()
    {
        string file = File.ReadAllText(Repository.PathOf("dist/container/Containerfile"));
        JsonNode process = _settings["process"]!;

        Assert.Contains($"\nENTRYPOINT {process["args"]!.ToJsonString().Replace(",", ", ")}\n", file);
        foreach (JsonNode? variable in process["env"]!.AsArray().Where(one => !((string)one!).StartsWith("TERM=")))
        {
            Assert.Contains($"\nENV {(string)variable!}\n", file);
        }
    }

    [Fact]
    public void A_runtime_starts_it_and_it_misses_nothing_but_the_kernel()
    {
        CommandResult result = Run("/usr/sbin/iwpmd", "--foreground");

        Assert.Equal("", result.Output);
        result.ExpectNothingMissingButTheKernel();
    }

    [Fact]
    public void Its_commands_answer_in_it()
    {
        CommandResult status = Run("/usr/sbin/iwpmd", "status");
        Assert.True(status.Status == 3, status.ToString());
        Assert.Matches("ok +configuration +/etc/iwpmd.conf has no faults\n", Run("/usr/sbin/iwpmd", "doctor").Output);
    }

    private CommandResult Run(params string[] command)
    {
        _settings["process"]!["args"] = JsonSerializer.SerializeToNode(command);
        File.WriteAllText($"{_bundle}/config.json", _settings.ToJsonString());
        string crun = Tool.Run(Repository.PathOf("Iwpmd.Tests/unpack"), "dpkg", "crun", "libyajl2").Trim();
        // crun wants control groups of one kind.
        return Command.Run(
            _host, [new("LD_LIBRARY_PATH", $"{crun}/usr/lib/x86_64-linux-gnu")],
            [
                "unshare", "--mount", "sh", "-ec",
                "umount --recursive /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup; exec \"$@\"", "sh",
                $"{crun}/usr/bin/crun", "--root", _folder["state"], "--cgroup-manager=disabled", "run", "--bundle",
                _bundle, $"iwpmd-{Guid.NewGuid():N}",
            ]);
    }

    private static JsonNode Read(string file) => JsonNode.Parse(File.ReadAllText(file))!;
}

// SPDX-License-Identifier: MIT
using Iwpmd.Tests.Support;
using Xunit;

namespace Iwpmd.Tests.Native;

/// <summary>The plugin for sos, in a report that Debian's sos makes of a host where the daemon runs.</summary>
public sealed class SupportReportTests : IDisposable
{
    private const string Plugins = "usr/lib/python3/dist-packages/sos/report/plugins";

    private readonly string _folder = Directory.CreateTempSubdirectory("iwpmd-sos-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void A_report_has_what_the_commands_tell_and_no_secret()
    {
        string sos = Tool.Run(
            Repository.PathOf("Iwpmd.Tests/unpack"), "dpkg", "sosreport", "python3-pexpect",
            "python3-ptyprocess").Trim();
        Tool.Run("cp", "coreutils", "--recursive", $"{sos}/usr", $"{sos}/etc", _folder);
        File.Copy(Repository.PathOf("dist/sos/iwpmd.py"), Path.Combine(_folder, Plugins, "iwpmd.py"), overwrite: true);
        using var scene = new Scene(configuration: "query_deadline=2000\n").Ready();
        scene.AddMapping("10.0.0.1:5000");
        scene.Host.Run(() =>
        {
            // Where sos finds it.
            NativeCalls.Succeed(
                TestLibc.mount(
                    Path.GetDirectoryName(Binaries.Ours)!, "/usr/local/sbin", null, NativeCalls.MS_BIND, null),
                "mount");
            File.WriteAllText("/etc/os-release", "ID=debian\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\n");
            File.WriteAllText("/etc/debian_version", "12.0\n");
            File.WriteAllText("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
            File.WriteAllText("/etc/group", "root:x:0:\n");
        });

        CommandResult made = Command.Run(
            scene.Host, [new("PYTHONPATH", $"{_folder}/usr/lib/python3/dist-packages")],
            ["python3", $"{_folder}/usr/bin/sos", "report", "--batch",
            "--build", "--only-plugins", "iwpmd", "--enable-plugins", "iwpmd", "--tmp-dir", _folder, "--config-file",
            $"{_folder}/etc/sos/sos.conf"]);
        Assert.True(made.Status == 0, made.ToString());
        string report = Assert.Single(Directory.GetDirectories(_folder, "sosreport-*"));
        string[] files = [.. Directory.EnumerateFiles(report, "*", SearchOption.AllDirectories).Select(
            file => Path.GetRelativePath(report, file))];

        Assert.Equal("query_deadline=2000\n", File.ReadAllText(Path.Combine(report, "etc/iwpmd.conf")));
        Assert.StartsWith("serving: ", Text("iwpmd_status"));
        Assert.Contains("\"health\":\"healthy\"", Text("iwpmd_status_--json"));
        Assert.Contains("10.0.0.1:5000", Text("iwpmd_mappings"));
        Assert.Contains("\niwpmd_up 1\n", Text("iwpmd_metrics"));
        Assert.Contains("ok       daemon", Text("iwpmd_doctor"));
        Assert.All(
            (string[])
            [
                "iwpmd_peers", "iwpmd_--check-config", "iwpmd_--version", "rdma_resource", "rdma_resource_show_cm_id",
                "kernel",
            ],
            command => Text(command));
        Assert.DoesNotContain(files, file => file.StartsWith("run/iwpmd"));

        string Text(string command) => File.ReadAllText(
            Path.Combine(report, Assert.Single(files, file => file == $"sos_commands/iwpmd/{command}")));
    }
}

// SPDX-License-Identifier: MIT
using System.Globalization;
using System.Security.Cryptography;
using System.Text.Json;
using System.Text.RegularExpressions;
using System.Xml.Linq;
using Iwpmd.Tests.Native;
using Iwpmd.Tests.Support;
using Xunit;

namespace Iwpmd.Tests;

/// <summary>What an installed system has beside the executable, judged by the tools that will read it.</summary>
public sealed class DistTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("iwpmd-dist-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void The_units_are_understood_without_a_word()
    {
        string[] units = ["iwpmd.service", "iwpmd-again.service", "iwpmd-metrics.service", "iwpmd-metrics.timer"];
        foreach (string unit in units)
        {
            string text = File.ReadAllText(Repository.PathOf($"dist/{unit}")).Replace("/usr/sbin/iwpmd", Binaries.Ours);
            text = text.Replace("/usr/libexec/iwpmd/ended", Repository.PathOf("dist/iwpmd-ended"));
            File.WriteAllText(Path.Combine(_folder, unit), text);
        }

        File.Copy(
            Repository.PathOf("dist/apparmor/iwpmd.service.conf"),
            Path.Combine(
                Directory.CreateDirectory(Path.Combine(_folder, "iwpmd.service.d")).FullName, "apparmor.conf"));

        Assert.Equal("", Words());
        File.AppendAllText(Path.Combine(_folder, units[0]), "\n[Service]\nRestrat=always\n");
        Assert.Contains("Restrat", Words());

        string Words()
        {
            using var verify = Tool.Start(
                "systemd-analyze", "systemd",
                ["verify", "--man=no", .. units.Select(unit => Path.Combine(_folder, unit))]);
            string words = verify.StandardError.ReadToEnd();
            verify.WaitForExit();
            // The one key that systemd has since 254 only.
            return Regex.Replace(words, @"(?m)^.*Unknown key( name)? 'FileDescriptorStorePreserve'.*\n", "");
        }
    }

    /// <summary>
    /// What the manager's store keeps of a daemon that has ended; systemd's limit is five starts in 10 s.
    /// </summary>
    [Theory]
    [InlineData("7 iwpmd.service restart running", "success", "0", 0, 0, true)]
    [InlineData("7 iwpmd.service stop running", "success", "0", 3600, 0, false)]
    [InlineData("7 iwpmd.service stop running", "timeout", "KILL", 3600, 0, false)]
    [InlineData("", "success", "0", 3600, 0, false)]
    [InlineData("", "signal", "SEGV", 3600, 4, true)]
    [InlineData("", "watchdog", "ABRT", 12, 4, true)]
    [InlineData("", "signal", "SEGV", 0, 3, true)]
    [InlineData("", "signal", "SEGV", 0, 4, false)]
    [InlineData("", "exit-code", "78", 3600, 0, false)]
    public void The_netlink_socket_stays_where_another_daemon_comes(
        string job, string result, string status, int lived, int restarts, bool stays)
    {
        double now = double.Parse(File.ReadAllText("/proc/uptime").Split(' ')[0], CultureInfo.InvariantCulture);
        StandIn(
            "systemctl",
            $"case $* in list-jobs*) echo '{job}' ;; *Monotonic*) echo {(long)((now - lived) * 1e6)} ;; "
                + $"*NRestarts*) echo {restarts} ;; esac");
        StandIn("systemd-notify", "echo notify $*");

        string said = Tool.Run(
            "env", "coreutils", $"PATH={_folder}:/usr/bin:/bin", $"SERVICE_RESULT={result}", $"EXIT_STATUS={status}",
            Repository.PathOf("dist/iwpmd-ended"));

        Assert.Equal(stays ? "" : "notify FDSTOREREMOVE=1 FDNAME=netlink\n", said);

        void StandIn(string name, string script)
        {
            File.WriteAllText(Path.Combine(_folder, name), $"#!/bin/sh\n{script}\n");
            Tool.Run("chmod", "coreutils", "755", Path.Combine(_folder, name));
        }
    }

    /// <summary>The settings that the daemon reads, and the user where it is made at boot, come first.</summary>
    [Theory]
    [InlineData("dist/iwpmd.service", "systemd-sysctl.service systemd-sysusers.service")]
    [InlineData("dist/dracut/iwpmd-boot.service", "systemd-sysctl.service")]
    public void The_units_start_after_what_they_read(string unit, string first)
    {
        string[] after =
            [.. File.ReadAllLines(Repository.PathOf(unit)).Where(line => line.StartsWith("After=")).SelectMany(
                line => line["After=".Length..].Split(' '))];

        Assert.Empty(first.Split(' ').Except(after));
    }

    /// <summary>
    /// What reads the parts of an installation looks in these places only, and what names the program names the one
    /// that is there.
    /// </summary>
    [Theory]
    [InlineData("/usr", "/usr/share/initramfs-tools/hooks", "/usr/lib/firewalld/services")]
    [InlineData("/usr/local", "/etc/initramfs-tools/hooks", "/etc/firewalld/services")]
    public void It_installs_whole_below_any_prefix(string prefix, string hooks, string firewall)
    {
        Tool.Run(
            "make", "make", "--directory", Repository.Root, "--assume-old=out/iwpmd", "install", $"PREFIX={prefix}",
            $"DESTDIR={_folder}");
        string[] files =
            [.. Directory.EnumerateFiles(_folder, "*", SearchOption.AllDirectories).Select(
                file => file[_folder.Length..]).Order(StringComparer.Ordinal)];

        string share = $"{prefix}/share", dracut = "/usr/lib/dracut/modules.d/95iwpmd",
            units = $"{prefix}/lib/systemd/system";
        Assert.Equal(((string[])[
            "/etc/init.d/iwpmd", "/etc/iwpmd.conf", "/etc/rdma/modules/iwpmd.conf", $"{dracut}/iwpmd-boot.service",
            $"{dracut}/module-setup.sh", $"{firewall}/iwpmd.xml", $"{hooks}/iwpmd",
            $"{prefix}/libexec/iwpmd/ended", $"{units}/iwpmd-again.service",
            $"{units}/sysinit.target.wants/iwpmd-again.service",
            $"{prefix}/lib/sysusers.d/iwpmd.conf", $"{units}/iwpmd-metrics.service", $"{units}/iwpmd-metrics.timer",
            $"{units}/iwpmd.service", $"{prefix}/lib/udev/rules.d/90-iwpmd.rules",
            $"{prefix}/sbin/iwpmd", $"{share}/bash-completion/completions/iwpmd", $"{share}/doc/iwpmd/NEWS",
            $"{share}/doc/iwpmd/THIRD-PARTY-NOTICES", $"{share}/doc/iwpmd/UPGRADING.md",
            $"{share}/doc/iwpmd/deviations.md", $"{share}/doc/iwpmd/operation.md",
            $"{share}/doc/iwpmd/examples/dracut-iwpmd.conf", $"{share}/doc/iwpmd/examples/initramfs-iwpmd.conf",
            $"{share}/doc/iwpmd/iwpmd.spdx.json", $"{share}/iwpmd/91-iwpmd-boot.rules",
            $"{share}/iwpmd/iwpmd.dashboard.json", $"{share}/iwpmd/iwpmd.rules.yml", $"{share}/iwpmd/strace-to-pcap",
            $"{share}/iwpmd/selinux/iwpmd.fc", $"{share}/iwpmd/selinux/iwpmd.if", $"{share}/iwpmd/selinux/iwpmd.te",
            "/usr/lib/python3/dist-packages/sos/report/plugins/iwpmd.py",
            "/usr/lib/x86_64-linux-gnu/wireshark/plugins/iwpm.lua",
            $"{share}/man/man5/iwpmd.conf.5", $"{share}/man/man8/iwpmd.8", $"{share}/zsh/site-functions/_iwpmd"]).Order(
                StringComparer.Ordinal), files);
        string[] named = [$"{prefix}/sbin/iwpmd", $"{prefix}/lib/udev/rules.d", $"{share}/iwpmd"];
        Assert.All(
            (string[])["/etc/init.d/iwpmd", $"{units}/iwpmd.service", $"{units}/iwpmd-metrics.service"],
            file => Assert.Contains(named[0], Text(file)));
        Assert.All((string[])[$"{dracut}/module-setup.sh", $"{hooks}/iwpmd"], file => Assert.All(
            named, place => Assert.Contains(place, Text(file))));
        string manual = Text($"{share}/man/man8/iwpmd.8");
        string[] others =
            [.. files.Where(file => !file.StartsWith($"{share}/man/") && !file.StartsWith($"{prefix}/sbin/"))];
        Assert.All(others, file => Assert.Contains($" {Path.GetDirectoryName(file)}", manual));
        Assert.All(
            others.Where(file => !file.Contains("/examples/") && !file.Contains("/95iwpmd/")),
            file => Assert.Contains(Path.GetFileName(file), manual));
        Tool.Run(
            "make", "make", "--directory", Repository.Root, "uninstall", $"PREFIX={prefix}", $"DESTDIR={_folder}",
            "PURGE=1");
        Assert.Empty(Directory.EnumerateFiles(_folder, "*", SearchOption.AllDirectories));

        string Text(string file) => File.ReadAllText(_folder + file);
    }

    /// <summary>Every driver of an iWARP device that Linux has.</summary>
    [Theory]
    [InlineData("dist/dracut/module-setup.sh")]
    [InlineData("dist/initramfs/hook")]
    public void The_boot_image_has_each_driver(string path) =>
        Assert.Contains(" iw_cxgb4 irdma i40iw qedr erdma siw", File.ReadAllText(Repository.PathOf(path)));

    [Theory]
    [InlineData("deb", @"(?m)^  \* ")]
    [InlineData("rpm", "(?m)^- ")]
    public void The_list_of_changes_has_each_item_of_the_news(string kind, string item)
    {
        string news = string.Join('\n', File.ReadLines(Repository.PathOf("NEWS"))
            .Where(line => line.StartsWith("- ") || line.StartsWith("  "))); // without headings
        string changes = Tool.Run(Repository.PathOf("dist/changelog"), "mawk", kind);

        Assert.Equal(Items(news, "(?m)^- "), Items(changes, item));
        Assert.All(changes.Split('\n'), line => Assert.InRange(line.Length, 0, 80));

        static string[] Items(string text, string start) =>
            [.. Regex.Split(text, start).Skip(1).Select(
                words => string.Join(' ', words.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)))];
    }

    [Fact]
    public void The_notices_are_those_of_each_package_that_is_linked_in()
    {
        string notices = File.ReadAllText(Repository.PathOf("out/THIRD-PARTY-NOTICES"));
        JsonElement bill = JsonDocument.Parse(File.ReadAllText(Repository.PathOf("out/iwpmd.spdx.json"))).RootElement;
        string[] linked =
            [.. bill.GetProperty("relationships").EnumerateArray().Where(
                relation => relation.GetProperty("relationshipType").GetString() == "STATIC_LINK").Select(
                    relation => relation.GetProperty("relatedSpdxElement").GetString()!)];
        JsonElement[] packages = [.. bill.GetProperty("packages").EnumerateArray().Where(
            package => linked.Contains(package.GetProperty("SPDXID").GetString()))];

        Assert.NotEmpty(packages);
        Assert.All(packages, package => Assert.Contains(
            $"\n{package.GetProperty("name").GetString()} "
                + $"{package.GetProperty("versionInfo").GetString()}, license MIT\n",
            notices));
        // The runtime's own, with those of what it was made from.
        Assert.Contains("License notice for zlib", notices);
        Assert.DoesNotContain('\r', notices);
    }

    [Fact]
    public void The_firewall_opens_the_port_of_the_port_mapper()
    {
        XElement service = XDocument.Load(Repository.PathOf("dist/firewalld/iwpmd.xml")).Root!;

        Assert.Equal("service", service.Name);
        Assert.Equal(["short", "description", "port"], service.Elements().Select(element => element.Name.LocalName));
        Assert.Equal(
            "udp 3935",
            $"{service.Element("port")!.Attribute("protocol")!.Value} "
                + service.Element("port")!.Attribute("port")!.Value);
    }

    [Fact]
    public void The_AppArmor_profile_compiles_and_is_the_one_that_the_units_drop_in_names()
    {
        string parser = Binaries.Unpacked("sbin/apparmor_parser", "apparmor_parser");
        string[] options =
            ["--base", Binaries.Unpacked("etc/apparmor.d", "/etc/apparmor.d"), "--skip-kernel-load", "--skip-cache"];
        string name = Tool.Run(
            parser, "apparmor", [.. options, "--names", Repository.PathOf("dist/apparmor/iwpmd")]).Trim();
        Tool.Run(
            parser, "apparmor",
            [.. options, "--ofile", Path.Combine(_folder, "policy"), Repository.PathOf("dist/apparmor/iwpmd")]);

        Assert.Contains(
            $"AppArmorProfile=-{name}", File.ReadAllLines(Repository.PathOf("dist/apparmor/iwpmd.service.conf")));
    }

    [Fact]
    public void The_SELinux_module_compiles()
    {
        foreach (string source in Directory.GetFiles(Repository.PathOf("dist/selinux")))
        {
            File.Copy(source, Path.Combine(_folder, Path.GetFileName(source)));
        }

        Tool.Run(
            "make", "make", "--directory", _folder, "--file", "/usr/share/selinux/devel/Makefile", "NAME=default",
            "iwpmd.pp");
        Assert.True(File.Exists(Path.Combine(_folder, "iwpmd.pp")));
    }

    [Fact]
    public void The_bill_of_materials_names_the_executable_and_each_package_in_it()
    {
        string assets = Repository.PathOf("out/build/dynamic/obj/Iwpmd/project.assets.json");
        JsonElement bill = JsonDocument.Parse(
            Tool.Run(Repository.PathOf("dist/sbom"), "jq", Binaries.Ours, assets, "1.2.3", "1700000000")).RootElement;
        JsonElement restored = JsonDocument.Parse(File.ReadAllText(assets)).RootElement;
        string[] linked =
        [
            .. restored.GetProperty("targets").EnumerateObject().Single(target => target.Name.EndsWith("/linux-x64"))
                .Value.EnumerateObject().Select(package => package.Name),
            .. restored.GetProperty("project").GetProperty("frameworks").EnumerateObject().Single()
                .Value.GetProperty("downloadDependencies").EnumerateArray()
                .Where(package => Texts(package, "name")[0] == "Microsoft.NETCore.App.Runtime.NativeAOT.linux-x64")
                .Select(package => $"{Texts(package, "name")[0]}/{Texts(package, "version")[0].Split('[', ',')[1]}"),
        ];
        JsonElement[] packages = [.. bill.GetProperty("packages").EnumerateArray()];

        Assert.Equal(
            "SPDX-2.3 CC0-1.0 SPDXRef-DOCUMENT iwpmd-1.2.3",
            string.Join(' ', Texts(bill, "spdxVersion", "dataLicense", "SPDXID", "name")));
        Assert.StartsWith("urn:uuid:", Texts(bill, "documentNamespace")[0]);
        Assert.Equal("2023-11-14T22:13:20Z", Texts(bill.GetProperty("creationInfo"), "created")[0]);
        Assert.NotEmpty(bill.GetProperty("creationInfo").GetProperty("creators").EnumerateArray());
        Assert.Equal(
            ["iwpmd/1.2.3", .. linked.Order(StringComparer.Ordinal)],
            packages.Select(package => string.Join('/', Texts(package, "name", "versionInfo"))).Order(
                StringComparer.Ordinal).OrderBy(name => !name.StartsWith("iwpmd/")));
        Assert.All(packages, package => Assert.DoesNotContain(
            "", Texts(package, "SPDXID", "downloadLocation", "licenseConcluded", "copyrightText")));
        Assert.All(packages, package => Assert.Equal("MIT", Texts(package, "licenseDeclared")[0]));
        Assert.All(packages[1..], package => Assert.Equal(
            128, Texts(package.GetProperty("checksums")[0], "checksumValue")[0].Length));
        Assert.Equal(
            Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes(Binaries.Ours))),
            Texts(packages[0].GetProperty("checksums")[0], "checksumValue")[0]);
        Assert.Contains("SPDXRef-iwpmd SPDXRef-Microsoft.NETCore.App.Runtime.NativeAOT.linux-x64-", string.Join('\n',
            bill.GetProperty("relationships").EnumerateArray().Where(
                relation => Texts(relation, "relationshipType")[0] == "STATIC_LINK")
                .Select(relation => string.Join(' ', Texts(relation, "spdxElementId", "relatedSpdxElement")))));
        // Each stands in one relation to the executable, and the executable is what the document describes.
        string[] ids = [.. packages.Select(package => Texts(package, "SPDXID")[0])];
        Assert.Equal(ids.Order(), bill.GetProperty("relationships").EnumerateArray().Select(relation => Texts(
            relation, "spdxElementId", "relatedSpdxElement")
            .Last(
                id =>
                    relation.GetProperty("relationshipType").GetString() == "DESCRIBES"
                        || id != "SPDXRef-iwpmd")).Order());

        static string[] Texts(JsonElement element, params string[] names) =>
            [.. names.Select(name => element.GetProperty(name).GetString()!)];
    }
}

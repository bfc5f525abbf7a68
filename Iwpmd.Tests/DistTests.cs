using System.Security.Cryptography;
using System.Text.Json;
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
        string[] units = ["iwpmd.service", "iwpmd-metrics.service", "iwpmd-metrics.timer"];
        foreach (string unit in units)
        {
            File.WriteAllText(Path.Combine(_folder, unit), File.ReadAllText(Repository.PathOf($"dist/{unit}")).Replace("/usr/sbin/iwpmd", Binaries.Ours));
        }

        File.Copy(Repository.PathOf("dist/apparmor/iwpmd.service.conf"), Path.Combine(Directory.CreateDirectory(Path.Combine(_folder, "iwpmd.service.d")).FullName, "apparmor.conf"));

        Assert.Equal("", Words());
        File.AppendAllText(Path.Combine(_folder, units[0]), "\n[Service]\nRestrat=always\n");
        Assert.Contains("Restrat", Words());

        string Words()
        {
            using var verify = Tool.Start("systemd-analyze", "systemd", ["verify", "--man=no", .. units.Select(unit => Path.Combine(_folder, unit))]);
            string words = verify.StandardError.ReadToEnd();
            verify.WaitForExit();
            return words;
        }
    }

    /// <summary>The settings that the daemon reads, and the user where it is made at boot, come first.</summary>
    [Theory]
    [InlineData("dist/iwpmd.service", "systemd-sysctl.service systemd-sysusers.service")]
    [InlineData("dist/dracut/iwpmd-boot.service", "systemd-sysctl.service")]
    public void The_units_start_after_what_they_read(string unit, string first)
    {
        string[] after = [.. File.ReadAllLines(Repository.PathOf(unit)).Where(line => line.StartsWith("After=")).SelectMany(line => line["After=".Length..].Split(' '))];

        Assert.Empty(first.Split(' ').Except(after));
    }

    [Fact]
    public void The_firewall_opens_the_port_of_the_port_mapper()
    {
        XElement service = XDocument.Load(Repository.PathOf("dist/firewalld/iwpmd.xml")).Root!;

        Assert.Equal("service", service.Name);
        Assert.Equal(["short", "description", "port"], service.Elements().Select(element => element.Name.LocalName));
        Assert.Equal("udp 3935", $"{service.Element("port")!.Attribute("protocol")!.Value} {service.Element("port")!.Attribute("port")!.Value}");
    }

    [Fact]
    public void The_AppArmor_profile_compiles_and_is_the_one_that_the_units_drop_in_names()
    {
        string parser = Binaries.Unpacked("sbin/apparmor_parser", "apparmor_parser");
        string[] options = ["--base", Binaries.Unpacked("etc/apparmor.d", "/etc/apparmor.d"), "--skip-kernel-load", "--skip-cache"];
        string name = Tool.Run(parser, "apparmor", [.. options, "--names", Repository.PathOf("dist/apparmor/iwpmd")]).Trim();
        Tool.Run(parser, "apparmor", [.. options, "--ofile", Path.Combine(_folder, "policy"), Repository.PathOf("dist/apparmor/iwpmd")]);

        Assert.Contains($"AppArmorProfile=-{name}", File.ReadAllLines(Repository.PathOf("dist/apparmor/iwpmd.service.conf")));
    }

    [Fact]
    public void The_SELinux_module_compiles()
    {
        foreach (string source in Directory.GetFiles(Repository.PathOf("dist/selinux")))
        {
            File.Copy(source, Path.Combine(_folder, Path.GetFileName(source)));
        }

        Tool.Run("make", "make", "--directory", _folder, "--file", "/usr/share/selinux/devel/Makefile", "NAME=default", "iwpmd.pp");
        Assert.True(File.Exists(Path.Combine(_folder, "iwpmd.pp")));
    }

    [Fact]
    public void The_bill_of_materials_names_the_executable_and_each_package_in_it()
    {
        string assets = Repository.PathOf("out/build/dynamic/obj/Iwpmd/project.assets.json");
        JsonElement bill = JsonDocument.Parse(Tool.Run(Repository.PathOf("dist/sbom"), "jq", Binaries.Ours, assets, "1.2.3", "1700000000")).RootElement;
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

        Assert.Equal("SPDX-2.3 CC0-1.0 SPDXRef-DOCUMENT iwpmd-1.2.3", string.Join(' ', Texts(bill, "spdxVersion", "dataLicense", "SPDXID", "name")));
        Assert.StartsWith("urn:uuid:", Texts(bill, "documentNamespace")[0]);
        Assert.Equal("2023-11-14T22:13:20Z", Texts(bill.GetProperty("creationInfo"), "created")[0]);
        Assert.NotEmpty(bill.GetProperty("creationInfo").GetProperty("creators").EnumerateArray());
        Assert.Equal(["iwpmd/1.2.3", .. linked.Order(StringComparer.Ordinal)], packages.Select(package => string.Join('/', Texts(package, "name", "versionInfo"))).Order(StringComparer.Ordinal).OrderBy(name => !name.StartsWith("iwpmd/")));
        Assert.All(packages, package => Assert.DoesNotContain("", Texts(package, "SPDXID", "downloadLocation", "licenseConcluded", "copyrightText")));
        Assert.All(packages, package => Assert.Equal("MIT", Texts(package, "licenseDeclared")[0]));
        Assert.All(packages[1..], package => Assert.Equal(128, Texts(package.GetProperty("checksums")[0], "checksumValue")[0].Length));
        Assert.Equal(Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes(Binaries.Ours))), Texts(packages[0].GetProperty("checksums")[0], "checksumValue")[0]);
        Assert.Contains("SPDXRef-iwpmd SPDXRef-Microsoft.NETCore.App.Runtime.NativeAOT.linux-x64-", string.Join('\n',
            bill.GetProperty("relationships").EnumerateArray().Where(relation => Texts(relation, "relationshipType")[0] == "STATIC_LINK")
                .Select(relation => string.Join(' ', Texts(relation, "spdxElementId", "relatedSpdxElement")))));
        // Each stands in one relation to the executable, and the executable is what the document describes.
        string[] ids = [.. packages.Select(package => Texts(package, "SPDXID")[0])];
        Assert.Equal(ids.Order(), bill.GetProperty("relationships").EnumerateArray().Select(relation => Texts(relation, "spdxElementId", "relatedSpdxElement")
            .Last(id => relation.GetProperty("relationshipType").GetString() == "DESCRIBES" || id != "SPDXRef-iwpmd")).Order());

        static string[] Texts(JsonElement element, params string[] names) => [.. names.Select(name => element.GetProperty(name).GetString()!)];
    }
}

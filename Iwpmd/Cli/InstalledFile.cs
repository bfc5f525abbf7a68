// SPDX-License-Identifier: MIT
using System.Globalization;
using Iwpmd.Os;

namespace Iwpmd.Cli;

/// <summary>A file that is installed for the daemon where others are of the same name, rdma-core's above all.</summary>
internal static class InstalledFile
{
    private const string Masked = "/dev/null", LimitName = "LimitNOFILE=";

    private const string UnitName = "iwpmd.service", RuleName = "90-iwpmd.rules", InitScript = "/etc/init.d/iwpmd";

    private static readonly string[] Folders = ["/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib"]; // the first wins

    private static string? Unit => Find($"systemd/system/{UnitName}");

    public static Finding CheckUnit() =>
        Check("unit", UnitName, Unit, "FileDescriptorStoreMax=", "systemd will not start it");

    public static Finding CheckRule() =>
        Check("udev rule", RuleName, Find($"udev/rules.d/{RuleName}"), "RNIC", "no device starts the daemon");

    /// <summary>By what is installed; of a unit that is not ours a start would be another daemon's.</summary>
    public static string HowToStart() =>
        Unit is null ? File.Exists(InitScript) ? $"start it ({InitScript} start)" : "start it (iwpmd)"
        : CheckUnit() is { Result: not CheckResult.Ok } fault ? $"{fault.Text}: {fault.Remedy}"
        : "start it (systemctl start iwpmd)";

    /// <summary>How many descriptors the unit lets the daemon have; 0 when there is none or it does not say.</summary>
    public static long DescriptorLimit()
    {
        string text = Unit is string path ? HostSettings.ReadFile(path) ?? "" : "";
        int at = text.LastIndexOf('\n' + LimitName, StringComparison.Ordinal);
        string value = at < 0 ? "" : text[(at + 1 + LimitName.Length)..].Split('\n')[0].Split(':')[^1].Trim();
        return value == "infinity" ? long.MaxValue
            : long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out long limit) ? limit : 0;
    }

    private static string? Find(string file) =>
        Array.Find(Array.ConvertAll(Folders, folder => $"{folder}/{file}"), File.Exists);

    /// <param name="mark">What ours says and no other does.</param>
    private static Finding Check(string check, string name, string? path, string mark, string consequence)
    {
        if (path is null)
        {
            return Finding.Warning(check, $"{name} is not installed: {consequence}", "install the package");
        }
        if (ProcessList.ReadLink(path) == Masked)
        {
            return Finding.Warning(check, $"{path} is masked: {consequence}", $"rm {path}");
        }
        return HostSettings.ReadFile(path)?.Contains(mark, StringComparison.Ordinal) == true ? Finding.Ok(check, path)
            : Finding.Warning(
                check, $"{path} is not of this daemon, but of rdma-core or of this host",
                "install the package of iwpmd");
    }
}

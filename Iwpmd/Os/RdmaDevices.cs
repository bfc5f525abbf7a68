// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;
using Iwpmd.Os.Interop;
using Iwpmd.Wire;

namespace Iwpmd.Os;

/// <summary>
/// An iWARP device: its driver, its network interface and that one's IP addresses; an empty text is unknown.
/// </summary>
internal sealed record RdmaDevice(string Name, string Driver, string Interface, InetEndpoint[] Addresses)
{
    public string NameAndDriver => Driver.Length == 0 ? Name : $"{Name} ({Driver})";
}

/// <summary>The iWARP devices of the host, from /sys, in the order of their names.</summary>
internal static unsafe class RdmaDevices
{
    public static RdmaDevice[] Read(string root = "")
    {
        string folder = root + "/sys/class/infiniband";
        List<RdmaDevice> devices = [];
        foreach (string path in Directory.Exists(folder) ? Directory.GetDirectories(folder) : [])
        {
            if (HostSettings.ReadFile(path + "/node_type")?.Contains("RNIC", StringComparison.Ordinal) == true)
            {
                string name = Path.GetFileName(path), @interface = FindInterface(root, path);
                devices.Add(new RdmaDevice(
                    name, FindDriver(path), @interface, @interface.Length == 0 ? [] : ReadAddresses(@interface)));
            }
        }
        devices.Sort(static (one, other) => string.CompareOrdinal(one.Name, other.Name));
        return [.. devices];
    }

    /// <summary>One of software has no driver below it.</summary>
    private static string FindDriver(string path)
    {
        string driver = Path.GetFileName(ProcessList.ReadLink(path + "/device/driver"));
        bool isSoftware = driver.Length == 0
            && HostSettings.ReadFile(path + "/node_desc")?.StartsWith(
                "Software iWARP", StringComparison.Ordinal) == true;
        return isSoftware ? "siw" : driver;
    }

    /// <summary>
    /// What the kernel names with the device's GID; else the adapter's; else that with the address of which iWARP makes
    /// the GID.
    /// </summary>
    private static string FindInterface(string root, string path)
    {
        string? named = HostSettings.ReadFile(path + "/ports/1/gid_attrs/ndevs/0");
        if (!string.IsNullOrEmpty(named))
        {
            return named;
        }
        string[] ofAdapter = Directory.Exists(path + "/device/net")
            ? Directory.GetDirectories(path + "/device/net")
            : [];
        if (ofAdapter.Length == 1)
        {
            return Path.GetFileName(ofAdapter[0]);
        }
        string gid = (HostSettings.ReadFile(path + "/ports/1/gids/0") ?? "").Replace(":", "", StringComparison.Ordinal);
        string folder = root + "/sys/class/net";
        string[] interfaces = gid.Length >= 12 && Directory.Exists(folder) ? Directory.GetDirectories(folder) : [];
        Array.Sort(interfaces, StringComparer.Ordinal);
        foreach (string one in interfaces)
        {
            string? address = HostSettings.ReadFile(one + "/address")?.Replace(":", "", StringComparison.Ordinal);
            if (address is { Length: 12 } && gid.StartsWith(address, StringComparison.OrdinalIgnoreCase))
            {
                return Path.GetFileName(one);
            }
        }
        return "";
    }

    private static InetEndpoint[] ReadAddresses(string name)
    {
        List<InetEndpoint> addresses = [];
        Libc.ifaddrs* list = null;
        if (Libc.getifaddrs(&list) != 0)
        {
            return [];
        }
        for (Libc.ifaddrs* one = list; one != null; one = one->ifa_next)
        {
            if (one->ifa_addr != null && Marshal.PtrToStringUTF8((nint)one->ifa_name) == name
                && *(ushort*)one->ifa_addr is Libc.AF_INET or Libc.AF_INET6
                && Sockaddr.TryRead(
                    new ReadOnlySpan<byte>(
                        one->ifa_addr, *(ushort*)one->ifa_addr == Libc.AF_INET ? Sockaddr.InSize : Sockaddr.In6Size),
                    out InetEndpoint address))
            {
                addresses.Add(address);
            }
        }
        Libc.freeifaddrs(list);
        return [.. addresses];
    }
}

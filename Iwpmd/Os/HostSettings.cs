// SPDX-License-Identifier: MIT
using System.Globalization;
using System.Text;
using Iwpmd.Os.Interop;

namespace Iwpmd.Os;

/// <summary>Ports from <paramref name="Low"/> to <paramref name="High"/>, both included.</summary>
internal readonly record struct PortRange(ushort Low, ushort High)
{
    public int Count => High - Low + 1;

    public bool Contains(int port) => port >= Low && port <= High;
}

/// <summary>
/// What the host says about itself in /proc and /sys. What cannot be read is unknown, never an exception.
/// </summary>
internal sealed unsafe class HostSettings(string root = "")
{
    public const string PortRangePath =
        "/proc/sys/net/ipv4/ip_local_port_range", ReservedPortsPath = "/proc/sys/net/ipv4/ip_local_reserved_ports";

    // 32768 reserved ports have 191 KB, and the kernel gives no more of them than one read takes
    private const int MaxFile = 256 * 1024;

    /// <summary>The kernel's own default, for hosts that do not show theirs.</summary>
    public static PortRange DefaultPortRange => new(32768, 60999);

    /// <summary>A driver brings it in; without it nobody asks for ports.</summary>
    public bool HasIwCm => HasIwCmInThisNamespace || Libc.access(root + "/sys/module/iw_cm", Libc.F_OK) == 0;

    /// <summary>It makes its settings in the initial network namespace only, and works there only.</summary>
    public bool HasIwCmInThisNamespace => Libc.access(root + "/proc/sys/net/iw_cm", Libc.F_OK) == 0;

    /// <summary>Without it a module that does not show is not known to be missing.</summary>
    public bool ShowsModules => Libc.access(root + "/sys/module", Libc.F_OK) == 0;

    /// <summary>False leaves <see cref="DefaultPortRange"/> in <paramref name="range"/>.</summary>
    public bool TryReadPortRange(out PortRange range) => TryParseRange(ReadText(PortRangePath), out range);

    /// <summary>The ports that nothing may choose by itself.</summary>
    public bool TryReadReservedPorts(out PortRange[] reserved) =>
        TryParseRanges(ReadText(ReservedPortsPath), out reserved);

    /// <summary>"1024 65535"; false leaves <see cref="DefaultPortRange"/> in <paramref name="range"/>.</summary>
    public static bool TryParseRange(string? text, out PortRange range)
    {
        range = DefaultPortRange;
        string[] words = text?.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries) ?? [];
        if (words.Length != 2 || !TryParsePort(words[0], out ushort low) || !TryParsePort(words[1], out ushort high)
            || low > high)
        {
            return false;
        }
        range = new PortRange(low, high);
        return true;
    }

    /// <summary>"1,5-10"; false leaves none in <paramref name="ranges"/>.</summary>
    public static bool TryParseRanges(string? text, out PortRange[] ranges)
    {
        ranges = [];
        if (text is null)
        {
            return false;
        }
        var parsed = new List<PortRange>();
        foreach (string item in text.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            string[] ends = item.Split('-');
            if (!TryParsePort(ends[0], out ushort low) || !TryParsePort(ends[^1], out ushort high))
            {
                return false;
            }
            parsed.Add(new PortRange(low, high));
        }
        ranges = [.. parsed];
        return true;
    }

    /// <summary>The largest receive buffer without CAP_NET_ADMIN, in bytes; 0 when it cannot be read.</summary>
    public int MaxReceiveBuffer =>
        int.TryParse(
            ReadText("/proc/sys/net/core/rmem_max"), NumberStyles.None, CultureInfo.InvariantCulture, out int bytes)
        ? bytes
        : 0;

    /// <summary>Those below it are for root only.</summary>
    public int LowestUnprivilegedPort
    {
        get
        {
            string? text = ReadText("/proc/sys/net/ipv4/ip_unprivileged_port_start");
            return int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int port) ? port : 1024;
        }
    }

    public bool TryReadBootId(out Guid bootId) =>
        Guid.TryParse(ReadText("/proc/sys/kernel/random/boot_id"), out bootId);

    private static bool TryParsePort(string text, out ushort port) =>
        ushort.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out port);

    private string? ReadText(string path) => ReadFile(root + path);

    public static bool MayRead(string path) => Libc.access(path, Libc.R_OK) == 0;

    public static bool MayWrite(string path) => Libc.access(path, Libc.W_OK) == 0;

    /// <summary>The text of a small file, without the blanks around it; null when it cannot be read.</summary>
    public static string? ReadFile(string path)
    {
        int fd = Libc.open(path, Libc.O_RDONLY | Libc.O_CLOEXEC, 0);
        if (fd < 0)
        {
            return null;
        }
        // of which a file fills some ten bytes as a rule: the rest is not touched
        byte[] text = GC.AllocateUninitializedArray<byte>(MaxFile);
        int length = 0;
        nint count = 1;
        fixed (byte* bytes = text)
        {
            while (count > 0 && length < MaxFile)
            {
                count = Libc.read(fd, bytes + length, (nuint)(MaxFile - length));
                length += (int)Math.Max(count, 0);
            }
        }
        _ = Libc.close(fd);
        return count < 0 ? null : Encoding.ASCII.GetString(text, 0, length).Trim();
    }
}

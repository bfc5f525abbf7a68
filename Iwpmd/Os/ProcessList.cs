// SPDX-License-Identifier: MIT
using System.Globalization;
using System.Text;
using Iwpmd.Os.Interop;

namespace Iwpmd.Os;

/// <summary>The processes of this host, as /proc shows them; what it hides is not there.</summary>
internal static unsafe class ProcessList
{
    // "sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode"
    private const int LocalAddressAt = 1, InodeAt = 9;
    private const int TargetSize = 4096;

    /// <summary>One that has ended and waits for its parent, a zombie, does not run.</summary>
    public static bool Runs(int processId)
    {
        // "4711 (name) S ...", where the name may have a ')'
        string status = HostSettings.ReadFile($"/proc/{processId}/stat") ?? "";
        int state = status.LastIndexOf(')') + 2;
        return state > 1 && state < status.Length && status[state] is not ('Z' or 'X');
    }

    /// <summary>The program's name; empty when the process is gone.</summary>
    public static string NameOf(int processId) => HostSettings.ReadFile($"/proc/{processId}/comm") ?? "";

    /// <summary>Whether this is the network namespace of process 1; null when that is hidden.</summary>
    public static bool? IsInFirstNetwork =>
        ReadLink("/proc/1/ns/net") is { Length: > 0 } first ? first == ReadLink("/proc/self/ns/net") : null;

    /// <summary>How many descriptors the process may have; 0 when that is hidden.</summary>
    public static long DescriptorLimit(int processId) =>
        ReadNumber($"/proc/{processId}/limits", "Max open files", NumberStyles.None);

    /// <summary>Up to which number it may raise that.</summary>
    public static long HardDescriptorLimit(int processId) =>
        ReadNumber($"/proc/{processId}/limits", "Max open files", NumberStyles.None, word: 1);

    public static bool HasCapability(int processId, int capability) => Shows("CapEff:", processId, capability);

    /// <summary>Whether it could have it when it started.</summary>
    public static bool CouldHaveCapability(int processId, int capability) => Shows("CapBnd:", processId, capability);

    private static bool Shows(string set, int processId, int capability) =>
        (ReadNumber($"/proc/{processId}/status", set, NumberStyles.AllowHexSpecifier) >> capability & 1) != 0;

    /// <summary>
    /// True when a UDP socket of either family is bound to this port in this network namespace; <paramref
    /// name="processId"/> is 0 when its owner is hidden.
    /// </summary>
    public static bool TryFindUdpOwner(ushort port, out int processId)
    {
        string suffix = string.Create(CultureInfo.InvariantCulture, $":{port:X4}");
        processId = 0;
        bool isBound = false;
        foreach (string table in (string[])["/proc/net/udp", "/proc/net/udp6"])
        {
            foreach (string line in (HostSettings.ReadFile(table) ?? "").Split('\n'))
            {
                string[] words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
                if (words.Length > InodeAt && words[LocalAddressAt].EndsWith(suffix, StringComparison.Ordinal))
                {
                    isBound = true;
                    processId = processId != 0 ? processId : FindSocketOwner(words[InodeAt]);
                }
            }
        }
        return isBound;
    }

    /// <summary>A number behind a name at the beginning of a line.</summary>
    private static long ReadNumber(string path, string name, NumberStyles style, int word = 0)
    {
        foreach (string line in (HostSettings.ReadFile(path) ?? "").Split('\n'))
        {
            if (line.StartsWith(name, StringComparison.Ordinal))
            {
                string[] words = line[name.Length..].Split((char[])[' ', '\t'], StringSplitOptions.RemoveEmptyEntries);
                return words.Length > word
                    && long.TryParse(words[word], style, CultureInfo.InvariantCulture, out long number)
                    ? number
                    : 0;
            }
        }
        return 0;
    }

    /// <summary>Where a symbolic link leads; empty when it cannot be read.</summary>
    public static string ReadLink(string path)
    {
        byte* target = stackalloc byte[TargetSize];
        nint length = Libc.readlink(path, target, TargetSize);
        return Encoding.UTF8.GetString(target, (int)Math.Max(length, 0));
    }

    /// <summary>The process that has a socket; 0 when it is hidden.</summary>
    public static int FindSocketOwner(string inode) => FindOwner($"socket:[{inode}]");

    /// <summary>Process 1 only when nobody else: a service manager keeps copies of what its services have.</summary>
    private static int FindOwner(string socket)
    {
        int owner = 0;
        foreach (string process in Directory.GetDirectories("/proc"))
        {
            string name = Path.GetFileName(process);
            if (int.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out int processId)
                && Holds(process, socket))
            {
                owner = processId;
                if (owner != 1)
                {
                    break;
                }
            }
        }
        return owner;
    }

    private static bool Holds(string process, string socket)
    {
        try
        {
            return Array.Exists(Directory.GetFiles(process + "/fd"), fd => ReadLink(fd) == socket);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false; // it is gone, or not ours to look at
        }
    }
}

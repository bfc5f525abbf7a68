// SPDX-License-Identifier: MIT
using System.Globalization;
using System.Text;
using Iwpmd.Core;
using Iwpmd.Os;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;

namespace Iwpmd.Daemon;

/// <summary>
/// The content of iwpmd.conf: <c>name=value</c> lines, # comments. A line that is not understood is a complaint, and
/// the value before it is used; if its key restricts who is served, the complaint is fatal.
/// </summary>
internal sealed record Configuration
{
    public const string DefaultPath = "/etc/iwpmd.conf";

    private const int MaxLength = 64 * 1024;
    private const int MaxInterfaceName = 15;
    private const string NetworkList = "networks like 10.0.0.0/8, fd00::/8 (the rest of the address 0), or addresses";

    /// <summary>Each key with its unit and bounds; defaults are those of the properties below.</summary>
    public static readonly ConfigurationKey[] Keys =
    [
        ConfigurationKey.Number(
            "nl_sock_rbuf_size", "bytes", 64 * 1024, 1024 * 1024 * 1024, c => c.NetlinkBufferBytes,
            (c, v) => c with { NetlinkBufferBytes = v }),
        ConfigurationKey.Milliseconds(
            "query_deadline", 100, 9000, c => c.PortMapper.QueryDeadline,
            (c, v) => c.With(c.PortMapper with { QueryDeadline = v })),
        ConfigurationKey.Milliseconds(
            "query_retry", 100, 5000, c => c.PortMapper.QueryRetry,
            (c, v) => c.With(c.PortMapper with { QueryRetry = v })),
        ConfigurationKey.Milliseconds(
            "unreachable_memory", 0, 60000, c => c.PortMapper.UnreachableMemory,
            (c, v) => c.With(c.PortMapper with { UnreachableMemory = v })),
        new(
            "port_range", "LOW-HIGH, each 1 to 65535", "the host's",
            (c, text) => TryParseRange(text, out PortRange range) ? c with { PortRange = range } : null),
        new(
            "keep_ports", "ports like 3260, 4420-4430", "none",
            (c, text) =>
                TryParsePorts(text, out PortSet ports) ? c.With(c.PortMapper with { KeptPorts = ports }) : null),
        ConfigurationKey.Number(
            "max_mappings", "mappings", 16, 1048576, c => c.MaxMappings, (c, v) => c with { MaxMappings = v }),
        ConfigurationKey.Number(
            "request_rate", "Requests a second", 1, 1000000, c => c.Admission.RequestRate,
            (c, v) => c.With(c.Admission with { RequestRate = v })),
        ConfigurationKey.Number(
            "source_rate", "Requests a second", 1, 1000000, c => c.Admission.SourceRate,
            (c, v) => c.With(c.Admission with { SourceRate = v })),
        ConfigurationKey.Number(
            "remote_info_rate", "peers a second", 1, 100000, c => c.Admission.RemoteInfoRate,
            (c, v) => c.With(c.Admission with { RemoteInfoRate = v })),
        new("allow", NetworkList, "all", (c, text) =>
            TryParseNetworks(text, out InetNetwork[] networks) && networks.Length > 0
                ? c.With(c.Admission.Access with { Allowed = networks }) : null)
        { OtherWords = ["allow", "permit", "access", "acl", "whitelist", "trust"], FindMeant = FindNetworks },
        new("deny", NetworkList, "none", (c, text) =>
            TryParseNetworks(text, out InetNetwork[] networks)
                ? c.With(c.Admission.Access with { Denied = networks }) : null)
        { OtherWords = ["deny", "denied", "block", "reject", "forbid", "blacklist"], FindMeant = FindNetworks },
        new("interface", "names of network interfaces", "any", (c, text) =>
            TryParseInterfaces(text, out string[] names) ? c with { Interfaces = names } : null)
        { OtherWords = ["interface", "iface", "netdev", "device", "listen", "bind", "nic"] },
        new("answers_from", "any or asked", "any", (c, text) =>
            TryParseAnswers(text, out AnswerSource from) ? c.With(c.PortMapper with { AnswersFrom = from }) : null)
        { OtherWords = ["answer"] },
        new(
            "state_dir", "an absolute path, not /, of at most 98 bytes", "/run/iwpmd",
            (c, text) => IsDirectoryName(text) ? c with { StateDirectory = FullPath(text) } : null),
        new(
            "log_level", "error, warning, info or debug", "info",
            (c, text) => TryParseLevel(text, out LogLevel level) ? c with { LogLevel = level } : null),
    ];

    /// <summary>The full path, also when there is no file.</summary>
    public string Path { get; init; } = DefaultPath;

    /// <summary>The file was opened no earlier.</summary>
    public TimeSpan ReadAt { get; init; }

    /// <summary>How many the file has.</summary>
    public int Faults { get; init; }

    public int NetlinkBufferBytes { get; init; } = 8 * 1024 * 1024;

    /// <summary>Those of the core, with their defaults.</summary>
    public PortMapperSettings PortMapper { get; init; } = new();

    private AdmissionSettings Admission => PortMapper.Admission;

    /// <summary>Null: the host's ip_local_port_range.</summary>
    public PortRange? PortRange { get; init; }

    public int MaxMappings { get; init; } = 65536;

    public string StateDirectory { get; init; } = "/run/iwpmd";

    public LogLevel LogLevel { get; init; } = LogLevel.Information;

    /// <summary>Requests are accepted from these network interfaces only; empty: from all.</summary>
    public string[] Interfaces { get; init; } = [];

    /// <summary>So many ports can be claimed at a time, each with a descriptor of its own.</summary>
    /// <param name="range">From which they are chosen, with those of keep_ports.</param>
    public int PortsAtMost(PortRange range) =>
        Math.Min(MaxMappings, range.Count + PortMapper.KeptPorts.Ranges.Sum(kept => kept.High - kept.Low + 1));

    /// <summary>From the command line.</summary>
    public SandboxMode Sandbox { get; init; } = SandboxMode.On;

    /// <summary>
    /// The file's content; the defaults when it does not exist and <paramref name="isRequired"/> is false. Then they
    /// are also used when this user may not read it: a complaint.
    /// </summary>
    /// <param name="opened">The file, if it is open already.</param>
    /// <exception cref="SetupException">The file cannot be read.</exception>
    public static LoadedConfiguration Load(string path, bool isRequired, Stream? opened = null)
    {
        try
        {
            return ConfigurationParser.Parse(ReadLines(path, isRequired, opened));
        }
        catch (UnauthorizedAccessException e)
        {
            if (isRequired)
            {
                throw Unreadable(path, e);
            }
            (string why, string remedy) = Directory.Exists(path)
                ? ("is a directory", "let it be a file")
                : ($"cannot be read by user {Limits.UserId}", $"chmod a+r {path}");
            string fault = $"{why}: the defaults are used, whatever it allows or denies: {remedy}";
            return new LoadedConfiguration(new Configuration(), [new Complaint(0, fault, IsFatal: false)]);
        }
    }

    /// <summary>
    /// The text of the file; empty when it does not exist and <paramref name="isRequired"/> is false.
    /// </summary>
    /// <exception cref="SetupException">The file cannot be read.</exception>
    public static string ReadText(string path, bool isRequired)
    {
        try
        {
            return string.Join('\n', ReadLines(path, isRequired, opened: null));
        }
        catch (UnauthorizedAccessException e)
        {
            throw Unreadable(path, e);
        }
    }

    private static List<string> ReadLines(string path, bool isRequired, Stream? opened)
    {
        try
        {
            using Stream stream = opened ?? File.OpenRead(path);
            return ReadLines(stream);
        }
        catch (Exception e) when (!isRequired && e is FileNotFoundException or DirectoryNotFoundException)
        {
            return [];
        }
        catch (IOException e)
        {
            throw Unreadable(path, e);
        }
    }

    private static SetupException Unreadable(string path, Exception fault)
    {
        string why = Directory.Exists(path) ? "it is a directory" : fault switch
        {
            FileNotFoundException or DirectoryNotFoundException => "No such file or directory (ENOENT): check the path",
            UnauthorizedAccessException => "Permission denied (EACCES): check its permissions",
            _ => fault.Message,
        };
        return new(ExitStatus.Configuration, $"configuration: {path} cannot be read: {why}");
    }

    /// <summary>Bounded: a device may never end.</summary>
    private static List<string> ReadLines(Stream stream)
    {
        List<string> lines = [];
        using var reader = new StreamReader(stream);
        char[] text = new char[MaxLength];
        int length = reader.ReadBlock(text);
        if (length == text.Length)
        {
            throw new IOException($"it has more than {MaxLength - 1} characters");
        }
        var whole = new StringReader(new string(text, 0, length));
        while (whole.ReadLine() is string line)
        {
            lines.Add(line);
        }
        return lines;
    }

    public static bool TryParseLevel(string text, out LogLevel level)
    {
        level = text switch
        {
            "error" => LogLevel.Error,
            "warning" or "warn" => LogLevel.Warning,
            "info" => LogLevel.Information,
            "debug" => LogLevel.Debug,
            _ => LogLevel.None,
        };
        return level != LogLevel.None;
    }

    private static bool TryParseAnswers(string text, out AnswerSource from)
    {
        from = text == "asked" ? AnswerSource.Asked : AnswerSource.Any;
        return text is "any" or "asked";
    }

    private Configuration With(PortMapperSettings core) => this with { PortMapper = core };

    private Configuration With(AdmissionSettings admission) => With(PortMapper with { Admission = admission });

    private Configuration With(AccessList access) => With(Admission with { Access = access });

    /// <summary>The items of a list, separated by commas or blanks.</summary>
    public static string[] Items(string text) => text.Split([',', ' ', '\t'], StringSplitOptions.RemoveEmptyEntries);

    /// <summary>False if there are only commas.</summary>
    private static bool TrySplit(string text, out string[] parts)
    {
        parts = Items(text);
        return parts.Length > 0 || text.Length == 0;
    }

    private static bool TryParseNetworks(string text, out InetNetwork[] networks)
    {
        bool valid = TrySplit(text, out string[] parts);
        networks = new InetNetwork[parts.Length];
        for (int i = 0; i < parts.Length; i++)
        {
            valid &= InetNetwork.TryParse(parts[i], out networks[i]);
        }
        return valid;
    }

    /// <summary>The list with the network in the place of an address in it that has a length.</summary>
    private static string? FindNetworks(string text)
    {
        string[] items = Items(text);
        bool isOther = false;
        for (int i = 0; i < items.Length; i++)
        {
            if (!InetNetwork.TryParse(items[i], out InetNetwork meant))
            {
                if (meant == default)
                {
                    return null;
                }
                (items[i], isOther) = (meant.ToString(), true);
            }
        }
        return isOther ? string.Join(", ", items) : null;
    }

    /// <summary>The kernel's rule for names of interfaces.</summary>
    private static bool TryParseInterfaces(string text, out string[] names) =>
        TrySplit(text, out names) && Array.TrueForAll(names, name =>
            Encoding.UTF8.GetByteCount(name) <= MaxInterfaceName && name is not ("." or "..")
                && !name.AsSpan().ContainsAny("/:"));

    private static string FullPath(string text) =>
        System.IO.Path.TrimEndingDirectorySeparator(System.IO.Path.GetFullPath(text));

    /// <summary>One whose socket for requests can have a name.</summary>
    private static bool IsDirectoryName(string text) =>
        text.StartsWith('/') && !text.Contains('\0') && FullPath(text) != "/"
            && Encoding.UTF8.GetByteCount(HandOver.PathIn(text)) <= UnixAddress.MaxPath;

    /// <summary>Ports and ranges of them, none included.</summary>
    private static bool TryParsePorts(string text, out PortSet ports)
    {
        bool valid = TrySplit(text, out string[] parts);
        var ranges = new (ushort Low, ushort High)[parts.Length];
        for (int i = 0; i < parts.Length; i++)
        {
            valid &= TryParseRange(parts[i].Contains('-') ? parts[i] : $"{parts[i]}-{parts[i]}", out PortRange range);
            ranges[i] = (range.Low, range.High);
        }
        ports = new PortSet(ranges);
        return valid;
    }

    private static bool TryParseRange(string text, out PortRange range)
    {
        string[] ends = text.Split('-', StringSplitOptions.TrimEntries);
        bool valid = ushort.TryParse(ends[0], NumberStyles.None, CultureInfo.InvariantCulture, out ushort low)
            & ushort.TryParse(ends[^1], NumberStyles.None, CultureInfo.InvariantCulture, out ushort high)
            && ends.Length == 2 && low > 0 && low <= high;
        range = new PortRange(low, high);
        return valid;
    }
}

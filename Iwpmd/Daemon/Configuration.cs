using System.Globalization;
using Iwpmd.Core;
using Iwpmd.Os;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;

namespace Iwpmd.Daemon;

/// <summary>The content of iwpmd.conf: <c>name=value</c> lines, # comments. A line that is not understood is a complaint, and the default stands.</summary>
internal sealed record Configuration
{
    public const string DefaultPath = "/etc/iwpmd.conf";

    /// <summary>Each key with its unit and bounds; defaults are those of the properties below.</summary>
    public static readonly ConfigurationKey[] Keys =
    [
        ConfigurationKey.Number("nl_sock_rbuf_size", "bytes", 64 * 1024, 1024 * 1024 * 1024, (c, v) => c with { NetlinkBufferBytes = v }),
        ConfigurationKey.Number("query_deadline", "ms", 100, 9000, (c, v) => c with { QueryDeadline = TimeSpan.FromMilliseconds(v) }),
        ConfigurationKey.Number("query_retry", "ms", 100, 5000, (c, v) => c with { QueryRetry = TimeSpan.FromMilliseconds(v) }),
        ConfigurationKey.Number("unreachable_memory", "ms", 0, 60000, (c, v) => c with { UnreachableMemory = TimeSpan.FromMilliseconds(v) }),
        new("port_range", "LOW-HIGH, each 1 to 65535", (c, text) => TryParseRange(text, out PortRange range) ? c with { PortRange = range } : null),
        ConfigurationKey.Number("max_mappings", "mappings", 16, 1048576, (c, v) => c with { MaxMappings = v }),
        ConfigurationKey.Number("request_rate", "Requests a second", 1, 1000000, (c, v) => c with { Admission = c.Admission with { RequestRate = v } }),
        ConfigurationKey.Number("source_rate", "Requests a second", 1, 1000000, (c, v) => c with { Admission = c.Admission with { SourceRate = v } }),
        ConfigurationKey.Number("remote_info_rate", "peers a second", 1, 100000, (c, v) => c with { Admission = c.Admission with { RemoteInfoRate = v } }),
        new("allow", "networks like 10.0.0.0/8, fd00::/8", (c, text) => TryParseNetworks(text, out InetNetwork[] networks) && networks.Length > 0 ? c.WithAccess(c.Admission.Access with { Allowed = networks }) : null),
        new("deny", "networks like 10.0.0.0/8, fd00::/8", (c, text) => TryParseNetworks(text, out InetNetwork[] networks) ? c.WithAccess(c.Admission.Access with { Denied = networks }) : null),
        new("interface", "a name of at most 15 characters", (c, text) => text.Length < 16 && !text.Contains('/') ? c with { Interface = text } : null),
        new("state_dir", "an absolute path", (c, text) => text.StartsWith('/') ? c with { StateDirectory = text } : null),
        new("log_level", "error, warning, info or debug", (c, text) => TryParseLevel(text, out LogLevel level) ? c with { LogLevel = level } : null),
    ];

    public int NetlinkBufferBytes { get; init; } = 8 * 1024 * 1024;

    public TimeSpan QueryDeadline { get; init; } = TimeSpan.FromMilliseconds(3000);

    public TimeSpan QueryRetry { get; init; } = TimeSpan.FromMilliseconds(500);

    public TimeSpan UnreachableMemory { get; init; } = TimeSpan.FromMilliseconds(5000);

    /// <summary>Null: the host's ip_local_port_range.</summary>
    public PortRange? PortRange { get; init; }

    public int MaxMappings { get; init; } = 65536;

    public string StateDirectory { get; init; } = "/run/iwpmd";

    public LogLevel LogLevel { get; init; } = LogLevel.Information;

    public AdmissionSettings Admission { get; init; } = new();

    /// <summary>Requests are taken from this network interface only; empty: from all.</summary>
    public string Interface { get; init; } = "";

    /// <summary>From the command line.</summary>
    public SandboxMode Sandbox { get; init; } = SandboxMode.Kill;

    public PortMapperSettings PortMapper =>
        new() { QueryDeadline = QueryDeadline, QueryRetry = QueryRetry, UnreachableMemory = UnreachableMemory, Admission = Admission };

    /// <summary>Reads lines; <paramref name="complaints"/> gets one text a fault, beginning with its line number.</summary>
    public static Configuration Parse(IEnumerable<string> lines, ICollection<string> complaints)
    {
        var configuration = new Configuration();
        int number = 0;
        foreach (string raw in lines)
        {
            number++;
            string line = raw.Split('#', 2)[0].Trim();
            if (line.Length == 0)
            {
                continue;
            }
            string[] parts = line.Split('=', 2, StringSplitOptions.TrimEntries);
            ConfigurationKey? key = Array.Find(Keys, k => k.Name == parts[0]);
            if (key is null)
            {
                complaints.Add($"{number}: unknown name '{parts[0]}': the line is ignored");
            }
            else if (parts.Length == 1 || key.Apply(configuration, parts[1]) is not Configuration changed)
            {
                complaints.Add($"{number}: {key.Name} must be {key.Expected}: the default stands");
            }
            else
            {
                configuration = changed;
            }
        }
        return configuration;
    }

    /// <summary>The file's content; the defaults when it does not exist and <paramref name="isRequired"/> is false.</summary>
    /// <exception cref="SetupException">The file cannot be read.</exception>
    public static Configuration Load(string path, bool isRequired, ICollection<string> complaints)
    {
        try
        {
            return File.Exists(path) || isRequired ? Parse(File.ReadAllLines(path), complaints) : new Configuration();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new SetupException(ExitStatus.Failure, $"configuration: {path} cannot be read: check the path and its permissions");
        }
    }

    public static bool TryParseLevel(string text, out LogLevel level)
    {
        level = text switch
        {
            "error" => LogLevel.Error,
            "warning" => LogLevel.Warning,
            "info" => LogLevel.Information,
            "debug" => LogLevel.Debug,
            _ => LogLevel.None,
        };
        return level != LogLevel.None;
    }

    private Configuration WithAccess(AccessList access) => this with { Admission = Admission with { Access = access } };

    private static bool TryParseNetworks(string text, out InetNetwork[] networks)
    {
        string[] parts = text.Split([',', ' '], StringSplitOptions.RemoveEmptyEntries);
        networks = new InetNetwork[parts.Length];
        bool valid = true;
        for (int i = 0; i < parts.Length; i++)
        {
            valid &= InetNetwork.TryParse(parts[i], out networks[i]);
        }
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

/// <summary>A configuration key: what it expects, in words, and how a value is applied (null when it is not what was expected).</summary>
internal sealed record ConfigurationKey(string Name, string Expected, Func<Configuration, string, Configuration?> Apply)
{
    public static ConfigurationKey Number(string name, string unit, int low, int high, Func<Configuration, int, Configuration> apply) =>
        new(name, $"{low} to {high} {unit}", (c, text) =>
            int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int value) && value >= low && value <= high ? apply(c, value) : null);
}

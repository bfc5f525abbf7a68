// SPDX-License-Identifier: MIT
using System.Text.Json;
using System.Text.RegularExpressions;
using Iwpmd.Wire;

namespace Iwpmd.Tests.Support;

internal enum TraceDirection
{
    KernelToDaemon,
    DaemonToKernel,
    PeerIn,
    PeerOut,
}

/// <summary>
/// One recorded datagram of C iwpmd. <see cref="Operations"/> names the netlink messages in it, in C's words without
/// prefix. <see cref="SocketPort"/> and <see cref="Peer"/> are those of UDP: our socket's port, and the other end.
/// </summary>
internal sealed record TraceMessage(
    int Number, TimeSpan Time, TraceDirection Direction, IReadOnlyList<string> Operations, ushort SocketPort,
        InetEndpoint Peer, byte[] Bytes)
{
    public bool IsNetlink => Direction is TraceDirection.KernelToDaemon or TraceDirection.DaemonToKernel;

    public override string ToString() => IsNetlink
        ? $"#{Number:000} {(Direction == TraceDirection.KernelToDaemon ? "kernel -> daemon" : "daemon -> kernel")} "
            + string.Join(", ", Operations)
        : $"#{Number:000} udp {SocketPort} {(Direction == TraceDirection.PeerIn ? "<-" : "->")} {Peer}";
}

/// <summary>
/// What passed through one daemon of rdma-core 44 on kernel 6.1 with soft iWARP: host a is 10.0.0.1 and fd00::1, b is
/// 10.0.0.2 and fd00::2.
/// </summary>
internal sealed partial class Trace
{
    private Trace(string name, IReadOnlyList<TraceMessage> messages) => (Name, Messages) = (name, messages);

    /// <summary>"map/s00-startup.a"</summary>
    public string Name { get; }

    /// <summary>In the order in which they passed.</summary>
    public IReadOnlyList<TraceMessage> Messages { get; }

    public static IReadOnlyList<string> Names { get; } = [.. Repository.Files("Iwpmd.Tests/Traces")
        .Where(path => path.EndsWith(".jsonl", StringComparison.Ordinal))
        .Select(path => Path.ChangeExtension(Path.GetRelativePath("Iwpmd.Tests/Traces", path), null))];

    public static IEnumerable<Trace> All => Names.Select(Read);

    public static Trace Read(string name) =>
        new(name, [.. File.ReadLines(Repository.PathOf($"Iwpmd.Tests/Traces/{name}.jsonl")).Select(ReadMessage)]);

    private static TraceMessage ReadMessage(string line)
    {
        using JsonDocument document = JsonDocument.Parse(line);
        JsonElement json = document.RootElement;
        string direction = json.GetProperty("dir").GetString()!;
        byte[] bytes = Hex.Bytes(json.GetProperty("hex").GetString()!);
        var message = new TraceMessage(
            json.GetProperty("n").GetInt32(), TimeSpan.FromSeconds(json.GetProperty("t").GetDouble()), default, [], 0,
            default, bytes);
        if (json.GetProperty("proto").GetString() == "netlink")
        {
            return message with
            {
                Direction =
                    direction == "kernel->daemon" ? TraceDirection.KernelToDaemon : TraceDirection.DaemonToKernel,
                Operations = [.. json.GetProperty("ops").EnumerateArray().Select(operation => operation.GetString()!)],
            };
        }
        Match udp = UdpDirection().Match(direction);
        return message with
        {
            Direction = udp.Groups["way"].Value == "in" ? TraceDirection.PeerIn : TraceDirection.PeerOut,
            SocketPort = ushort.Parse(udp.Groups["port"].Value),
            Peer = InetEndpoint.Parse(udp.Groups["peer"].Value),
        };
    }

    /// <summary>"UDP in  UDP4(3935) &lt;- 10.0.0.1:54509"</summary>
    [GeneratedRegex(@"^UDP (?<way>in|out) +UDP[46]\((?<port>\d+)\) (<-|->) (?<peer>.+)$")]
    private static partial Regex UdpDirection();
}

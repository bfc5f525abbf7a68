// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.Os;
using Iwpmd.Wire;

namespace Iwpmd.Daemon;

/// <summary>A fault of values each of which is valid by itself; the keys are those that can correct it.</summary>
internal readonly record struct Contradiction(string Fault, string Consequence, params string[] Keys);

/// <summary>Finds contradictions: of keys with each other, and with the current settings of the host.</summary>
internal static class Contradictions
{
    private const string NoState = "mappings do not outlive the daemon";

    private static readonly InetNetwork[] s_everyone =
        Array.ConvertAll(
            ["0.0.0.0/0", "::/0"], text => InetNetwork.TryParse(text, out InetNetwork all) ? all : default);

    public static IEnumerable<Contradiction> Of(Configuration c) =>
        [.. OfNumbers(c), .. OfPorts(c), .. OfAccess(c), .. OfHost(c)];

    private static IEnumerable<Contradiction> OfNumbers(Configuration c)
    {
        int retry = (int)c.PortMapper.QueryRetry.TotalMilliseconds;
        int deadline = (int)c.PortMapper.QueryDeadline.TotalMilliseconds;
        AdmissionSettings rates = c.PortMapper.Admission;
        if (retry > deadline)
        {
            yield return new(
                $"query_retry ({retry} ms) is above query_deadline ({deadline} ms)",
                "each host is asked only once",
                "query_retry", "query_deadline");
        }
        if (rates.SourceRate > rates.RequestRate)
        {
            yield return new(
                $"source_rate ({rates.SourceRate}) is above request_rate ({rates.RequestRate})",
                "one unvalidated host can use up the rate of all",
                "source_rate", "request_rate");
        }
    }

    /// <summary>By default there may be more mappings than ports: many need none.</summary>
    private static IEnumerable<Contradiction> OfPorts(Configuration c)
    {
        if (c.PortRange is not PortRange range)
        {
            yield break;
        }
        if (range.Count < c.MaxMappings && c.MaxMappings != new Configuration().MaxMappings)
        {
            yield return new(
                $"port_range has {range.Count} ports for {c.MaxMappings} mappings of max_mappings",
                "connections beyond that continue unmapped",
                "port_range", "max_mappings");
        }
    }

    private static IEnumerable<Contradiction> OfAccess(Configuration c)
    {
        AccessList access = c.PortMapper.Admission.Access;
        bool isForAll = access.Allowed.Length == 0;
        foreach (InetNetwork allowed in isForAll ? s_everyone : access.Allowed)
        {
            if (Array.Exists(access.Denied, denied => denied.Contains(allowed)))
            {
                yield return new(
                    $"deny has all of {allowed}{(isForAll ? "" : ", which allow has too")}",
                    "none of its hosts may ask",
                    "allow", "deny");
            }
        }
    }

    private static IEnumerable<Contradiction> OfHost(Configuration c)
    {
        foreach (string missing in NamedInterfaces.FindMissing(c.Interfaces))
        {
            yield return new(
                $"there is no network interface '{missing}'", "nothing comes from it until there is", "interface");
        }
        int lowest = new HostSettings().LowestUnprivilegedPort;
        const string Consequence = "they need net.ipv4.ip_unprivileged_port_start, where the daemon is not root";
        if (c.PortRange is PortRange range && range.Low < lowest)
        {
            yield return new($"port_range has privileged ports, those below {lowest}", Consequence, "port_range");
        }
        if (Array.Exists(c.PortMapper.KeptPorts.Ranges, kept => kept.Low < lowest))
        {
            yield return new($"keep_ports has privileged ports, those below {lowest}", Consequence, "keep_ports");
        }
        if (File.Exists(c.StateDirectory))
        {
            yield return new(
                $"state_dir, {c.StateDirectory}, is no directory", NoState, "state_dir");
        }
        else if (!Directory.Exists(c.StateDirectory) && Path.GetDirectoryName(c.StateDirectory) is string parent
            && !Directory.Exists(parent))
        {
            yield return new(
                $"state_dir, {c.StateDirectory}, cannot be made, since there is no directory {parent}", NoState,
                "state_dir");
        }
    }
}

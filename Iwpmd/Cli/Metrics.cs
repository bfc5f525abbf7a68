// SPDX-License-Identifier: MIT
using System.Globalization;
using System.Text;
using Iwpmd.Core;
using Iwpmd.Daemon;
using Iwpmd.Os;
using Iwpmd.State;
using Iwpmd.Wire;

namespace Iwpmd.Cli;

/// <summary><c>iwpmd metrics</c>: the state in a format of Prometheus, to stdout or, in one step, to a file.</summary>
internal static class Metrics
{
    /// <summary>
    /// 0 whenever the metrics were written, since <c>iwpmd_up</c> tells the rest; nothing is written by a user who
    /// cannot know.
    /// </summary>
    public static int Execute(string? configPath, string? outputPath, MetricFormat format)
    {
        LoadedConfiguration loaded = Configuration.Load(
            configPath ?? Configuration.DefaultPath, configPath is not null);
        StateReading reading = new StateReader(loaded.Configuration.StateDirectory).Read();
        if (reading.Condition == DaemonCondition.NotPermitted)
        {
            Output.Complain(Health.Of(reading).Sentence);
            return ExitStatus.NotPermitted;
        }
        var text = new StringWriter(CultureInfo.InvariantCulture) { NewLine = "\n" };
        Write(reading, RdmaDevices.Read(), format, DateTime.UtcNow, text);
        byte[] bytes = Encoding.UTF8.GetBytes(text.ToString());
        if (outputPath is null)
        {
            using var stdout = new StandardOutput();
            stdout.Write(bytes);
            return ExitStatus.Ended;
        }
        Errno error = AtomicFile.TryWrite(outputPath, bytes);
        if (error == Errno.None)
        {
            return ExitStatus.Ended;
        }
        Output.Complain($"{outputPath} cannot be written: {error.Text()}");
        return ExitStatus.Output;
    }

    public static void Write(StateReading reading, DateTime utcNow, TextWriter text) =>
        Write(reading, [], MetricFormat.Text, utcNow, text);

    public static void Write(
        StateReading reading, RdmaDevice[] devices, MetricFormat format, DateTime utcNow, TextWriter text)
    {
        var page = new PrometheusWriter(text, format, utcNow, reading.Now);
        Write(page, reading, devices);
        page.End();
    }

    private static void Write(PrometheusWriter page, StateReading reading, RdmaDevice[] devices)
    {
        page.Head("up", "gauge", "Whether the port mapper runs and looks at its sockets.");
        page.Value("up", "", reading.Condition == DaemonCondition.Running ? 1 : 0);
        page.Single(
            "healthy", "Whether port mapping works as it should: iwpmd status names what is wrong.",
            Health.Of(reading).Severity == Severity.Healthy ? 1 : 0);
        WriteDevices(page, DeviceStates.Of(devices, reading));
        if (reading.State is not StateSnapshot state)
        {
            return;
        }
        WriteDaemon(page, reading, state);
        WriteLosses(page, state.Health, reading.Now);
        WriteMappings(page, reading, state);
        string previous = "";
        foreach (CounterName counter in Counters.All)
        {
            if (counter.Metric != previous)
            {
                page.Head(previous = counter.Metric, "counter", counter.Help);
            }
            page.Value(counter.Metric + "_total", counter.Label, state.Counter(counter.Counter));
        }
        WritePeers(page, state);
    }

    private static void WriteDaemon(PrometheusWriter page, StateReading reading, StateSnapshot state)
    {
        ref readonly StateHeader header = ref state.Header;
        page.Head("build_info", "gauge", "The version of the daemon, as a label.");
        page.Value("build_info", PrometheusWriter.Label("version", state.Build.ToString()), 1);
        page.Head("start_time_seconds", "gauge", "When the daemon started, in seconds since 1970.");
        page.Moment("start_time_seconds", header.StartedAt);
        page.Head(
            "heartbeat_time_seconds", "gauge",
            "Heartbeat: when the daemon last looked at its sockets, in seconds since 1970.");
        page.Moment("heartbeat_time_seconds", header.SeenEmptyAt);
        if (state.Health.ConfiguredAt != TimeSpan.Zero)
        {
            page.Head(
                "configuration_time_seconds", "gauge", "When the configuration was read last, in seconds since 1970.");
            page.Moment("configuration_time_seconds", state.Health.ConfiguredAt);
        }
        page.Head("kernel_ready", "gauge", "Whether the handshake with the kernel and its replay are complete.");
        page.Value("kernel_ready", "", reading.IsDaemonThere && state.Health.Kernel == HandshakeState.Ready ? 1 : 0);
        page.Head("kernel_client_info", "gauge", "A client of the kernel that registered, with its device as labels.");
        for (int i = 0; reading.IsDaemonThere && i < state.Clients.Length; i++)
        {
            ref readonly ClientRow client = ref state.Clients[i];
            if (client.IsRegistered)
            {
                string device = PrometheusWriter.Label("device", client.Device.ToString());
                string @interface = PrometheusWriter.Label("interface", client.Interface.ToString());
                string labels = $"client=\"{i}\",abi=\"{client.Abi}\",{device},{@interface}";
                page.Value("kernel_client_info", labels, 1);
            }
        }
        if (state.Health.LastFallbackCause != FallbackCause.None)
        {
            page.Head(
                "last_fallback_time_seconds", "gauge",
                "When a connection last continued without its peer's port mapper, in seconds since 1970.");
            page.Moment("last_fallback_time_seconds", state.Health.LastFallbackAt);
        }
    }

    private static void WriteLosses(PrometheusWriter page, in HealthRow health, TimeSpan now)
    {
        page.Head(
            "recent_losses", "gauge",
            "Losses of users through this host without a minute's pause until now, by cause.");
        foreach (LossWords words in LossWords.All)
        {
            LossRow loss = health.Losses[(int)words.Cause];
            page.Value(
                "recent_losses", PrometheusWriter.Label("cause", words.Name), loss.IsRecent(now) ? loss.Count : 0);
        }
        page.Head("last_loss_time_seconds", "gauge", "When the last loss of this cause was, in seconds since 1970.");
        foreach (LossWords words in LossWords.All)
        {
            LossRow loss = health.Losses[(int)words.Cause];
            if (loss.LastAt != TimeSpan.Zero)
            {
                page.Moment("last_loss_time_seconds", loss.LastAt, PrometheusWriter.Label("cause", words.Name));
            }
        }
    }

    private static void WriteDevices(PrometheusWriter page, DeviceState[] devices)
    {
        if (devices.Length == 0)
        {
            return;
        }
        page.Head(
            "device_info", "gauge", "An iWARP device of the host, and its state with the port mapper, as labels.");
        foreach (DeviceState one in devices)
        {
            string driver = PrometheusWriter.Label("driver", one.Device.Driver);
            string @interface = PrometheusWriter.Label("interface", one.Device.Interface);
            string state = PrometheusWriter.Label("state", one.State ?? "unknown");
            page.Value("device_info", $"{Label(one)},{driver},{@interface},{state}", 1);
        }
        page.Head("device_address_info", "gauge", "An IP address of an iWARP device, as a label.");
        foreach (DeviceState one in devices)
        {
            Array.ForEach(
                one.Device.Addresses,
                address => page.Value(
                    "device_address_info", $"{Label(one)},{PrometheusWriter.Label("address", address.AddressText())}",
                    1));
        }
        page.Head("device_mappings", "gauge", "Mappings of a device's addresses, and of the wildcard.");
        foreach (DeviceState one in devices.Where(one => one.State is not null))
        {
            page.Value("device_mappings", Label(one), one.Mappings);
        }
    }

    private static string Label(in DeviceState one) => PrometheusWriter.Label("device", one.Device.Name);

    private static void WriteMappings(PrometheusWriter page, StateReading reading, StateSnapshot state)
    {
        long references = 0;
        page.Head("mappings", "gauge", "Mappings by state of their port; left: not bound, since the daemon is gone.");
        foreach (MappingState? kind in Mappings.States)
        {
            page.Value(
                "mappings", $"state=\"{Mappings.NameOf(kind)}\"", Status.CountMappings(reading, kind, out long some));
            references += some;
        }
        page.Single("mappings_limit", "Maximum number of mappings.", state.Capacity);
        page.Single("mapping_references", "Connections and listeners that use a mapping.", references);
        page.Single("ports_used", "TCP ports that the kernel uses for RDMA.", Health.PortsUsed(reading));
        page.Single("ports_limit", "TCP ports in the range to map to.", Health.PortsInAll(state.Health));
        page.Single(
            "ports_reserved", "TCP ports of that range that the host reserves, so that they are not chosen.",
            state.Health.ReservedPorts);
        page.Single(
            "mappings_restored", "Mappings of an earlier process whose ports are bound again, or need none.",
            state.Health.Restored);
        page.Single("mappings_restored_limit", "Mappings that an earlier process left.", state.Health.RestoredOf);
        page.Single("state_rows_unreadable", "Rows of the state that could not be read.", state.Unreadable);
    }

    private static void WritePeers(PrometheusWriter page, StateSnapshot state)
    {
        WritePeers(page, state, "peer_accepts", "Accepts of a host.", peer => peer.Accepts);
        WritePeers(page, state, "peer_rejects", "Rejects of a host.", peer => peer.Rejects);
        WritePeers(page, state, "peer_timeouts", "Queries that a host did not answer.", peer => peer.Timeouts);
        WritePeers(
            page, state, "peer_unreachables", "Queries that ended with an ICMP error about a host.",
            peer => peer.Unreachables);
        page.Head("peer_round_trip_median_seconds", "gauge", "Median of the last round trips to a host.");
        foreach (ref readonly PeerRow peer in state.Peers)
        {
            page.Seconds("peer_round_trip_median_seconds", PeerLabel(peer), Peers.Median(peer));
        }
        page.Head("peer_round_trip_worst_seconds", "gauge", "Worst round trip to a host.");
        foreach (ref readonly PeerRow peer in state.Peers)
        {
            page.Seconds("peer_round_trip_worst_seconds", PeerLabel(peer), Peers.Worst(peer));
        }
    }

    private static void WritePeers(
        PrometheusWriter page, StateSnapshot state, string name, string help, Func<PeerRow, uint> value)
    {
        page.Head(name, "counter", help);
        foreach (ref readonly PeerRow peer in state.Peers)
        {
            page.Value(name + "_total", PeerLabel(peer), value(peer));
        }
    }

    private static string PeerLabel(in PeerRow peer) =>
        PrometheusWriter.Label("peer", peer.Address.AddressText());
}

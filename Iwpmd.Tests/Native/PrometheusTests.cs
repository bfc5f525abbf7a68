// SPDX-License-Identifier: MIT
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Iwpmd.Cli;
using Iwpmd.Daemon;
using Iwpmd.Tests.Support;
using Xunit;

namespace Iwpmd.Tests.Native;

/// <summary>
/// Metrics, alerts and dashboard, judged by Prometheus itself: Debian's, unpacked below out/unpacked.
/// </summary>
public sealed partial class PrometheusTests : IDisposable
{
    private const string Rules = "dist/prometheus/iwpmd.rules.yml",
        Dashboard = "dist/prometheus/iwpmd.dashboard.json", RuleTests = "Iwpmd.Tests/Prometheus.rules.yml";

    private static readonly IPEndPoint s_server = new(IPAddress.Loopback, 9090);

    private readonly string _folder = Directory.CreateTempSubdirectory("iwpmd-prometheus-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void The_alerts_fire_when_they_should()
    {
        Tool.Run(Promtool, "prometheus", "check", "rules", Repository.PathOf(Rules));
        Tool.Run(Promtool, "prometheus", "test", "rules", Repository.PathOf(RuleTests));
        string tests = Read(RuleTests);

        Assert.All(AlertName().Matches(Read(Rules)).Select(alert => alert.Groups[1].Value), alert => Assert.Contains(
            alert, tests));
    }

    /// <summary>Whoever renames a metric has to change it there as well.</summary>
    [Theory]
    [InlineData(Rules)]
    [InlineData(RuleTests)]
    [InlineData(Dashboard)]
    public void Each_metric_that_is_named_is_one(string path)
    {
        string page = Page(MetricFormat.Text);
        string[] names = [.. MetricName().Matches(Read(path)).Select(name => name.Value).Distinct()];

        Assert.True(names.Length >= 10, $"only {names.Length} metrics in {path}");
        Assert.All(names, name => Assert.Contains($"# TYPE {name} ", page));
        if (path != RuleTests)
        {
            Assert.All(LabelValue().Matches(Read(path)), value => Assert.Contains($"=\"{value.Value}\"", page));
        }
    }

    [Fact]
    public void The_text_format_passes_the_check()
    {
        string file = Path.Combine(_folder, "page");
        File.WriteAllText(file, Page(MetricFormat.Text));

        Assert.Equal("", Tool.Run("sh", "dash", "-c", $"'{Promtool}' check metrics < '{file}' 2>&1"));
    }

    /// <summary>
    /// By Prometheus, which imports only samples that have a time, and by the parser of its client for Python.
    /// </summary>
    [Fact]
    public void OpenMetrics_passes_two_strict_parsers()
    {
        string page = Page(MetricFormat.OpenMetrics), file = Path.Combine(_folder, "page"),
            timed = Path.Combine(_folder, "timed");
        File.WriteAllText(file, page);
        File.WriteAllText(timed, Sample().Replace(page, "$0 1795348800"));
        string parse =
            "import sys; from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse; "
                + "print(sum(len(f.samples) for f in parse(sys.stdin.read())))";

        Assert.EndsWith("\n# EOF\n", page);
        Assert.Contains("\n# TYPE iwpmd_fallbacks counter\n", page);
        Assert.Contains("\n# UNIT iwpmd_start_time_seconds seconds\n", page);
        Assert.Equal($"{Sample().Count(page)}\n", Python(parse, file));
        Tool.Run(
            Promtool, "prometheus", "tsdb", "create-blocks-from", "openmetrics", timed,
            Path.Combine(_folder, "blocks"));
        // What is no counter by that rule is refused.
        File.WriteAllText(file, page.Replace("iwpmd_fallbacks_total", "iwpmd_fallbacks"));
        Assert.Throws<Xunit.Sdk.TrueException>(() => Python(parse, file));
    }

    /// <summary>
    /// The daemon with a simulated kernel, node exporter and Prometheus on one host: the alert of a port that another
    /// program has fires, and is over when the port is free. IWPMD_SCREENSHOT names a file for a picture of the page by
    /// then, for which chromium must be installed.
    /// </summary>
    [Fact]
    public void An_alert_fires_and_resolves()
    {
        using Scene scene = new Scene().Ready();
        Socket other = scene.RestartUnprotected("10.0.0.1:5000");
        // As installed, but for the times.
        File.WriteAllText(Path.Combine(_folder, "rules.yml"), Duration().Replace(Read(Rules), "for: 0s"));
        File.WriteAllText(Path.Combine(_folder, "prometheus.yml"), """
            global: {scrape_interval: 1s, evaluation_interval: 1s}
            rule_files: [rules.yml]
            scrape_configs: [{job_name: node, static_configs: [{targets: ['127.0.0.1:9100']}]}]
            """);
        string textfiles = Directory.CreateDirectory(Path.Combine(_folder, "textfiles")).FullName;
        using DaemonProcess exporter = DaemonProcess.Start(
            scene.Host, null, [Unpacked("usr/bin/prometheus-node-exporter"), "--collector.disable-defaults",
            "--collector.textfile", $"--collector.textfile.directory={textfiles}",
            "--web.listen-address=127.0.0.1:9100"]);
        using DaemonProcess server = DaemonProcess.Start(
            scene.Host, null, [Unpacked("usr/bin/prometheus"), $"--config.file={_folder}/prometheus.yml",
            $"--storage.tsdb.path={_folder}/data", "--web.listen-address=127.0.0.1:9090"]);

        AwaitAlert(true);
        if (Environment.GetEnvironmentVariable("IWPMD_SCREENSHOT") is string picture)
        {
            TakePicture(scene.Host, picture);
        }
        other.Dispose();
        scene.Daemon.ExpectLog("mapping: protected again: 10.0.0.1:5000");
        AwaitAlert(false);
        JsonElement counted = Ask(
            scene.Host, "query?query=count_over_time(ALERTS{alertname='IwpmdPortUnprotected'}[1h])>bool%200");
        Assert.Equal("1", counted.GetProperty("result")[0].GetProperty("value")[1].GetString());

        void AwaitAlert(bool fires)
        {
            var waited = System.Diagnostics.Stopwatch.StartNew();
            while (true)
            {
                CommandResult written = Command.Run(
                    scene.Host, "metrics", "--output", Path.Combine(textfiles, "iwpmd.prom"));
                Assert.True(written.Status == 0, written.ToString());
                JsonElement[] alerts = Ask(scene.Host, "alerts") is { ValueKind: JsonValueKind.Object } answer
                    ? [.. answer.GetProperty("alerts").EnumerateArray()]
                    : [];
                bool isKnown = Ask(scene.Host, "query?query=iwpmd_up==1") is { ValueKind: JsonValueKind.Object } up
                    && up.GetProperty("result").GetArrayLength() == 1;
                if (isKnown && fires == alerts.Any(
                    alert =>
                        alert.GetProperty("labels").GetProperty("alertname").GetString() == "IwpmdPortUnprotected"))
                {
                    Assert.DoesNotContain(
                        alerts,
                        alert =>
                            alert.GetProperty("labels").GetProperty(
                                "alertname").GetString() is not ("IwpmdPortUnprotected" or "IwpmdLosses"));
                    return;
                }
                Assert.True(
                    waited.Elapsed < Timeouts.Answer * 2,
                    $"the alert {(fires ? "does not fire" : "is not over")}: {string.Join(", ", alerts)}\n"
                        + $"{server.Errors}\n{exporter.Errors}");
                Thread.Sleep(200);
            }
        }
    }

    /// <summary>What Prometheus answers, or nothing while it does not serve.</summary>
    private static JsonElement Ask(Host host, string what)
    {
        try
        {
            using Socket socket = host.Run(() =>
            {
                var one = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                one.Connect(s_server);
                return one;
            });
            socket.Send(Encoding.ASCII.GetBytes($"GET /api/v1/{what} HTTP/1.0\r\n\r\n"));
            using var reader = new StreamReader(new NetworkStream(socket));
            string[] parts = reader.ReadToEnd().Split("\r\n\r\n", 2);
            return parts[0].Contains(" 200 ") ? JsonDocument.Parse(parts[1]).RootElement.GetProperty("data") : default;
        }
        catch (SocketException)
        {
            return default;
        }
    }

    /// <summary>Of the page of Debian's package, which must be installed for it. The host's /etc is empty.</summary>
    private void TakePicture(Host host, string file)
    {
        const string page =
            "http://127.0.0.1:9090/classic/graph?g0.expr=ALERTS&g0.tab=1&g1.expr=iwpmd_mappings&g1.tab=1";
        string fonts = Path.Combine(_folder, "fonts.conf");
        File.WriteAllText(fonts, "<fontconfig><dir>/usr/share/fonts</dir></fontconfig>");
        CommandResult taken = Command.Run(
            host, [new("HOME", "/run"), new("FONTCONFIG_FILE", fonts)],
            ["/usr/lib/chromium/chromium", "--headless", "--no-sandbox",
            "--disable-gpu", "--window-size=1100,900", "--virtual-time-budget=8000", $"--screenshot={file}", page]);
        Assert.True(File.Exists(file), taken.ToString());
    }

    private static string Promtool => Unpacked("usr/bin/promtool");

    private static string Unpacked(string path) =>
        Path.Combine(
            Tool.Run(
                Repository.PathOf("Iwpmd.Tests/unpack"), "dpkg", "prometheus", "prometheus-node-exporter",
                "python3-prometheus-client", "python3-decorator").Trim(),
            path);

    private static string Python(string script, string input) =>
        Tool.Run(
            "sh", "dash", "-c",
            $"PYTHONPATH='{Unpacked("usr/lib/python3/dist-packages")}' python3 -c '{script}' < '{input}'");

    private static string Read(string path) => File.ReadAllText(Repository.PathOf(path));

    private static string Page(MetricFormat format)
    {
        var text = new StringWriter();
        Metrics.Write(
            Stage.Read(Stage.Busy()), [], format, new DateTime(2026, 11, 22, 12, 0, 0, DateTimeKind.Utc), text);
        return text.ToString();
    }

    [GeneratedRegex("for: [0-9]+m")]
    private static partial Regex Duration();

    [GeneratedRegex("alert: ([A-Za-z]+)")]
    private static partial Regex AlertName();

    [GeneratedRegex(@"\biwpmd_[a-z_]+")]
    private static partial Regex MetricName();

    [GeneratedRegex("(?<=[^!]=\\\\?\")[a-z_]+(?=\\\\?\")")]
    private static partial Regex LabelValue();

    [GeneratedRegex("^[^#].*(?=\n)", RegexOptions.Multiline)]
    private static partial Regex Sample();
}

// SPDX-License-Identifier: MIT
using System.Diagnostics;
using System.Globalization;
using System.Net;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;
using Xunit.Abstractions;

namespace Iwpmd.Tests.Native;

/// <summary>
/// Requests of 300,000 unvalidated hosts at full speed, and the service of the others. The figures go to
/// the output; asserted is what does not depend on how busy the machine is.
/// </summary>
public sealed class FloodTests(ITestOutputHelper output) : IDisposable
{
    private const int Count = 300_000, PeerCount = 8;

    /// <summary>
    /// Tables and queues, which are bounded, may be used further than before when the machine is busy. A leak of seven
    /// bytes a Request would show.
    /// </summary>
    private const long MaxGrowth = 2 << 20;

    /// <summary>Told before their Ack, and one a second; see Admission.</summary>
    private const int UnconfirmedRemoteInfos = 256, UnconfirmedPerSecond = 1;

    /// <summary>What is said of a flood is said once in this time.</summary>
    private static readonly TimeSpan s_reportPeriod = TimeSpan.FromSeconds(10);

    private readonly SimulatedKernel _kernel = new();
    private readonly List<KnownPeer> _peers = [];
    private Host? _host, _outside;
    private DaemonProcess? _daemon;

    [Fact]
    public async Task A_flood_costs_little_and_validated_hosts_do_not_notice()
    {
        string flood = Binaries.Compile("Iwpmd.Tests/Support/flood.c");
        (_host, _outside) = Host.Pair();
        _host.Ip("route add default via 10.0.0.2"); // answers to unvalidated hosts end there
        // package util-linux
        _daemon = DaemonProcess.Start(_host, _kernel, ["taskset", "-c", "1", Binaries.Ours, "-f"]);
        _daemon.ExpectLog("daemon: ready");
        _kernel.Expect(KernelReplyKind.RegisterPid, _kernel.Send(Scene.Register));
        ushort mapped = _kernel.Expect(
            KernelReplyKind.AddMapping, _kernel.Send(Scene.Add("0.0.0.0:7174"))).MappedLocal.Port;
        for (int i = 0; i < PeerCount; i++)
        {
            _peers.Add(new KnownPeer(_outside, $"10.0.0.{i + 2}", mapped));
            _peers[i].MarkValidated();
        }
        double[] idle = Adds(TimeSpan.FromSeconds(1));
        Known(TimeSpan.FromSeconds(1));
        int told = RemoteInfosOfUnvalidated();
        long memory = AnonymousMemory();
        long cpu = CpuTicks();

        using Process flooding = _outside.Run(() => Process.Start(
            new ProcessStartInfo(
                "nice", ["-n", "5", "taskset", "-c", "0", flood, "10.0.0.1", "10.0.0.1", "7174", $"{Count}", "1"])
            {
                RedirectStandardOutput = true,
            })!);
        var clock = Stopwatch.StartNew();
        Task<double[]> adding = Task.Factory.StartNew(
            () => AddsWhile(() => !flooding.HasExited), TaskCreationOptions.LongRunning);
        (int asked, int answered) = KnownWhile(() => !flooding.HasExited);
        double[] busy = await adding;
        cpu = CpuTicks() - cpu;
        string[] figures = flooding.StandardOutput.ReadToEnd().Split();
        Adds(TimeSpan.FromSeconds(0.2)); // afterwards service is as before
        (int askedAfter, int answeredAfter) = Known(TimeSpan.FromSeconds(1));
        long growth = AnonymousMemory() - memory;
        told = RemoteInfosOfUnvalidated() - told;
        TimeSpan took = clock.Elapsed;

        double nanoseconds = double.Parse(figures[1], CultureInfo.InvariantCulture) / Count;
        output.WriteLine(
            $"a Request every {nanoseconds:0} ns, {cpu * 10_000_000.0 / Count:0} ns of the daemon's processor each; "
                + $"anonymous memory {memory >> 10} + {growth >> 10} KB; REMOTE_INFOs of unvalidated hosts: {told}");
        output.WriteLine(
            $"ADD p50/p99 us: idle {Percentile(idle, 50):0}/{Percentile(idle, 99):0} ({idle.Length}), flooded "
                + $"{Percentile(busy, 50):0}/{Percentile(busy, 99):0} ({busy.Length}), p99 ratio "
                + $"{Percentile(busy, 99) / Percentile(idle, 99):0.00}");
        output.WriteLine($"dropped by a full socket: {DroppedDatagrams()}");
        output.WriteLine(
            $"known peers answered within 1 s: {answered} of {asked}; afterwards {answeredAfter} of {askedAfter}");
        Assert.Equal($"{Count}", figures[0]);
        Assert.InRange(growth, long.MinValue, MaxGrowth - 1);
        Assert.InRange(
            told, 0, UnconfirmedRemoteInfos + PeerCount + (UnconfirmedPerSecond * (int)(took.TotalSeconds + 1)));
        Assert.True(asked > 0 && busy.Length > 0);
        Assert.Equal(askedAfter, answeredAfter);
        _daemon.Stop();
        TimeOnly[] said = [.. _daemon.Errors.Split('\n').Where(line => line.Contains("peer:")).Select(
            line => TimeOnly.Parse(line[..line.IndexOf(' ')], CultureInfo.InvariantCulture))];
        // a difference of times of day is never negative
        Assert.All(said, one => Assert.InRange(said.Count(other => other - one < s_reportPeriod), 1, 3));
    }

    public void Dispose()
    {
        _peers.ForEach(peer => peer.Dispose());
        _daemon?.Dispose();
        _kernel.Dispose();
        _host?.Dispose();
        _outside?.Dispose();
    }

    private static double Percentile(double[] sorted, int percent) =>
        sorted[Math.Min(sorted.Length * percent / 100, sorted.Length - 1)];

    private double[] Adds(TimeSpan time)
    {
        var clock = Stopwatch.StartNew();
        return AddsWhile(() => clock.Elapsed < time);
    }

    /// <summary>How long ADDs take, one after the other, in microseconds and order.</summary>
    private double[] AddsWhile(Func<bool> goesOn)
    {
        List<double> times = [];
        do
        {
            long began = Stopwatch.GetTimestamp();
            uint sequence = _kernel.Send(Scene.Add("10.0.0.1:6000"));
            _kernel.Expect(KernelReplyKind.AddMapping, sequence);
            times.Add(Stopwatch.GetElapsedTime(began).TotalMicroseconds);
            _kernel.Send(Scene.Remove("10.0.0.1:6000"));
            Thread.Sleep(1);
        }
        while (goesOn());
        times.Sort();
        return [.. times];
    }

    private (int Asked, int Answered) Known(TimeSpan time)
    {
        var clock = Stopwatch.StartNew();
        return KnownWhile(() => clock.Elapsed < time);
    }

    /// <summary>
    /// Each known peer asks ten times a second, again after half a second, as ours and the C daemon do at least.
    /// </summary>
    private (int Asked, int Answered) KnownWhile(Func<bool> goesOn)
    {
        while (goesOn())
        {
            _peers.ForEach(peer => peer.Ask());
            Thread.Sleep(100);
            _peers.ForEach(peer => peer.Turn());
        }
        for (int i = 0; i < 11; i++)
        {
            Thread.Sleep(100);
            _peers.ForEach(peer => peer.Turn());
        }
        (int, int) result = (_peers.Sum(p => p.Asked), _peers.Sum(p => p.Answered));
        _peers.ForEach(peer => (peer.Asked, peer.Answered) = (0, 0));
        return result;
    }

    private int RemoteInfosOfUnvalidated() => _kernel.Messages.Count(
        m => m.IsRequest && m.Kind == KernelReplyKind.RemoteInfo && m.Reply.Remote.Low >> 24 == 11);

    /// <summary>
    /// Without what it touches of the state file, whose size is given. On a busy machine a flood lasts long enough to
    /// touch most of the rows.
    /// </summary>
    private long AnonymousMemory() => long.Parse(
        File.ReadLines($"/proc/{_kernel.Processes[0]}/status").First(line => line.StartsWith("RssAnon:")).Split(
            ' ', StringSplitOptions.RemoveEmptyEntries)[1],
        CultureInfo.InvariantCulture) << 10;

    private string DroppedDatagrams() => _host!.Run(
        () => File.ReadLines("/proc/thread-self/net/snmp").Last(line => line.StartsWith("Udp:")).Split(' ')[5]);

    /// <summary>Processor time, in hundredths of a second.</summary>
    private long CpuTicks() =>
        File.ReadAllText($"/proc/{_kernel.Processes[0]}/stat").Split(") ")[1].Split(' ')[11..13].Sum(
            text => long.Parse(text, CultureInfo.InvariantCulture));

    /// <summary>A host that asks the daemon, Acks, and asks again when nothing comes.</summary>
    private sealed class KnownPeer(Host host, string address, ushort mappedPort) : IDisposable
    {
        private static readonly IPEndPoint s_daemon = new(IPAddress.Parse("10.0.0.1"), Peer.MapperPort);

        private readonly Peer _socket = new(host, address, 0);
        private readonly Dictionary<ulong, (TimeSpan At, bool Again)> _open = [];
        private readonly Stopwatch _clock = Stopwatch.StartNew();
        private ulong _handle = ulong.Parse(address.Split('.')[3], CultureInfo.InvariantCulture) << 32;

        public int Asked { get; set; }

        public int Answered { get; set; }

        public void MarkValidated()
        {
            Ask();
            Answer(_socket.Receive().Bytes);
        }

        public void Ask()
        {
            Asked++;
            _open[++_handle] = (_clock.Elapsed, false);
            Send(_handle);
        }

        /// <summary>Takes what came, and asks again what got no answer for half a second.</summary>
        public void Turn()
        {
            foreach ((byte[] bytes, _) in _socket.ReceiveAll())
            {
                Answer(bytes);
            }
            foreach ((ulong handle, (TimeSpan at, bool again)) in _open.ToArray())
            {
                if (_clock.Elapsed - at > TimeSpan.FromSeconds(1))
                {
                    _open.Remove(handle);
                }
                else if (!again && _clock.Elapsed - at > TimeSpan.FromSeconds(0.5))
                {
                    _open[handle] = (at, true);
                    Send(handle);
                }
            }
        }

        public void Dispose() => _socket.Dispose();

        private void Send(ulong handle)
        {
            string port = $"{1024 + (handle % 50000)}";
            _socket.Send(s_daemon, Peer.Request(handle, $"{address}:{port}", "10.0.0.1:7174", $"{address}:{port}"));
        }

        private void Answer(byte[] bytes)
        {
            PeerMessage message = Peer.Parse(bytes);
            Assert.Equal((PeerMessageType.Accept, mappedPort), (message.Type, message.Accepting.Port));
            Answered += _open.Remove(message.Handle) ? 1 : 0;
            _socket.Send(s_daemon, message.AsAck());
        }
    }
}

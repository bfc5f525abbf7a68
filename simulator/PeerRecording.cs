// SPDX-License-Identifier: MIT
using System.Globalization;
using System.Text.RegularExpressions;
using Iwpmd.Os;
using Iwpmd.Wire;

namespace Iwpmd.Simulation;

/// <summary>
/// What a recorded daemon of rdma-core said to its peers, played to the one of the model: it gets the datagrams that
/// came, asks when the recorded one asked, and must send the same messages in the same order, each within a tenth of a
/// second of its time. Fields are compared, not bytes: rdma-core leaves some of them as they are in memory. Which of
/// its ports are mapped, and where to, is taken from its answers.
/// </summary>
internal sealed partial class PeerRecording
{
    private static readonly TimeSpan s_slow = TimeSpan.FromMilliseconds(100);

    private readonly record struct Line(TimeSpan At, bool IsIn, InetEndpoint Peer, byte[] Bytes, PeerMessage Message);

    private readonly World _world = new(0, null);
    private readonly ForeignDaemon _daemon;
    private readonly List<Line> _lines = [];
    private readonly Queue<(PeerMessage Message, InetEndpoint To, TimeSpan At)> _sent = new();
    private readonly HashSet<ulong> _asked = [];

    private PeerRecording(IEnumerable<string> lines)
    {
        _daemon = new ForeignDaemon(
            new Machine(_world, "recorded", []), (message, to) => _sent.Enqueue((message, to, _world.Now)));
        foreach (string line in lines)
        {
            if (DatagramLine().Match(line) is { Success: true } match)
            {
                double seconds = double.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture);
                byte[] bytes = Convert.FromHexString(match.Groups[4].Value);
                _ = PeerMessage.TryParse(bytes, out PeerMessage message, out _);
                _lines.Add(new Line(
                    _world.Now + TimeSpan.FromSeconds(seconds), match.Groups[2].Value == "in",
                    InetEndpoint.Parse(match.Groups[3].Value), bytes, message));
            }
        }
    }

    /// <summary>Lines of JSON, as Iwpmd.Tests/Traces has them; returns how many messages the daemon sent.</summary>
    /// <exception cref="Violation">The daemon of the model says something else.</exception>
    public static int Play(IEnumerable<string> lines)
    {
        var recording = new PeerRecording(lines);
        int compared = 0;
        for (int i = 0; i < recording._lines.Count; i++)
        {
            Line line = recording._lines[i];
            if (line.IsIn)
            {
                recording.Deliver(i, line);
            }
            else
            {
                recording.Expect(i, line);
                compared++;
            }
        }
        recording.ExpectNothingBefore(recording._lines.Count, recording._world.Now + (2 * s_slow));
        return compared;
    }

    private void Deliver(int number, in Line line)
    {
        ExpectNothingBefore(number, line.At);
        if (line.Message.Type == PeerMessageType.Request)
        {
            PeerMessage request = line.Message;
            PeerMessage answer = _lines.Skip(number).Where(one => !one.IsIn && one.Message.Handle == request.Handle
                && one.Message.Type is PeerMessageType.Accept or PeerMessageType.Reject)
                .Select(one => one.Message).FirstOrDefault();
            _ = _daemon.Listeners.Remove(request.Accepting.Port);
            if (answer.Type == PeerMessageType.Accept)
            {
                _daemon.Listeners[request.Accepting.Port] = answer.Accepting.Port;
            }
        }
        _daemon.Receive(new Datagram(line.Bytes, line.Peer, default));
    }

    private void Expect(int number, in Line line)
    {
        if (line.Message.Type == PeerMessageType.Request && _asked.Add(line.Message.Handle))
        {
            ExpectNothingBefore(number, line.At);
            _daemon.Ask(line.Message);
        }
        _world.RunUntil(line.At + s_slow);
        if (!_sent.TryDequeue(out (PeerMessage Message, InetEndpoint To, TimeSpan At) sent)
            || sent.Message != line.Message || sent.To != line.Peer || sent.At < line.At - s_slow)
        {
            throw new Violation(
                $"datagram {number}: recorded {line.Message} to {line.Peer} at {line.At}, the model says "
                    + (sent == default ? "nothing" : $"{sent.Message} to {sent.To} at {sent.At}"));
        }
    }

    private void ExpectNothingBefore(int number, TimeSpan time)
    {
        _world.RunUntil(time);
        if (_sent.TryPeek(out (PeerMessage Message, InetEndpoint To, TimeSpan At) sent) && sent.At < time - s_slow)
        {
            throw new Violation(
                $"before datagram {number} nothing was recorded, the model says {sent.Message} to {sent.To} "
                    + $"at {sent.At}");
        }
    }

    [GeneratedRegex(
        "\"t\": ([0-9.]+), \"dir\": \"UDP (in|out) +UDP[46]\\([0-9]+\\) (?:<-|->) ([^\"]+)\", \"proto\": \"udp\", "
            + "\"hex\": \"([0-9a-f]+)\"")]
    private static partial Regex DatagramLine();
}

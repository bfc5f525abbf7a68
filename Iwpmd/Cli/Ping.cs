// SPDX-License-Identifier: MIT
using System.Globalization;
using Iwpmd.Core;
using Iwpmd.Daemon;
using Iwpmd.Os;
using Iwpmd.State;
using Iwpmd.Wire;

namespace Iwpmd.Cli;

/// <summary>What to ask, how often; <paramref name="Port"/> 0 is one that nobody can have mapped.</summary>
internal sealed record PingOptions(string Host, int Count, ushort Port);

/// <summary>
/// <c>iwpmd ping</c>: asks another host's port mapper, as a connection would. A port that is not mapped draws a Reject,
/// from rdma-core's daemon as well.
/// </summary>
internal sealed class Ping : IDisposable
{
    private static readonly TimeSpan AnswerWithin = TimeSpan.FromSeconds(1), Pause = TimeSpan.FromSeconds(1);

    private readonly PingOptions _options;
    private readonly InetEndpoint _peer, _source;
    private readonly UdpSocket _socket;
    private readonly byte[] _buffer = new byte[PeerMessage.RequestSize];
    private readonly List<TimeSpan> _roundTrips = [];

    private Ping(PingOptions options, InetEndpoint peer, InetEndpoint source, UdpSocket socket) =>
        (_options, _peer, _source, _socket) = (options, peer, source, socket);

    /// <summary>0 when at least one answer was received.</summary>
    public static int Execute(PingOptions options)
    {
        if (!HostName.TryResolve(options.Host, out InetEndpoint address))
        {
            Output.Complain($"{options.Host}: no such host");
            return ExitStatus.Failure;
        }
        if (address is { IsLinkLocal: true, Scope: 0 })
        {
            Output.Complain($"{options.Host} is a link-local address: say the interface too: {options.Host}%INTERFACE");
            return ExitStatus.Failure;
        }
        InetEndpoint peer = address.WithPort(PortMapper.Port);
        UdpSocket? socket = null;
        OpError? error = OpError.Check("connect", UdpSocket.TryFindSource(peer, out InetEndpoint source))
            ?? UdpSocket.TryOpen(peer.Family, 0, out socket);
        if (socket is null)
        {
            string remedy = FallbackWords.AndRemedy(FallbackCauses.Of(error!.Value.Errno));
            Output.Complain($"{peer.AddressText()}: {error}{remedy}");
            return ExitStatus.Failure;
        }
        using var ping = new Ping(options, peer, source.WithPort(socket.Port), socket);
        return ping.Run();
    }

    public void Dispose() => _socket.Dispose();

    private int Run()
    {
        string address = _peer.AddressText();
        string host = _options.Host == address ? address : $"{_options.Host} ({address})";
        Output.Line($"asking the port mapper of {host}{(_options.Port == 0 ? "" : $" for port {_options.Port}")}");
        for (int i = 1; i <= _options.Count; i++)
        {
            TimeSpan start = Clock.Now;
            Output.Line($"{i}: {Ask()}");
            TimeSpan left = start + Pause - Clock.Now;
            if (i < _options.Count && left > TimeSpan.Zero)
            {
                Thread.Sleep(left);
            }
        }
        if (_roundTrips.Count == 0)
        {
            Output.Line($"{_options.Count} asked, none answered");
            return ExitStatus.Failure;
        }
        _roundTrips.Sort();
        TimeSpan median = (_roundTrips[(_roundTrips.Count - 1) / 2] + _roundTrips[_roundTrips.Count / 2]) / 2;
        Output.Line($"{_options.Count} asked, {_roundTrips.Count} answered; "
            + $"round trip best {Format.Milliseconds(_roundTrips[0])}, "
            + $"median {Format.Milliseconds(median)}, worst {Format.Milliseconds(_roundTrips[^1])}");
        return ExitStatus.Ended;
    }

    /// <summary>Sends one Request; returns its result in words.</summary>
    private string Ask()
    {
        var request = new PeerMessage(
            PeerMessageType.Request, Entropy.Random64() | 1, _source, _peer.WithPort(_options.Port), _source);
        TimeSpan sent = Clock.Now;
        Errno error = _socket.Send(_buffer.AsSpan(0, request.Write(_buffer)), _peer, default);
        if (error != Errno.None)
        {
            return $"not sent: {new SendFailure(error, FallbackCauses.Of(error))}";
        }
        while (sent + AnswerWithin - Clock.Now is { Ticks: > 0 } left && _socket.WaitReadable(left))
        {
            if (_socket.TryReceiveError(_buffer, out UdpError failure) && failure.IsUnreachable)
            {
                return Describe(failure);
            }
            if (_socket.Receive(_buffer, out UdpArrival arrival) == Errno.None
                && PeerMessage.TryParse(
                    _buffer.AsSpan(0, Math.Min(arrival.Length, _buffer.Length)), out PeerMessage answer, out _)
                && answer.Type is PeerMessageType.Accept or PeerMessageType.Reject && IsAnswer(answer, request))
            {
                return Describe(answer, arrival, Clock.Now - sent);
            }
        }
        string wait = AnswerWithin.TotalSeconds.ToString(CultureInfo.InvariantCulture);
        return $"no answer within {wait} s: a firewall drops UDP port {PortMapper.Port}, or the host is down";
    }

    private string Describe(in UdpError failure)
    {
        FallbackCause cause = FallbackCauses.Of(failure);
        string says = failure.Source.Family == IpFamily.None || failure.Source.SameAddress(_peer)
            ? ""
            : $", says {failure.Source.AddressText()}";
        return cause == FallbackCause.Unreachable
            ? $"no port mapper (ICMP unreachable{says}): {failure.Error.Text()}{FallbackWords.AndRemedy(cause)}"
            : $"it {FallbackWords.Describe(cause)}{says}: {FallbackWords.Remedy(cause)}";
    }

    /// <summary>By the rule of the daemon: from whatever source it comes.</summary>
    private static bool IsAnswer(in PeerMessage answer, in PeerMessage request) =>
        answer.Handle == request.Handle && answer.Connecting == request.Connecting
        && answer.Accepting.WithScope(request.Accepting.Scope).SameAddress(request.Accepting);

    private string Describe(in PeerMessage answer, in UdpArrival arrival, TimeSpan roundTrip)
    {
        _roundTrips.Add(roundTrip);
        string from = arrival.From.SameAddress(_peer) ? ""
            : $" (from {arrival.From.AddressText()}, which a daemon with answers_from=asked drops)";
        string time = $"{Format.Milliseconds(roundTrip)}{from}";
        if (answer.Type == PeerMessageType.Accept)
        {
            // else rdma-core's daemon repeats itself
            _ = _socket.Send(_buffer.AsSpan(0, answer.AsAck().Write(_buffer)), arrival.From, default);
            return $"port {_options.Port} is mapped to {answer.Accepting.Port}, {time}";
        }
        return _options.Port == 0 ? $"answered, {time}" : $"port {_options.Port} is not mapped, {time}";
    }
}

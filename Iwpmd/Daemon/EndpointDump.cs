// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.Os;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;
using static Iwpmd.Core.Times;

namespace Iwpmd.Daemon;

/// <summary>
/// Requests every connection endpoint of the host's iWARP devices from the kernel (RDMA_NL_NLDEV) and passes them to
/// the core. On a separate socket, so that it does not delay the port mapper, and a few datagrams per turn of the loop,
/// which never waits for it: one request after the other, each ends with DONE or by its deadline.
/// </summary>
internal sealed class EndpointDump(PortMapper mapper, ILogger log)
{
    private const int BufferSize = 32768, ReceiveBuffer = 1024 * 1024;

    /// <summary>Each has some hundred endpoints.</summary>
    private const int DatagramsPerTurn = 8;

    private const ulong Unknown = ulong.MaxValue;
    private static readonly TimeSpan s_answerWait = TimeSpan.FromSeconds(1), s_lookLimit = TimeSpan.FromSeconds(10);

    /// <summary>In order.</summary>
    private enum Question
    {
        System,
        Devices,
        CountsBefore,

        /// <summary>Once per device.</summary>
        Endpoints,
        CountsAfter,
        None,
    }

    // allocated at start: later there may be no memory
    private readonly byte[] _buffer = GC.AllocateUninitializedArray<byte>(BufferSize);
    private readonly Dictionary<uint, ulong> _devices = []; // the iWARP devices, with the number of their endpoints
    private readonly Queue<uint> _toAsk = new();
    private NetlinkSocket? _socket;
    private Question _question = Question.None;
    private uint _sequence;
    private ulong _seen, _before;
    private bool _isShared;
    private TimeSpan _answerBy, _endBy;

    /// <summary>Has the loop call <see cref="Receive"/> when this descriptor is readable.</summary>
    public Func<int, Errno> Watch { get; set; } = _ => Errno.None;

    /// <summary>
    /// At every wake-up: begins when the audit is due, ends when the kernel does not answer. Returns the latest time of
    /// the next call.
    /// </summary>
    public TimeSpan Advance(TimeSpan now)
    {
        if (_socket is null && mapper.Audit.IsDue(now))
        {
            Begin(now);
        }
        else if (_socket is not null && now >= _answerBy)
        {
            End(Errno.ETIMEDOUT.Text(), now);
        }
        return _socket is null ? TimeSpan.MaxValue : _answerBy;
    }

    /// <summary>Reads some of the kernel's answers.</summary>
    public void Receive(TimeSpan now)
    {
        for (int i = 0; i < DatagramsPerTurn && _socket is not null; i++)
        {
            Errno error = _socket.Receive(_buffer, out int length, out uint source);
            if (error == Errno.EAGAIN)
            {
                return;
            }
            if (error is not (Errno.None or Errno.EINTR))
            {
                End(error.Text(), now);
            }
            else if (error == Errno.None && source == 0)
            {
                _answerBy = Earlier(now + s_answerWait, _endBy);
                Read(_buffer.AsSpan(0, Math.Min(length, BufferSize)), now);
            }
        }
    }

    private void Begin(TimeSpan now)
    {
        mapper.Audit.Begin(now);
        _seen = 0;
        _isShared = true;
        _devices.Clear();
        _endBy = now + s_lookLimit;
        OpError? error = NetlinkSocket.TryOpen(KernelProtocol.NetlinkProtocol, 0, ReceiveBuffer, out _socket)
            ?? OpError.Check("epoll_ctl", Watch(_socket!.Fd));
        if (error is not null)
        {
            End($"{error}", now);
            return;
        }
        Ask(Question.System, now);
    }

    private void Read(ReadOnlySpan<byte> datagram, TimeSpan now)
    {
        var messages = new NetlinkMessages(datagram);
        while (messages.MoveNext())
        {
            if (messages.Header.Sequence != _sequence)
            {
                continue;
            }
            if ((messages.Header.Flags & NetlinkHeader.Interrupted) != 0)
            {
                End("endpoints came or went while they were listed", now);
                return;
            }
            bool isAck = KernelRequest.TryReadAck(messages.Header, messages.Payload, out _, out int result);
            if (isAck && result != 0)
            {
                End(((Errno)(-result)).Text(), now);
                return;
            }
            if (!isAck)
            {
                Take(messages.Payload);
            }
            if (isAck || (messages.Header.Flags & NetlinkHeader.Multi) == 0) // a single answer has no DONE
            {
                AskNext(now);
                return;
            }
        }
    }

    private void Take(ReadOnlySpan<byte> payload)
    {
        switch (_question)
        {
            case Question.System:
                _isShared = DeviceResources.IsShared(payload);
                break;
            case Question.Devices
                when DeviceResources.TryReadDevice(payload, out uint device, out bool isIwarp) && isIwarp:
                _devices[device] = Unknown; // a device that is not counted leaves the dump incomplete
                break;
            case Question.CountsBefore or Question.CountsAfter
                when DeviceResources.TryReadCount(payload, out uint device, out ulong endpoints)
                && _devices.ContainsKey(device):
                _devices[device] = endpoints;
                break;
            case Question.Endpoints:
                CountEndpoints(payload);
                break;
        }
    }

    private void CountEndpoints(ReadOnlySpan<byte> payload)
    {
        var endpoints = new DeviceResources.EndpointReader(payload);
        while (endpoints.MoveNext())
        {
            _seen++;
            mapper.Audit.Count(endpoints.Local, endpoints.IsListening ? EndpointUse.Listening : EndpointUse.Other);
        }
    }

    private void AskNext(TimeSpan now)
    {
        if (_question == Question.CountsBefore)
        {
            _before = Total();
            foreach (uint device in _devices.Keys)
            {
                _toAsk.Enqueue(device);
            }
        }
        if (_question == Question.CountsAfter)
        {
            End(WhyIncomplete(Total()), now);
            return;
        }
        Ask(
            _toAsk.Count > 0 ? Question.Endpoints
                : _question == Question.CountsBefore ? Question.CountsAfter
                : _question + 1,
            now);
    }

    private void Ask(Question question, TimeSpan now)
    {
        _question = question;
        _answerBy = Earlier(now + s_answerWait, _endBy);
        uint portId = _socket!.PortId;
        int length = question switch
        {
            Question.System => DeviceResources.AskSystem(_buffer, ++_sequence, portId),
            Question.Devices => DeviceResources.AskDevices(_buffer, ++_sequence, portId),
            Question.Endpoints => DeviceResources.AskEndpoints(_buffer, ++_sequence, portId, _toAsk.Dequeue()),
            _ => DeviceResources.AskCounts(_buffer, ++_sequence, portId),
        };
        Errno error = _socket.Send(_buffer.AsSpan(0, length));
        if (error != Errno.None)
        {
            End(error.Text(), now);
        }
    }

    /// <summary>
    /// The kernel lists only endpoints of our PID namespace, but counts all: so the numbers must agree, before and
    /// after.
    /// </summary>
    private string? WhyIncomplete(ulong after) =>
        !_isShared ? "devices of other network namespaces are not shown"
        : _before != _seen || after != _seen
            ? $"{_seen} endpoints are shown, {_before} were there before and {after} after"
        : null;

    private void End(string? whyIncomplete, TimeSpan now)
    {
        _socket?.Dispose(); // which also removes it from epoll
        _socket = null;
        _question = Question.None;
        _toAsk.Clear();
        Log.AuditTaken(log, _devices.Count, _seen, whyIncomplete ?? "complete");
        mapper.Audit.End(whyIncomplete, now);
    }

    private ulong Total()
    {
        ulong total = 0;
        foreach (ulong endpoints in _devices.Values)
        {
            total = endpoints == Unknown || total == Unknown ? Unknown : total + endpoints;
        }
        return total;
    }
}

using Iwpmd.Core;
using Iwpmd.Os;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;

namespace Iwpmd.Daemon;

/// <summary>
/// Asks the kernel for every connection endpoint of the host's iWARP devices and tells the core. On a socket of its own, so that nothing of the port mapper's
/// is in the way. It takes milliseconds for thousands of endpoints.
/// </summary>
internal sealed class EndpointCensus(PortMapper mapper, ILogger log)
{
    private const int BufferSize = 32768, ReceiveBuffer = 1024 * 1024;

    private readonly byte[] _buffer = GC.AllocateUninitializedArray<byte>(BufferSize); // from the start: later there may be no memory to be had
    private const ulong Unknown = ulong.MaxValue;
    private static readonly TimeSpan s_wait = TimeSpan.FromSeconds(1);

    private readonly Dictionary<uint, ulong> _devices = []; // the iWARP ones, with the number of their endpoints
    private uint _sequence;
    private ulong _seen;
    private bool _isShared;

    private delegate void Visitor(ReadOnlySpan<byte> payload);

    public void TakeIfWanted(TimeSpan now)
    {
        if (!mapper.WantsCensus(now))
        {
            return;
        }
        mapper.BeginCensus();
        string? whyIncomplete = Take();
        Log.CensusTaken(log, _devices.Count, _seen, whyIncomplete ?? "complete");
        mapper.EndCensus(whyIncomplete, now);
    }

    /// <summary>Null when every endpoint was counted. The kernel shows only those of our process namespace, but counts all: so the numbers must agree, before and after.</summary>
    private string? Take()
    {
        _seen = 0;
        _devices.Clear();
        Errno error = NetlinkSocket.TryOpen(KernelProtocol.NetlinkProtocol, 0, ReceiveBuffer, out NetlinkSocket? opened, out string operation);
        if (opened is null)
        {
            return $"{operation}: {error}";
        }
        using NetlinkSocket socket = opened;
        _isShared = true;
        int result = Ask(socket, DeviceResources.AskSystem(_buffer, ++_sequence, socket.PortId), payload => _isShared = DeviceResources.IsShared(payload));
        result = result != 0 ? result : Ask(socket, DeviceResources.AskDevices(_buffer, ++_sequence, socket.PortId), AddDevice);
        result = result != 0 ? result : AskCounts(socket);
        ulong before = Total();
        foreach (uint device in _devices.Keys)
        {
            result = result != 0 ? result : Ask(socket, DeviceResources.AskEndpoints(_buffer, ++_sequence, socket.PortId, device), CountEndpoints);
        }
        result = result != 0 ? result : AskCounts(socket);
        ulong after = Total();
        return result != 0 ? new Errno(-result).ToString()
            : !_isShared ? "devices of other network namespaces are not shown"
            : before != _seen || after != _seen ? $"{_seen} endpoints are shown, {before} were there before and {after} after"
            : null;
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

    private int AskCounts(NetlinkSocket socket) =>
        Ask(socket, DeviceResources.AskCounts(_buffer, ++_sequence, socket.PortId), payload =>
        {
            if (DeviceResources.TryReadCount(payload, out uint device, out ulong endpoints) && _devices.ContainsKey(device))
            {
                _devices[device] = endpoints;
            }
        });

    private void AddDevice(ReadOnlySpan<byte> payload)
    {
        if (DeviceResources.TryReadDevice(payload, out uint device, out bool isIwarp) && isIwarp)
        {
            _devices[device] = Unknown; // a device that is not counted leaves the census incomplete
        }
    }

    private void CountEndpoints(ReadOnlySpan<byte> payload)
    {
        var endpoints = new DeviceResources.EndpointReader(payload);
        while (endpoints.MoveNext())
        {
            _seen++;
            mapper.CountEndpoint(endpoints.Local, endpoints.IsListening ? EndpointUse.Listening : EndpointUse.Other);
        }
    }

    /// <summary>Sends the question that stands in the buffer and visits each message until DONE; 0, or -errno.</summary>
    private int Ask(NetlinkSocket socket, int length, Visitor visit)
    {
        NetlinkHeader question = NetlinkHeader.Read(_buffer);
        Errno error = socket.Send(_buffer.AsSpan(0, length));
        while (error == Errno.None || error == Errno.Interrupted || error == Errno.Again)
        {
            if (!socket.WaitReadable(s_wait))
            {
                return -Errno.TimedOut.Number;
            }
            error = socket.Receive(_buffer, out length, out uint source);
            if (error != Errno.None || source != 0)
            {
                continue;
            }
            var messages = new NetlinkMessages(_buffer.AsSpan(0, Math.Min(length, BufferSize)));
            while (messages.MoveNext())
            {
                if (messages.Header.Sequence != question.Sequence)
                {
                    continue;
                }
                if (KernelRequest.TryReadOutcome(messages.Header, messages.Payload, question.Sequence, out int result))
                {
                    return result;
                }
                visit(messages.Payload);
                if ((messages.Header.Flags & NetlinkHeader.Multi) == 0)
                {
                    return 0; // a single answer has no DONE
                }
            }
        }
        return -error.Number;
    }
}

// SPDX-License-Identifier: MIT
using Iwpmd.Tests.Support;
using Iwpmd.Wire;

namespace Iwpmd.Tests.Support;

/// <summary>
/// Tells what a daemon said so that two daemons can be compared: each field by name, numbers that each chooses for
/// itself (ports of the dynamic range, handles) by what they are for, and whether bytes that mean nothing are zero.
/// </summary>
internal sealed class Transcript
{
    /// <summary>Behind a line whose bytes are not zero where they mean nothing.</summary>
    public const string StrayBytes = ", stray bytes";

    private const int FirstDynamicPort = 32768;

    private readonly Dictionary<int, string> _ports = [];
    private readonly Dictionary<ulong, string> _handles = [];
    private readonly Dictionary<string, int> _named = [];

    /// <summary>The dynamic ports that have a name.</summary>
    public int[] Ports => [.. _ports.Keys];

    public string Of(RawNetlink message, uint firstSequence)
    {
        string[] fields = (KernelReplyKind)message.Operation switch
        {
            KernelReplyKind.Hello => [$"abi {message[1].UInt16}"],
            KernelReplyKind.MapInfo => [$"library {message[1].String}", $"version {message[2].UInt16}"],
            KernelReplyKind.MapInfoNumber => [$"sent {message[2].UInt32}", $"accepted {message[3].UInt32}"],
            KernelReplyKind.RegisterPid =>
                [
                    Request(message[1]), $"device {message[2].String}", $"library {message[3].String}",
                    $"version {message[4].UInt16}", $"error {message[5].UInt16}",
                ],
            KernelReplyKind.AddMapping =>
                [
                    Request(message[1]), $"local {Address(message[2])}",
                    $"mapped {Mapped(Endpoint(message[3]), Endpoint(message[2]))}", $"error {message[4].UInt16}",
                ],
            KernelReplyKind.QueryMapping or KernelReplyKind.RemoteInfo =>
            [
                Request(message[1]), $"local {Address(message[2])}", $"remote {Address(message[3])}",
                $"mapped {Mapped(Endpoint(message[4]), Endpoint(message[2]))}", $"mapped remote {Address(message[5])}",
                $"error {message[6].UInt16}",
            ],
            KernelReplyKind.HandleError => [Request(message[1]), $"code {message[2].UInt16}"],
            _ => [Hex.Text(message.Payload)],
        };
        bool stray = message.Attributes.Any(
            a => a.Padding.Any(b => b != 0) || (a.Value.Length == 128 && a.UnusedOfAddress.Any(b => b != 0)));
        return $"kernel <- {message.Name} client {message.Client} flags {message.Flags}: "
            + $"{string.Join(", ", fields)}{(stray ? StrayBytes : "")}";

        string Request(RawAttribute sequence) =>
            sequence.UInt32 >= firstSequence && firstSequence > 0 ? $"request +{sequence.UInt32 - firstSequence}"
            : sequence.UInt32 == 0 ? "request 0"
            : "request of before";
    }

    /// <param name="isFromWellKnownPort">Else it came from a port of the daemon's own.</param>
    public string Of(byte[] datagram, string to, bool isFromWellKnownPort)
    {
        if (!PeerMessage.TryParse(datagram, out PeerMessage message, out string? reason))
        {
            return $"{to} <- {datagram.Length} bytes: {reason}";
        }
        var zeros = new byte[PeerMessage.RequestSize];
        int length = message.Write(zeros);
        zeros[1] = datagram[1];
        bool stray = !datagram.AsSpan().SequenceEqual(zeros.AsSpan(0, length));
        string pmTime = datagram[1] == 0 ? "" : $", PmTime {datagram[1]}";
        string mapped =
            message.IsLong ? $", mapped connecting {Mapped(message.MappedConnecting, message.Connecting)}" : "";
        string from = isFromWellKnownPort ? "3935" : "a port of its own";
        return $"{to} <- {message.Type} of {datagram.Length} bytes from {from}: handle {Handle(message)}, "
            + $"connecting {Address(message.Connecting)}, accepting {Address(message.Accepting)}"
            + $"{mapped}{pmTime}{(stray ? StrayBytes : "")}";
    }

    public string Port(int port) =>
        port < FirstDynamicPort ? port.ToString() : _ports.GetValueOrDefault(port, "some port");

    /// <summary>A port that is free again may come back as that of another mapping.</summary>
    public void Forget(int port) => _ports.Remove(port);

    private static InetEndpoint Endpoint(RawAttribute attribute) => InetEndpoint.Parse(attribute.Address);

    private string Address(RawAttribute attribute) => Address(Endpoint(attribute));

    /// <summary>The mapped address of what is at <paramref name="local"/>.</summary>
    private string Mapped(InetEndpoint mapped, InetEndpoint local)
    {
        if (mapped.Port >= FirstDynamicPort && !_ports.ContainsKey(mapped.Port))
        {
            _ports[mapped.Port] = Number($"m{local.Port}");
        }
        return Address(mapped);
    }

    private string Address(InetEndpoint endpoint) =>
        endpoint.Family == IpFamily.V6
        ? $"[{endpoint.AddressText()}]:{Port(endpoint.Port)}"
        : $"{endpoint.AddressText()}:{Port(endpoint.Port)}";

    private string Handle(in PeerMessage message)
    {
        if (message.Handle < 0x10000)
        {
            return message.Handle.ToString(); // the test chose it
        }
        if (message.Type == PeerMessageType.Request)
        {
            // C takes a handle again when its query is over
            _handles[message.Handle] = Number($"h{message.Connecting.Port}-{message.Accepting.Port}");
        }
        return _handles.GetValueOrDefault(message.Handle, "of nobody");
    }

    private string Number(string name)
    {
        int number = _named[name] = _named.GetValueOrDefault(name) + 1;
        return number == 1 ? name : $"{name}.{number}";
    }
}

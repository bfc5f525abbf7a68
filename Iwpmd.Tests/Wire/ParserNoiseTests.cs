// SPDX-License-Identifier: MIT
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Wire;

/// <summary>
/// Outside data in all shapes, the same in every run: nothing throws, and what is read is what was written.
/// </summary>
public class ParserNoiseTests
{
    private const int Rounds = 200_000;

    private static readonly KernelOperation[] Operations = [.. Enum.GetValues<KernelOperation>()
        .Where(
            operation =>
                operation is not (KernelOperation.RemoteInfo or KernelOperation.HandleError
                    or KernelOperation.Malformed))];

    [Fact]
    public void Random_bytes_never_throw()
    {
        var random = new Random(1);
        for (int round = 0; round < Rounds; round++)
        {
            byte[] bytes = new byte[random.Next(160)];
            random.NextBytes(bytes);
            ReadAll(bytes);
        }
    }

    [Fact]
    public void Recorded_bytes_with_a_few_of_them_changed_never_throw()
    {
        var random = new Random(2);
        byte[][] recorded =
            [
                .. Trace.All.SelectMany(trace => trace.Messages).Select(message => message.Bytes),
                .. DeviceResourcesTests.Payloads,
            ];
        int understood = 0;
        for (int round = 0; round < Rounds; round++)
        {
            byte[] original = recorded[random.Next(recorded.Length)];
            byte[] bytes = original[..(random.Next(3) == 0 ? random.Next(original.Length + 1) : original.Length)];
            for (int change = random.Next(6); change > 0 && bytes.Length > 0; change--)
            {
                // Headers are where lengths and types are.
                bytes[random.Next(random.Next(2) == 0 ? bytes.Length : Math.Min(32, bytes.Length))] =
                    (byte)random.Next(256);
            }
            understood += ReadAll(bytes);
        }
        // or the changes are too wild to reach what lies behind the headers
        Assert.InRange(understood, Rounds / 4, Rounds * 2);
    }

    [Fact]
    public void Every_peer_message_reads_back_as_it_was_written()
    {
        var random = new Random(3);
        byte[] buffer = new byte[PeerMessage.RequestSize];
        for (int round = 0; round < Rounds; round++)
        {
            IpFamily family = random.Next(2) == 0 ? IpFamily.V4 : IpFamily.V6;
            var type = (PeerMessageType)random.Next(4);
            bool mapped = type == PeerMessageType.Request && random.Next(2) == 0;
            var message = new PeerMessage(
                type, (ulong)random.NextInt64(long.MinValue, long.MaxValue), Endpoint(random, family),
                Endpoint(random, family), mapped ? Endpoint(random, family) : default);
            random.NextBytes(buffer);

            int length = message.Write(buffer);

            Assert.True(
                PeerMessage.TryParse(buffer.AsSpan(0, length), out PeerMessage read, out string? reason), reason);
            Assert.Equal(message, read);
        }
    }

    [Fact]
    public void Every_message_of_the_kernel_reads_back_as_it_was_written()
    {
        var random = new Random(4);
        for (int round = 0; round < Rounds / 10; round++)
        {
            KernelRequest request = Request(random);
            byte[] bytes = KernelBytes.Of(request, abi: 4, portId: (uint)random.Next());
            NetlinkHeader header = NetlinkHeader.Read(bytes);

            Assert.True(
                KernelRequest.TryParse(
                    header, bytes.AsSpan(NetlinkHeader.Size), out KernelRequest read, out string? reason),
                reason);
            Assert.Equal(request, read);
            Assert.Equal(
                (request.Local.Scope, request.Remote.Scope, request.Mapped.Scope),
                (read.Local.Scope, read.Remote.Scope, read.Mapped.Scope));
        }
    }

    [Fact]
    public void Every_reply_is_read_by_the_kernel_as_it_was_meant()
    {
        var random = new Random(5);
        byte[] buffer = new byte[KernelReply.MaxSize];
        for (int round = 0; round < Rounds / 10; round++)
        {
            KernelReply reply = Reply(random);
            random.NextBytes(buffer);

            int length = reply.Write(buffer, (uint)random.Next());

            Assert.Equal(reply, KernelBytes.ToReply(buffer[..length]));
        }
    }

    /// <summary>Everything that reads bytes, on these bytes; how many values came out.</summary>
    private static int ReadAll(byte[] bytes)
    {
        int values = PeerMessage.TryParse(bytes, out _, out _) ? 1 : 0;
        Sockaddr.TryRead(bytes, out _);
        DeviceResources.TryReadDevice(bytes, out _, out _);
        DeviceResources.TryReadCount(bytes, out _, out _);
        DeviceResources.IsShared(bytes);
        var endpoints = new DeviceResources.EndpointReader(bytes);
        while (endpoints.MoveNext())
        {
            values++;
        }
        var messages = new NetlinkMessages(bytes);
        while (messages.MoveNext())
        {
            bool read = KernelRequest.TryParse(
                messages.Header, messages.Payload, out KernelRequest request, out string? reason);
            Assert.Equal(!read || request.Operation == KernelOperation.Malformed, reason is not null);
            values += read ? 1 : 0;
        }
        return values;
    }

    private static KernelRequest Request(Random random)
    {
        IpFamily family = random.Next(2) == 0 ? IpFamily.V4 : IpFamily.V6;
        var request = new KernelRequest
        {
            Operation = Operations[random.Next(Operations.Length)],
            Client = (byte)random.Next(1, 64),
            Sequence = (uint)random.Next(),
        };
        InetEndpoint one = Endpoint(random, family), other = Endpoint(random, family);
        uint flags = (uint)random.Next();
        return request.Operation switch
        {
            KernelOperation.RegisterPid =>
                request with { Interface = Name(random, 15), Device = Name(random, 31), Library = Name(random, 31) },
            KernelOperation.AddMapping => request with { Local = one, Flags = flags },
            KernelOperation.RemoveMapping => request with { Local = one },
            KernelOperation.QueryMapping => request with { Local = one, Remote = other, Flags = flags },
            KernelOperation.MapInfo => request with { Local = one, Mapped = other, Flags = flags },
            KernelOperation.MapInfoNumber => request with { Number = (uint)random.Next() },
            KernelOperation.Hello => request with { Number = (uint)random.Next(ushort.MaxValue + 1) },
            _ => request with { Client = 0, Result = -random.Next(200) },
        };
    }

    private static KernelReply Reply(Random random)
    {
        IpFamily family = random.Next(2) == 0 ? IpFamily.V4 : IpFamily.V6;
        var kind = Enum.GetValues<KernelReplyKind>()[random.Next(8)];
        var reply = new KernelReply { Kind = kind, Client = (byte)random.Next(1, 64), Sequence = (uint)random.Next() };
        uint answered = (uint)random.Next();
        ushort abi = (ushort)random.Next(ushort.MaxValue + 1);
        var error = (MappingError)random.Next(20);
        InetEndpoint one = Endpoint(random, family), other = Endpoint(random, family);
        return kind switch
        {
            KernelReplyKind.RegisterPid =>
                reply with { RequestSequence = answered, Device = Name(random, 31), Abi = abi, Error = error },
            KernelReplyKind.AddMapping =>
                reply with { RequestSequence = answered, Local = one, MappedLocal = other, Error = error },
            KernelReplyKind.HandleError => reply with { RequestSequence = answered, Error = error },
            KernelReplyKind.MapInfoNumber =>
                reply with { RequestSequence = answered, Sent = (uint)random.Next(), Accepted = (uint)random.Next() },
            KernelReplyKind.Hello or KernelReplyKind.MapInfo => reply with { Abi = abi },
            _ => reply with
            {
                RequestSequence = answered, Error = error,
                Local = one, Remote = other, MappedLocal = one.WithPort((ushort)random.Next(65536)),
                MappedRemote = other.WithPort((ushort)random.Next(65536)),
            },
        };
    }

    private static InetEndpoint Endpoint(Random random, IpFamily family)
    {
        byte[] address = new byte[family == IpFamily.V4 ? 4 : 16];
        if (random.Next(8) != 0)
        {
            random.NextBytes(address);
        }
        return InetEndpoint.FromAddressBytes(address, (ushort)random.Next(65536));
    }

    private static FixedName Name(Random random, int longest) =>
        new(new string('a', random.Next(longest)) + (char)random.Next('a', 'z' + 1));
}

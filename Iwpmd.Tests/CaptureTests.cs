// SPDX-License-Identifier: MIT
using System.Text.Json;
using Iwpmd.Core;
using Iwpmd.Tests.Native;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests;

/// <summary>What tshark says with the dissector of dist/wireshark. Captures/record made the captures.</summary>
public sealed class CaptureTests : IDisposable
{
    private static readonly InetEndpoint Asking = InetEndpoint.Parse("10.0.0.1:40000"),
        Asked = InetEndpoint.Parse("10.0.0.2:3935");
    private static readonly PeerMessage Request = new(
        PeerMessageType.Request, 7, InetEndpoint.Parse("10.0.0.1:5000"), InetEndpoint.Parse("10.0.0.2:7001"),
        InetEndpoint.Parse("10.0.0.1:33000"));
    private static readonly KernelRequest Add = new()
    {
        Operation = KernelOperation.AddMapping,
        Client = 2,
        Sequence = 9,
        Local = InetEndpoint.Parse("10.0.0.1:7001"),
    };

    private static readonly KernelReply Added = new()
    {
        Kind = KernelReplyKind.AddMapping, Client = 2, Sequence = 1, RequestSequence = 9, Local = Add.Local,
        MappedLocal = Add.Local.WithPort(33000),
    };

    private readonly string _folder = Directory.CreateTempSubdirectory("iwpmd-capture-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("kernel-ours")]
    [InlineData("kernel-c")]
    [InlineData("peers")]
    public async Task What_the_lab_captured_is_told(string capture)
    {
        string said = Said(Repository.PathOf($"Iwpmd.Tests/Captures/{capture}.pcap"));

        Assert.DoesNotContain("malformed", said, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain("Lua Error", said, StringComparison.Ordinal);
        await Golden.VerifyRow(said, $"capture={capture}");
    }

    /// <summary>Each operation of both sides, in both versions of the protocol.</summary>
    [Fact]
    public async Task Each_operation_is_told()
    {
        InetEndpoint local = InetEndpoint.Parse("[fe80::1]:7001").WithScope(2),
            remote = InetEndpoint.Parse("[fe80::2]:7001").WithScope(2);
        var request = new KernelRequest
        {
            Client = 3,
            Sequence = 9,
            Local = local,
            Remote = remote,
            Mapped = local.WithPort(33000),
            Flags = 1,
            Number = 3,
        };
        var registration = new KernelRequest
        {
            Client = 3,
            Sequence = 9,
            Interface = new FixedName("eth0"u8),
            Device = new FixedName("siw0"u8),
            Library = new FixedName("iWarpPortMapperUser"u8),
        };
        var reply = new KernelReply
        {
            Client = 3,
            RequestSequence = 9,
            Local = local,
            Remote = remote,
            MappedLocal = local.WithPort(33000),
            MappedRemote = remote.WithPort(33001),
            Error = MappingError.RejectedByPeer,
            Abi = 3,
            Sent = 4,
            Accepted = 5,
        };
        var registered = new KernelReply
        {
            Client = 3,
            RequestSequence = 9,
            Error = MappingError.RejectedByPeer,
            Abi = 3,
            Device = new FixedName("siw0"u8),
        };
        CaptureFile capture = CaptureFile.OfNetlink();
        foreach (KernelOperation operation in (KernelOperation[])
            [KernelOperation.RegisterPid, KernelOperation.AddMapping, KernelOperation.QueryMapping,
             KernelOperation.RemoveMapping, KernelOperation.MapInfo, KernelOperation.MapInfoNumber,
             KernelOperation.Hello])
        {
            KernelRequest one = (operation == KernelOperation.RegisterPid ? registration : request) with
            {
                Operation = operation,
            };
            capture.Message(KernelBytes.Of(one, abi: 4)).Message(KernelBytes.Of(one, abi: 3));
        }
        uint sequence = 100;
        foreach (KernelReplyKind kind in Enum.GetValues<KernelReplyKind>())
        {
            capture.Message(Bytes(
                (kind == KernelReplyKind.RegisterPid ? registered : reply) with
                {
                    Kind = kind,
                    Sequence = sequence,
                })).Message(KernelBytes.Of(new KernelRequest { Operation = KernelOperation.Done, Sequence = sequence++,
                Result = kind == KernelReplyKind.RemoteInfo ? -22 : 0 }, portId: 77));
        }
        capture.Message(Bytes(reply with { Kind = KernelReplyKind.HandleError, Sequence = sequence })).Message(
            KernelBytes.Of(
                new KernelRequest { Operation = KernelOperation.Error, Sequence = sequence, Result = -16 },
                portId: 77));
        await Golden.Verify(Said(capture));
    }

    [Fact]
    public void A_damaged_datagram_is_malformed()
    {
        (byte[] Bytes, string Said)[] rows =
        [
            (Peer.Bytes(Request)[..63], "Malformed: its length is 63, neither 48 nor 64"),
            (With(Peer.Bytes(Request), 0, 0x44), "Malformed: its version is not 0"),
            (With(Peer.Bytes(Request), 0, 0x05), "Malformed: its IP version is neither 4 nor 6"),
            (With(Peer.Bytes(Request), 0, 0x14), "Malformed: an Accept has 48 bytes"),
            (With(Peer.Bytes(Request), 0, 0x34), "Malformed: a Reject has 48 bytes"),
        ];
        CaptureFile capture = CaptureFile.OfPackets();
        Array.ForEach(rows, row => capture.Datagram(row.Bytes, Asking, Asked));

        Assert.Equal(rows.Select(row => row.Said), Lines(Said(capture)));
    }

    [Fact]
    public void A_damaged_netlink_message_is_malformed()
    {
        byte[] added = Bytes(Added),
            query = KernelBytes.Of(Add with { Operation = KernelOperation.QueryMapping, Remote = Add.Local });
        const string told = "port mapper: ADD_MAPPING";
        (byte[] Bytes, string Said)[] rows =
        [
            (With(added, 28, 3), $"{told}, mapped to 10.0.0.1:33000 (malformed: an address is neither IPv4 nor IPv6)"),
            (With(added, 24, 0xff, 0xff), $"{told} (malformed: the length of an attribute is out of bounds)"),
            (
                Shortened(added, 4),
                $"{told}, 10.0.0.1:7001, mapped to 10.0.0.1:33000 (malformed: the length of an attribute is out of "
                    + "bounds)"),
            (Shortened(added, 8), $"{told}, 10.0.0.1:7001, mapped to 10.0.0.1:33000 (malformed: ERR is missing)"),
            (Shortened(query, 140), "kernel: QUERY_MAPPING, 10.0.0.1:7001 (malformed: REMOTE is missing)"),
            (
                KernelBytes.Message(2057, 1, 1, 0, KernelBytes.Attribute(1, [4])),
                "kernel: unknown (malformed: an operation that it does not have)"),
            (
                KernelBytes.Message(2056, 1, 1, 0, KernelBytes.Attribute(1, [4])),
                "kernel: HELLO (malformed: ABI_VERSION is too short)"),
            (
                KernelBytes.Message(2054, 1, 1, 77, KernelBytes.Attribute(1, "abc"u8.ToArray())),
                "port mapper: MAPINFO (malformed: a name has no NUL at its end)"),
        ];
        CaptureFile capture = CaptureFile.OfNetlink();
        Array.ForEach(rows, row => capture.Message(row.Bytes));

        Assert.Equal(rows.Select(row => row.Said), Lines(Said(capture)));
    }

    [Fact]
    public void What_is_odd_is_marked()
    {
        byte[] request = Peer.Bytes(Request);
        string packets = Said(CaptureFile.OfPackets()
            .Datagram(request, Asking, Asked)
            .Datagram(With(request, 31, 1), Asking, Asked)
            .Datagram(request, InetEndpoint.Parse("[fd00::1]:40000"), InetEndpoint.Parse("[fd00::2]:3935"))
            .Datagram(request, Asking, Asked).Cut(1)
            .Later(TimeSpan.FromSeconds(16)).Datagram(request, Asking, Asked)
            .Datagram(Peer.Bytes(Request.AsAccept(33001)), Asked, Asking));
        string messages = Said(CaptureFile.OfNetlink()
            .Message(KernelBytes.Of(Add)).Later(TimeSpan.FromSeconds(10)).Message(Bytes(Added))
            .Message(KernelBytes.Of(Add with { Sequence = 10 }))
            .Message(With(Bytes(Added with { Sequence = 2 }), 40, 1)).Message(
                [.. Bytes(Added with { Sequence = 3 })]).Cut(9)
            .Message(KernelBytes.Of(
                new KernelRequest { Operation = KernelOperation.Done, Sequence = 1, Result = -22 }, portId: 77)));

        Assert.Equal(
            ["iwpm.unanswered", "iwpm.stray_bytes", "iwpm.other_family", "iwpm.cut", ""], Marks(packets).Take(5));
        Assert.Equal(["", "1", "1", "1", "", ""], Values(packets, "iwpm.copy_of"));
        Assert.Equal(["", "", "", "", "6", ""], Values(packets, "iwpm.response_in"));
        Assert.Equal(["", "", "", "", "", "0.001000000"], Values(packets, "iwpm.time"));
        Assert.Equal(
            ["", "iwpm.late", "iwpm.unanswered", "iwpm.stray_bytes", "iwpm.cut", "iwpm.refused"], Marks(messages));
    }

    [Fact]
    public void The_filters_of_the_manual_are_understood()
    {
        string[] filters =
            [.. File.ReadLines(Repository.PathOf("iwpmd.8")).Where(line => line.StartsWith(".It Cm iwpm."))
            .SelectMany(line => line[".It Cm ".Length..].Replace("\\(dq", "\"").Split(" , "))];
        string none = CaptureFile.OfNetlink().Write(Path.Combine(_folder, "none.pcap"));

        Assert.True(filters.Length >= 7, string.Join("; ", filters));
        Tool.Run(
            "tshark", "tshark", "-r", none, "-X", $"lua_script:{Repository.PathOf("dist/wireshark/iwpm.lua")}", "-Y",
            string.Join(" or ", filters));
    }

    private static byte[] Bytes(in KernelReply reply)
    {
        var buffer = new byte[KernelReply.MaxSize];
        return buffer[..reply.Write(buffer, portId: 77)];
    }

    private static byte[] With(byte[] bytes, int at, params byte[] changed)
    {
        byte[] copy = [.. bytes];
        changed.CopyTo(copy, at);
        return copy;
    }

    /// <summary>With the length in its header.</summary>
    private static byte[] Shortened(byte[] message, int bytes) =>
        With(message[..^bytes], 0, BitConverter.GetBytes(message.Length - bytes));

    private string Said(CaptureFile capture) => Said(capture.Write(Path.Combine(_folder, "capture.pcap")));

    private static string Said(string path) => Tool.Run(Repository.PathOf("Iwpmd.Tests/Captures/said"), "tshark", path);

    /// <summary>Of each frame the line of the list, without number and protocol.</summary>
    private static IEnumerable<string> Lines(string said) =>
        Frames(said).Select(frame => frame.GetProperty("line").GetString()!.Split(' ', 3)[2]);

    /// <summary>Of each frame the first expert information, or nothing.</summary>
    private static IEnumerable<string> Marks(string said) =>
        Frames(said).Select(frame => Members(frame).Where(member => member.Name == "_ws.expert")
        .SelectMany(member => Members(member.Value)).Select(member => member.Name).FirstOrDefault(
            name => name.StartsWith("iwpm."), ""));

    private static IEnumerable<string> Values(string said, string name) =>
        Frames(said).Select(
            frame =>
                Members(frame).Where(
                    member => member.Name == name).Select(member => member.Value.GetString()!).FirstOrDefault(""));

    private static IEnumerable<JsonElement> Frames(string said) =>
        JsonDocument.Parse(said).RootElement.EnumerateArray();

    private static IEnumerable<JsonProperty> Members(JsonElement element) => element.ValueKind switch
    {
        JsonValueKind.Object =>
            element.EnumerateObject().SelectMany(member => (JsonProperty[])[member, .. Members(member.Value)]),
        JsonValueKind.Array => element.EnumerateArray().SelectMany(Members),
        _ => [],
    };
}

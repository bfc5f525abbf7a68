// SPDX-License-Identifier: MIT
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Wire;

public class KernelRequestTests
{
    private const int Abi3 = 3, Abi4 = 4;
    private static readonly InetEndpoint Local = InetEndpoint.Parse("10.0.0.1:5000"),
        Other = InetEndpoint.Parse("10.0.0.2:7174");
    private static readonly InetEndpoint Local6 = InetEndpoint.Parse("[fe80::1%2]:5000"),
        Other6 = InetEndpoint.Parse("[fd00::2]:7174");
    private static readonly byte[] Sequence = KernelBytes.Attribute(1, [9, 9, 9, 9]),
        LocalAttribute = KernelBytes.Attribute(2, KernelBytes.Storage(Local));

    private static readonly KernelRequest[] Samples =
    [
        new()
        {
            Operation = KernelOperation.RegisterPid,
            Client = 2,
            Sequence = 7,
            Interface = new("eth0"),
            Device = new("siw0"),
            Library = new("iWarpPortMapperUser"),
        },
        new() { Operation = KernelOperation.AddMapping, Client = 2, Sequence = 8, Local = Local, Flags = 1 },
        new() { Operation = KernelOperation.AddMapping, Client = 3, Sequence = 9, Local = Local6 },
        new()
        {
            Operation = KernelOperation.QueryMapping,
            Client = 2,
            Sequence = 10,
            Local = Local,
            Remote = Other,
            Flags = 1,
        },
        new() { Operation = KernelOperation.QueryMapping, Client = 2, Sequence = 11, Local = Local6, Remote = Other6 },
        new() { Operation = KernelOperation.RemoveMapping, Client = 2, Sequence = 12, Local = Local },
        new() { Operation = KernelOperation.MapInfo, Client = 2, Local = Local, Mapped = Other, Flags = 1 },
        new() { Operation = KernelOperation.MapInfo, Client = 2, Local = Local6, Mapped = Other6 },
        new() { Operation = KernelOperation.MapInfoNumber, Client = 2, Sequence = 13, Number = 229 },
        new() { Operation = KernelOperation.Hello, Client = 2, Sequence = 14, Number = 4 },
        new() { Operation = KernelOperation.Done, Sequence = 15, Result = -22 },
        new() { Operation = KernelOperation.Error, Sequence = 16, Result = -105 },
    ];

    public static TheoryData<int> SampleNumbers => [.. Enumerable.Range(0, Samples.Length)];

    [Theory]
    [MemberData(nameof(SampleNumbers))]
    public void What_a_kernel_of_ABI_4_says_is_read_whole(int sample) =>
        Assert.Equal((Samples[sample], null), Parse(KernelBytes.Of(Samples[sample], Abi4)));

    [Theory]
    [MemberData(nameof(SampleNumbers))]
    public void A_kernel_of_ABI_3_says_the_same_without_flags(int sample) =>
        Assert.Equal((Samples[sample] with { Flags = 0 }, null), Parse(KernelBytes.Of(Samples[sample], Abi3)));

    [Theory]
    [InlineData(nameof(KernelOperation.AddMapping), 164, 156)]
    [InlineData(nameof(KernelOperation.QueryMapping), 296, 288)]
    [InlineData(nameof(KernelOperation.RemoveMapping), 156, 156)]
    [InlineData(nameof(KernelOperation.MapInfo), 288, 280)]
    [InlineData(nameof(KernelOperation.RegisterPid), 116, 116)]
    public void The_test_kernel_writes_messages_of_the_real_lengths(string operation, int abi4, int abi3)
    {
        KernelRequest request = Sample(operation);

        Assert.Equal((abi4, abi3), (KernelBytes.Of(request, Abi4).Length, KernelBytes.Of(request, Abi3).Length));
    }

    [Fact]
    public void Scopes_are_kept_as_received()
    {
        KernelRequest request = Samples[4] with { Local = Local6.WithScope(5), Remote = Other6.WithScope(6) };

        KernelRequest parsed = Parse(KernelBytes.Of(request)).Request!.Value;

        Assert.Equal((5u, 6u), (parsed.Local.Scope, parsed.Remote.Scope));
    }

    [Fact]
    public void Only_the_lowest_flag_says_that_no_port_is_mapped()
    {
        Assert.True(new KernelRequest { Flags = 3 }.NoPortMap);
        Assert.False(new KernelRequest { Flags = 2 }.NoPortMap);
    }

    [Fact]
    public void Unknown_attributes_and_any_order_are_fine()
    {
        byte[] payload =
            [
                .. KernelBytes.Attribute(99, [1, 2, 3]), .. KernelBytes.Attribute(3, [1, 0, 0, 0]), .. LocalAttribute,
                .. KernelBytes.Attribute(17, []), .. Sequence,
            ];

        Assert.Equal((Samples[1], null), Parse(KernelBytes.Message(0x0801, 1, 8, 0, payload)));
    }

    [Fact]
    public void The_last_attribute_may_be_of_unaligned_length_without_padding()
    {
        KernelRequest hello = Samples[9];
        byte[] message = KernelBytes.Message(0x0808, 1, hello.Sequence, 0, Hex.Bytes("0600 0100 0400"));

        Assert.Equal((hello, null), Parse(message));
    }

    // Which message, cut to how many bytes of payload; every shorter one leaves a needed attribute out or breaks it.
    [Theory]
    [InlineData(nameof(KernelOperation.RegisterPid), 0, 8, 11, 28, 63, 64, 99)]
    [InlineData(nameof(KernelOperation.AddMapping), 0, 7, 8, 9, 12, 139, 147)]
    [InlineData(nameof(KernelOperation.QueryMapping), 0, 8, 139, 140, 271, 279)]
    public void A_request_that_is_too_short_but_awaited_is_malformed_and_keeps_what_its_refusal_needs(
        string operation, params int[] lengths)
    {
        KernelRequest request = Sample(operation);
        var malformed = new KernelRequest
        {
            Operation = KernelOperation.Malformed,
            Client = request.Client,
            Sequence = request.Sequence,
            Result = (int)request.Operation,
        };
        foreach (int length in lengths)
        {
            (KernelRequest? parsed, string? reason) = Parse(Cut(KernelBytes.Of(request), length));

            Assert.Equal(malformed, parsed);
            Assert.NotNull(reason);
        }
    }

    [Theory]
    [InlineData(nameof(KernelOperation.RemoveMapping), 0, 8, 11, 139)]
    [InlineData(nameof(KernelOperation.MapInfo), 0, 131, 132, 263, 271)]
    [InlineData(nameof(KernelOperation.MapInfoNumber), 0, 8, 11, 15)]
    [InlineData(nameof(KernelOperation.Hello), 0, 3, 5)]
    [InlineData(nameof(KernelOperation.Done), 0, 3)]
    [InlineData(nameof(KernelOperation.Error), 0, 3)]
    public void A_message_that_is_too_short_and_not_awaited_is_dropped_with_a_reason(
        string operation, params int[] lengths)
    {
        foreach (int length in lengths)
        {
            (KernelRequest? parsed, string? reason) = Parse(Cut(KernelBytes.Of(Sample(operation)), length));

            Assert.Null(parsed);
            Assert.NotNull(reason);
        }
    }

    [Theory]
    [InlineData(0x0801, 2, "attribute is too short")] // ADD_MAPPING with 127 bytes of address
    [InlineData(0x0802, 3, "attribute is too short")]
    public void An_address_is_a_whole_sockaddr_storage(int type, int attribute, string reason)
    {
        byte[] payload =
            [.. Sequence, .. attribute == 3 ? LocalAttribute : [], .. KernelBytes.Attribute(
                attribute, KernelBytes.Storage(Local)[..127])];

        Assert.Equal((Malformed(type), reason), Parse(KernelBytes.Message(type, 1, 8, 0, payload)));
    }

    [Fact]
    public void An_address_of_another_family_is_malformed()
    {
        byte[] message = KernelBytes.Message(
            0x0801, 1, 8, 0, [.. Sequence, .. KernelBytes.Attribute(2, new byte[128])]);

        Assert.Equal((Malformed(0x0801), "address is neither IPv4 nor IPv6"), Parse(message));
    }

    [Theory]
    [InlineData(2, 16)]
    [InlineData(3, 32)]
    [InlineData(4, 32)]
    public void A_name_without_its_NUL_is_malformed(int attribute, int size)
    {
        byte[] Name(int type, int length) => KernelBytes.Attribute(
            type,
            [
                .. Enumerable.Repeat((byte)'x', type == attribute ? length : length - 1),
                .. type == attribute ? [] : new byte[1],
            ]);
        byte[] payload = [.. Sequence, .. Name(2, 16), .. Name(3, 32), .. Name(4, 32)];

        Assert.Equal(
            (Malformed(0x0800), "name is not terminated or too long"),
            Parse(KernelBytes.Message(0x0800, 1, 8, 0, payload)));
        Assert.Equal(
            size,
            Assert.Single(RawNetlink.Read(KernelBytes.Message(0x0800, 1, 8, 0, payload)))[attribute].Value.Length);
    }

    [Fact]
    public void A_registration_may_come_without_an_interface_name()
    {
        byte[] payload =
            [.. Sequence, .. KernelBytes.Attribute(3, [.. "siw0\0"u8]), .. KernelBytes.Attribute(
                4, [.. "iWarpPortMapperUser\0"u8])];

        Assert.Equal(
            (Samples[0] with { Interface = default }, null), Parse(KernelBytes.Message(0x0800, 1, 7, 0, payload)));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void Stray_bytes_behind_the_last_attribute_are_nothing(int count)
    {
        byte[] payload =
            [.. Sequence, .. LocalAttribute, .. KernelBytes.Attribute(3, [1, 0, 0, 0]), .. new byte[count]];

        Assert.Equal((Samples[1], null), Parse(KernelBytes.Message(0x0801, 1, 8, 0, payload)));
    }

    [Fact]
    public void The_echoed_number_may_be_missing() =>
        Assert.Equal((Samples[1], null), Parse(KernelBytes.Message(
            0x0801, 1, 8, 0, [.. LocalAttribute, .. KernelBytes.Attribute(3, [1, 0, 0, 0])])));

    [Fact]
    public void What_stands_behind_a_DONE_is_read()
    {
        var messages = new NetlinkMessages(
            (byte[])[.. Hex.Bytes("10000000 0300 0200 00000000 af000000"), .. KernelBytes.Of(Samples[1])]);
        Assert.True(messages.MoveNext() && messages.MoveNext());
        Assert.True(KernelRequest.TryParse(messages.Header, messages.Payload, out KernelRequest request, out _));
        Assert.Equal(Samples[1], request);
    }

    [Fact]
    public void A_query_may_name_two_families_since_only_an_answer_can_refuse_it()
    {
        KernelRequest mixed = Samples[3] with { Remote = Other6 };

        Assert.Equal((mixed, null), Parse(KernelBytes.Of(mixed)));
    }

    [Fact]
    public void A_replayed_mapping_of_two_families_is_dropped() =>
        Assert.Equal(
            (null, "families of local and mapped address differ"),
            Parse(KernelBytes.Of(Samples[6] with { Mapped = Other6 })));

    [Fact]
    public void The_end_of_a_replayed_batch_says_nothing() =>
        Assert.Equal((null, "end of a batch"), Parse(Hex.Bytes("10000000 0300 0200 00000000 af000000")));

    [Theory]
    [InlineData(0x0800, "", "device or library name is missing")]
    [InlineData(0x0800, "0900 0300 7369773000 000000", "device or library name is missing")]
    [InlineData(0x0800, "0900 0400 7369773000 000000", "device or library name is missing")]
    [InlineData(0x0801, "", "address is missing")]
    [InlineData(0x0802, "LOCAL", "address is missing")]
    [InlineData(0x0806, "", "address is missing")]
    [InlineData(0x0806, "LOCAL", "address is missing")]
    [InlineData(0x0806, "0300 0100", "attribute length out of bounds")]
    [InlineData(0x0807, "", "number is missing")]
    [InlineData(0x0808, "", "number is missing")]
    [InlineData(0x0808, "0300 0100", "attribute length out of bounds")]
    [InlineData(0x0808, "0600 0100 0400 0000 0300 0100", "attribute length out of bounds")]
    [InlineData(0x0002, "", "NLMSG_ERROR without an error")]
    public void What_is_missing_is_told(int type, string attributes, string reason)
    {
        byte[] payload = attributes == "LOCAL" ? LocalAttribute : Hex.Bytes(attributes);

        Assert.Equal(reason, Parse(KernelBytes.Message(type, 1, 8, 0, payload)).Reason);
    }

    [Fact]
    public void A_replayed_mapping_has_both_addresses()
    {
        byte[] local = KernelBytes.Attribute(1, KernelBytes.Storage(Local));

        Assert.Equal((null, "address is missing"), Parse(KernelBytes.Message(0x0806, 1, 8, 0, local)));
        Assert.Equal((null, "address is missing"), Parse(KernelBytes.Message(0x0806, 1, 8, 0, LocalAttribute)));
    }

    [Fact]
    public void More_mappings_are_announced_than_two_bytes_can_say()
    {
        KernelRequest many = Samples[8] with { Number = 70_000 };

        Assert.Equal((many, null), Parse(KernelBytes.Of(many)));
    }

    [Fact]
    public void A_registration_has_names_and_no_addresses()
    {
        string longest = new('x', 31);
        KernelRequest request = Samples[0] with
        {
            Interface = new(longest[..15]), Device = new(longest), Library = new(longest),
        };

        KernelRequest parsed = Parse(KernelBytes.Of(request)).Request!.Value;
        Assert.Equal(
            (longest[..15], longest, longest),
            (parsed.Interface.ToString(), parsed.Device.ToString(), parsed.Library.ToString()));
        Assert.Equal((default, default, default), (parsed.Local, parsed.Remote, parsed.Mapped));
    }

    [Theory]
    [InlineData("14000000 0300 0200 07000000 af000000  00000000", true, 0)]
    [InlineData("14000000 0200 0000 07000000 af000000  eaffffff", true, -22)]
    [InlineData("24000000 0200 0000 07000000 af000000  97ffffff 10000000 0108 0100 07000000 af000000", true, -105)]
    [InlineData("10000000 0300 0200 07000000 af000000", false, 0)] // the end of a batch
    [InlineData("13000000 0200 0000 07000000 af000000  eaffff", false, 0)]
    [InlineData("14000000 0108 0100 07000000 af000000  eaffffff", false, 0)]
    public void An_ACK_has_the_number_of_our_message_and_a_result(string bytes, bool isAck, int expected)
    {
        byte[] message = Hex.Bytes(bytes);
        bool read = KernelRequest.TryReadAck(
            NetlinkHeader.Read(message), message.AsSpan(NetlinkHeader.Size), out uint sequence, out int result);

        Assert.Equal((isAck, 7u, expected), (read, sequence, result));
    }

    // The numbers behind HELLO are those of Done, Error and Malformed here; 256 and more are operations cut to a byte.
    [Theory]
    [InlineData(0x0010)] // the first type that is no control message
    [InlineData(0x0804)]
    [InlineData(0x0805)]
    [InlineData(0x0809)]
    [InlineData(0x080a)]
    [InlineData(0x080b)]
    [InlineData(0x0900)]
    [InlineData(0x0901)]
    [InlineData(0x0bff)]
    public void An_operation_that_the_kernel_does_not_send_is_dropped(int type) =>
        Assert.Equal(
            (null, "unknown operation"), Parse(KernelBytes.Message(type, 1, 8, 0, [.. Sequence, .. LocalAttribute])));

    [Theory]
    [InlineData(0)]
    [InlineData(1)] // NLMSG_NOOP, not ADD_MAPPING of a client 0
    [InlineData(4)] // NLMSG_OVERRUN
    [InlineData(15)]
    public void A_control_message_other_than_done_and_error_is_dropped(int type) =>
        Assert.Equal(
            (null, "control message"), Parse(KernelBytes.Message(type, 0, 8, 0, [.. Sequence, .. LocalAttribute])));

    [Fact]
    public void A_bad_message_does_not_drop_its_neighbours()
    {
        byte[] datagram =
        [
            .. KernelBytes.Of(Samples[1]), .. KernelBytes.Message(0x0806, 2, 0, 0, Hex.Bytes("ffff 0100 00000000")),
            .. KernelBytes.Of(Samples[6]),
            .. KernelBytes.Message(0x0801, 1, 77, 0, []), .. KernelBytes.Message(0x0fff, 1, 0, 0, []),
            .. KernelBytes.Of(Samples[10]),
        ];
        var parsed = new List<KernelRequest>();
        var messages = new NetlinkMessages(datagram);
        while (messages.MoveNext())
        {
            if (KernelRequest.TryParse(messages.Header, messages.Payload, out KernelRequest request, out _))
            {
                parsed.Add(request);
            }
        }

        Assert.False(messages.IsDamaged);
        Assert.Equal([Samples[1], Samples[6], Malformed(0x0801) with { Sequence = 77 }, Samples[10]], parsed);
    }

    private static KernelRequest Sample(string operation) =>
        Samples.First(sample => sample.Operation.ToString() == operation);

    private static KernelRequest Malformed(int type) =>
        new() { Operation = KernelOperation.Malformed, Client = 2, Sequence = 8, Result = type % 1024 };

    /// <summary>The message with only the first bytes of its payload, in a length that says so.</summary>
    private static byte[] Cut(byte[] message, int payload) =>
        [.. BitConverter.GetBytes(16 + payload), .. message[4..(16 + payload)]];

    private static (KernelRequest? Request, string? Reason) Parse(byte[] message)
    {
        NetlinkHeader header = NetlinkHeader.Read(message);
        Assert.Equal(message.Length, header.Length);
        return KernelRequest.TryParse(
            header, message.AsSpan(NetlinkHeader.Size), out KernelRequest request, out string? reason)
            ? (request, reason)
            : (null, reason);
    }
}

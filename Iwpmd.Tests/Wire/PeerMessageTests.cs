// SPDX-License-Identifier: MIT
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Wire;

public class PeerMessageTests
{
    private const string Zeros12 = "000000000000000000000000", Handle = "0123456789abcdef";

    // version, type and ip version; PmTime; mapped port; ApPort; CpPort; handle; CpIPAddr; ApIPAddr; mapped address
    private const string Request4 =
        $"04 00 a02b 1c06 1388 {Handle} 0a000001{Zeros12} 0a000002{Zeros12} 0a000001{Zeros12}";
    private const string Request6 =
        $"06 00 a02b 1c06 1388 {Handle} fd000000000000000000000000000001 fd000000000000000000000000000002 "
        + "fd000000000000000000000000000001";
    private const string Accept4 = $"14 00 0000 bcb3 1388 {Handle} 0a000001{Zeros12} 0a000002{Zeros12}";
    private const string Accept6 =
        $"16 00 0000 bcb3 1388 {Handle} fd000000000000000000000000000001 fd000000000000000000000000000002";

    private static readonly PeerMessage Question4 = new(
        PeerMessageType.Request, 0x0123456789abcdef, At("10.0.0.1:5000"), At("10.0.0.2:7174"), At("10.0.0.1:41003"));
    private static readonly PeerMessage Question6 = new(
        PeerMessageType.Request, 0x0123456789abcdef, At("[fd00::1]:5000"), At("[fd00::2]:7174"), At("[fd00::1]:41003"));

    public static TheoryData<string, string> Forms => new()
    {
        { Request4, Question4.ToString() },
        { Request6, Question6.ToString() },
        { Short(Request4), (Question4 with { MappedConnecting = default }).ToString() },
        { Short(Request6), (Question6 with { MappedConnecting = default }).ToString() },
        { Accept4, Question4.AsAccept(48307).ToString() },
        { Accept6, Question6.AsAccept(48307).ToString() },
        { "24" + Accept4[2..], Question4.AsAccept(48307).AsAck().ToString() },
        { "26" + Accept6[2..], Question6.AsAccept(48307).AsAck().ToString() },
        { "34" + Short(Request4)[2..], Question4.AsReject().ToString() },
        { "36" + Short(Request6)[2..], Question6.AsReject().ToString() },
    };

    [Theory]
    [MemberData(nameof(Forms))]
    public void Every_form_is_read_and_written_back_byte_for_byte(string bytes, string value)
    {
        Assert.True(PeerMessage.TryParse(Hex.Bytes(bytes), out PeerMessage message, out string? reason), reason);

        Assert.Equal(value, message.ToString());
        Assert.Equal(Hex.Text(Hex.Bytes(bytes)), Hex.Text(Write(message)));
    }

    [Fact]
    public void A_request_has_64_bytes_when_it_says_the_mapped_address_and_all_else_has_48()
    {
        Assert.Equal(64, Write(Question4).Length);
        Assert.Equal(48, Write(Question4 with { MappedConnecting = default }).Length);
        Assert.All([Question4.AsAccept(1), Question4.AsAck(), Question4.AsReject()], message => Assert.Equal(
            48, Write(message).Length));
    }

    [Fact]
    public void A_short_request_says_no_mapped_address_whatever_its_reserved_bytes_are()
    {
        Assert.True(PeerMessage.TryParse(Hex.Bytes("0400ffff" + Short(Request4)[8..]), out PeerMessage message, out _));
        Assert.False(message.IsLong);
        Assert.Equal(Question4 with { MappedConnecting = default }, message);
    }

    [Fact]
    public void What_stands_behind_a_v4_address_and_in_PmTime_and_in_the_reserved_bytes_is_not_looked_at()
    {
        byte[] bytes = Hex.Bytes(Accept4);
        bytes[1] = 0xff;
        bytes.AsSpan(2, 2).Fill(0xff);
        bytes.AsSpan(20, 12).Fill(0xff);
        bytes.AsSpan(36, 12).Fill(0xff);

        Assert.True(PeerMessage.TryParse(bytes, out PeerMessage message, out _));
        Assert.Equal(Question4.AsAccept(48307), message);
    }

    [Fact]
    public void Answers_echo_all_but_the_type_and_an_accept_the_accepting_port()
    {
        PeerMessage accept = Question4.AsAccept(48307);

        Assert.Equal(
            new PeerMessage(
                PeerMessageType.Accept, Question4.Handle, Question4.Connecting, At("10.0.0.2:48307"), default),
            accept);
        Assert.Equal(accept with { Type = PeerMessageType.Ack }, accept.AsAck());
        Assert.Equal(
            new PeerMessage(
                PeerMessageType.Reject, Question4.Handle, Question4.Connecting, Question4.Accepting, default),
            Question4.AsReject());
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(47)]
    [InlineData(49)]
    [InlineData(63)]
    [InlineData(65)]
    [InlineData(1500)]
    public void Another_length_is_dropped(int length)
    {
        byte[] bytes = new byte[length];
        Hex.Bytes(Request4).AsSpan(0, Math.Min(64, length)).CopyTo(bytes);

        Assert.Equal("length is neither 48 nor 64", ReasonToDrop(bytes));
    }

    [Theory]
    [InlineData("14")]
    [InlineData("24")]
    [InlineData("34")]
    public void Only_a_request_has_64_bytes(string first) =>
        Assert.Equal("length is not that of its type", ReasonToDrop(Hex.Bytes(first + Request4[2..])));

    [Theory]
    [InlineData("44", "unknown version")]
    [InlineData("84", "unknown version")]
    [InlineData("c4", "unknown version")]
    [InlineData("00", "ip version is neither 4 nor 6")]
    [InlineData("05", "ip version is neither 4 nor 6")]
    [InlineData("0c", "ip version is neither 4 nor 6")]
    [InlineData("0e", "ip version is neither 4 nor 6")]
    public void Another_version_is_dropped(string first, string reason) =>
        Assert.Equal(reason, ReasonToDrop(Hex.Bytes(first + Request4[2..])));

    /// <summary>An ICMP error may quote only the beginning of a Request.</summary>
    [Theory]
    [InlineData(64, true)]
    [InlineData(16, true)]
    [InlineData(15, false)]
    [InlineData(0, false)]
    public void The_handle_is_read_from_the_first_sixteen_bytes(int length, bool isThere)
    {
        Assert.Equal(isThere, PeerMessage.TryReadHandle(Hex.Bytes(Request4).AsSpan(0, length), out ulong handle));
        Assert.Equal(isThere ? 0x0123456789abcdeful : 0, handle);
    }

    private static string? ReasonToDrop(byte[] bytes)
    {
        Assert.False(PeerMessage.TryParse(bytes, out PeerMessage message, out string? reason));
        Assert.Equal(default, message);
        return reason;
    }

    private static byte[] Write(in PeerMessage message)
    {
        byte[] buffer = Hex.Dirty(PeerMessage.RequestSize);
        int length = message.Write(buffer);
        Assert.Equal(-1, buffer.AsSpan(length).IndexOfAnyExcept((byte)0xa5));
        return buffer[..length];
    }

    /// <summary>A Request as the draft has it: nothing reserved used, nothing behind byte 48.</summary>
    private static string Short(string request)
    {
        byte[] bytes = Hex.Bytes(request)[..48];
        bytes.AsSpan(2, 2).Clear();
        return Hex.Text(bytes);
    }

    private static InetEndpoint At(string text) => InetEndpoint.Parse(text);
}

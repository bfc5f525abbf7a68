// SPDX-License-Identifier: MIT
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Wire;

public class NetlinkMessageTests
{
    private const string Empty = "10000000 0308 0100 07000000 af000000";

    [Fact]
    public void A_header_is_written_as_it_is_read()
    {
        byte[] bytes = Hex.Dirty(NetlinkHeader.Size);
        new NetlinkHeader(16, NetlinkHeader.TypeOf(2, 3), 1, 7, 0xaf).Write(bytes);

        Assert.Equal(Hex.Bytes(Empty), bytes);
        Assert.Equal(new NetlinkHeader(16, 0x0803, 1, 7, 0xaf), NetlinkHeader.Read(bytes));
    }

    [Theory]
    [InlineData(0x0800, 2, 0)]
    [InlineData(0x0808, 2, 8)]
    [InlineData(0x0c01, 3, 1)]
    [InlineData(0xffff, 63, 1023)]
    public void A_type_is_a_client_of_6_bits_and_an_operation_of_10(int type, int client, int operation)
    {
        var header = new NetlinkHeader(16, (ushort)type, 0, 0, 0);

        Assert.Equal((client, operation), (header.Client, header.Operation));
        Assert.Equal(type, NetlinkHeader.TypeOf(client, operation));
    }

    [Fact]
    public void A_datagram_is_walked_message_by_message_each_with_its_own_payload()
    {
        (string walked, bool damaged) = Walk(Hex.Bytes(
            $"14000000 0308 0100 01000000 00000000 11111111 {Empty} "
                + "18000000 0308 0100 03000000 00000000 2222222233333333"));

        Assert.Equal("1:11111111 7: 3:2222222233333333", walked);
        Assert.False(damaged);
    }

    [Fact]
    public void A_message_of_unaligned_length_is_followed_by_the_next_multiple_of_4()
    {
        (string walked, bool damaged) = Walk(Hex.Bytes($"11000000 0308 0100 01000000 00000000 11 000000 {Empty}"));

        Assert.Equal("1:11 7:", walked);
        Assert.False(damaged);
    }

    [Fact]
    public void The_last_message_needs_no_padding()
    {
        (string walked, bool damaged) = Walk(Hex.Bytes("11000000 0308 0100 01000000 00000000 11"));

        Assert.Equal("1:11", walked);
        Assert.False(damaged);
    }

    [Theory]
    [InlineData("00000000")]
    [InlineData("0f000000")]
    [InlineData("11000000")] // one byte more than there is
    [InlineData("ffffff7f")]
    [InlineData("00000080")]
    [InlineData("ffffffff")]
    public void A_length_that_cannot_be_right_ends_the_walk_behind_its_neighbours(string length)
    {
        (string walked, bool damaged) = Walk(Hex.Bytes($"{Empty} {length} 0308 0100 01000000 00000000"));

        Assert.Equal("7:", walked);
        Assert.True(damaged);
    }

    [Theory]
    [InlineData("", false)]
    [InlineData("10", true)]
    [InlineData("10000000 0308 0100 07000000 af0000", true)]
    public void Less_than_a_header_is_no_message(string bytes, bool isDamaged) =>
        Assert.Equal(("", isDamaged), Walk(Hex.Bytes(bytes)));

    private static (string Walked, bool Damaged) Walk(byte[] datagram)
    {
        var walked = new List<string>();
        var messages = new NetlinkMessages(datagram);
        while (messages.MoveNext())
        {
            walked.Add($"{messages.Header.Sequence}:{Hex.Text(messages.Payload)}");
        }
        return (string.Join(' ', walked), messages.IsDamaged);
    }
}

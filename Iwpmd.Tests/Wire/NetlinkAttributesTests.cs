// SPDX-License-Identifier: MIT
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Wire;

public class NetlinkAttributesTests
{
    [Fact]
    public void Attributes_are_read_in_order_past_their_padding()
    {
        var reader = new AttributeReader(Hex.Bytes("0600 0100 0400 0000  0800 0200 78563412  0500 0300 00 000000"));

        Assert.True(reader.MoveNext());
        Assert.Equal((1, 4), (reader.Type, reader.UInt16()));
        Assert.True(reader.MoveNext());
        Assert.Equal((2, 0x12345678u), (reader.Type, reader.UInt32()));
        Assert.True(reader.MoveNext());
        Assert.Equal((3, ""), (reader.Type, reader.Name(32).ToString()));
        Assert.False(reader.MoveNext());
        Assert.Null(reader.Error);
    }

    [Fact]
    public void The_last_attribute_needs_no_padding()
    {
        var reader = new AttributeReader(Hex.Bytes("0600 0100 0400"));

        Assert.True(reader.MoveNext());
        Assert.Equal(4, reader.UInt16());
        Assert.False(reader.MoveNext());
        Assert.Null(reader.Error);
    }

    [Fact]
    public void The_last_attribute_may_be_empty()
    {
        var reader = new AttributeReader(Hex.Bytes("0400 0700"));

        Assert.True(reader.MoveNext());
        Assert.Equal((7, 0), (reader.Type, reader.Value.Length));
        Assert.False(reader.MoveNext());
        Assert.Null(reader.Error);
    }

    [Fact]
    public void The_two_high_bits_of_a_type_are_no_part_of_it()
    {
        var reader = new AttributeReader(Hex.Bytes("0800 01c0 00000000"));

        Assert.True(reader.MoveNext());
        Assert.Equal(1, reader.Type);
    }

    [Theory]
    [InlineData("0000 0100 00000000")]
    [InlineData("0300 0100 00000000")]
    [InlineData("0900 0100 00000000")]
    [InlineData("ffff 0100 00000000")]
    public void A_length_out_of_bounds_is_an_error_that_ends_the_reading(string bytes)
    {
        var reader = new AttributeReader(Hex.Bytes(bytes));

        Assert.False(reader.MoveNext());
        Assert.Equal("attribute length out of bounds", reader.Error);
        Assert.False(reader.MoveNext());
    }

    [Theory]
    [InlineData("08")]
    [InlineData("0800 01")]
    public void Fewer_bytes_than_a_header_end_the_reading_without_an_error(string bytes)
    {
        var reader = new AttributeReader(Hex.Bytes(bytes));

        Assert.False(reader.MoveNext());
        Assert.Null(reader.Error);
    }

    [Fact]
    public void A_larger_number_is_read_from_its_first_bytes()
    {
        var reader = new AttributeReader(Hex.Bytes("0c00 0100 78563412 ffffffff"));

        Assert.True(reader.MoveNext());
        Assert.Equal(0x12345678u, reader.UInt32());
        Assert.Equal(0x5678, reader.UInt16());
        Assert.Null(reader.Error);
    }

    [Theory]
    [InlineData("0400 0100", "UInt8")]
    [InlineData("0500 0100 01 000000", "UInt16")]
    [InlineData("0700 0100 010203 00", "UInt32")]
    [InlineData("0b00 0100 01020304050607 00", "UInt64")]
    [InlineData("0400 0100", "UInt16")]
    [InlineData("0400 0100", "Name")]
    [InlineData("0800 0100 73697730", "Name")] // no NUL
    [InlineData("0c00 0100 7369773078787800", "Name")] // 7 letters, where 7 bytes are for letters and NUL
    // a sockaddr_in, where the kernel has a sockaddr_storage
    [InlineData("1400 0100 02001388 0a000001 0000000000000000", "Endpoint")]
    public void A_value_of_a_wrong_size_is_remembered_as_the_error(string bytes, string form)
    {
        var reader = new AttributeReader(Hex.Bytes(bytes + " 0800 0200 00000000"));
        Assert.True(reader.MoveNext());

        object value = form switch
        {
            "UInt8" => reader.UInt8(),
            "UInt16" => reader.UInt16(),
            "UInt32" => reader.UInt32(),
            "UInt64" => reader.UInt64(),
            "Name" => reader.Name(7),
            _ => reader.Endpoint(),
        };

        Assert.Equal(Activator.CreateInstance(value.GetType()), value);
        Assert.NotNull(reader.Error);
        Assert.False(reader.MoveNext());
    }

    [Fact]
    public void Each_number_is_read_from_as_many_bytes_as_it_has()
    {
        var reader = new AttributeReader(Hex.Bytes("0c00 0100 f8f7f6f5f4f3f2f1"));
        Assert.True(reader.MoveNext());

        Assert.Equal(
            (0xf8, 0xf7f8, 0xf5f6f7f8, 0xf1f2f3f4f5f6f7f8),
            (reader.UInt8(), reader.UInt16(), reader.UInt32(), reader.UInt64()));
        Assert.Null(reader.Error);
    }

    [Fact]
    public void The_first_error_stays()
    {
        var reader = new AttributeReader(Hex.Bytes("0500 0100 01 000000"));
        reader.MoveNext();
        reader.UInt16();
        string? first = reader.Error;

        reader.Name(7);

        Assert.Equal("attribute is too short", first);
        Assert.Equal(first, reader.Error);
    }

    [Fact]
    public void Attributes_are_written_with_zeros_for_padding()
    {
        byte[] bytes = Hex.Dirty(64);
        var writer = new AttributeWriter(bytes);
        writer.UInt16(1, 4);
        writer.UInt32(2, 0x12345678);
        writer.String(3, "siw0"u8);
        writer.String(4, ""u8);
        writer.String(5, "abc"u8);

        Assert.Equal(
            "0600010004000000 0800020078563412 090003007369773000000000 0500040000000000 0800050061626300"
                .Replace(" ", ""),
            Hex.Text(bytes.AsSpan(0, writer.Length)));
    }

    [Fact]
    public void An_endpoint_is_written_as_a_whole_sockaddr_storage()
    {
        byte[] bytes = Hex.Dirty(200);
        var writer = new AttributeWriter(bytes);
        writer.Endpoint(2, InetEndpoint.Parse("10.0.0.1:5000"));

        Assert.Equal(
            Hex.Text(KernelBytes.Attribute(2, KernelBytes.Storage(InetEndpoint.Parse("10.0.0.1:5000")))),
            Hex.Text(bytes.AsSpan(0, writer.Length)));
    }
}

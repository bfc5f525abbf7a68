// SPDX-License-Identifier: MIT
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Wire;

public class InetEndpointTests
{
    [Theory]
    [InlineData("10.0.0.1:5000")]
    [InlineData("255.255.255.255:65535")]
    [InlineData("0.0.0.0:0")]
    [InlineData("[::]:80")]
    [InlineData("[fd00::1]:5000")]
    [InlineData("[fe80::1%2]:5000")]
    [InlineData("[::ffff:10.0.0.1]:5000")]
    public void The_text_form_reads_back_as_itself(string text) =>
        Assert.Equal(text, InetEndpoint.Parse(text).ToString());

    [Theory]
    [InlineData("10.0.0.1:5000", "10.0.0.1")]
    [InlineData("[fd00::1]:5000", "fd00::1")]
    [InlineData("[fe80::1%2]:5000", "fe80::1%2")]
    public void The_address_text_has_no_port_and_no_brackets(string text, string address) =>
        Assert.Equal(address, InetEndpoint.Parse(text).AddressText());

    [Fact]
    public void An_endpoint_that_is_none_prints_so() => Assert.Equal("none:0", default(InetEndpoint).ToString());

    [Fact]
    public void The_scope_of_an_address_that_is_not_link_local_is_not_printed() =>
        Assert.Equal("[fd00::1]:1", InetEndpoint.Parse("[fd00::1]:1").WithScope(3).ToString());

    [Theory]
    [InlineData("0.0.0.0:1", true)]
    [InlineData("[::]:1", true)]
    [InlineData("0.0.0.1:1", false)]
    [InlineData("128.0.0.0:1", false)]
    [InlineData("[::1]:1", false)]
    [InlineData("[8000::]:1", false)]
    public void A_wildcard_is_an_address_of_zeros(string text, bool wildcard) =>
        Assert.Equal(wildcard, InetEndpoint.Parse(text).IsWildcard);

    [Theory]
    [InlineData("[fe80::1]:1", true)]
    [InlineData("[febf:ffff::1]:1", true)]
    [InlineData("[fec0::1]:1", false)]
    [InlineData("[fe7f::1]:1", false)]
    [InlineData("[fd00::1]:1", false)]
    [InlineData("169.254.0.1:1", false)]
    public void Link_local_is_fe80_with_a_prefix_of_10_bits(string text, bool linkLocal) =>
        Assert.Equal(linkLocal, InetEndpoint.Parse(text).IsLinkLocal);

    [Theory]
    [InlineData("10.0.0.1:1", "10.0.0.1:2")]
    [InlineData("10.0.0.1:1", "10.0.0.2:1")]
    [InlineData("[fd00::1]:1", "[fd00::2]:1")]
    [InlineData("[fd00::1]:1", "[fd01::1]:1")]
    [InlineData("0.0.0.0:1", "[::]:1")]
    [InlineData("10.0.0.1:1", "[::10.0.0.1]:1")]
    [InlineData("[fe80::1%2]:1", "[fe80::1%3]:1")]
    public void Endpoints_differ_in_family_address_port_or_link_local_scope(string one, string other)
    {
        Assert.NotEqual(InetEndpoint.Parse(one), InetEndpoint.Parse(other));
        Assert.False(InetEndpoint.Parse(one) == InetEndpoint.Parse(other));
    }

    [Fact]
    public void The_scope_of_an_address_that_is_not_link_local_is_carried_but_not_compared()
    {
        InetEndpoint plain = InetEndpoint.Parse("[fd00::1]:1"), scoped = plain.WithScope(7);

        Assert.Equal(plain, scoped);
        Assert.Equal(plain.GetHashCode(), scoped.GetHashCode());
        Assert.Equal(7u, scoped.Scope);
    }

    [Fact]
    public void The_same_address_may_have_another_port_but_not_another_link_local_scope()
    {
        InetEndpoint local = InetEndpoint.Parse("[fe80::1%2]:1");

        Assert.True(local.SameAddress(local.WithPort(2)));
        Assert.False(local.SameAddress(local.WithScope(3)));
    }

    [Theory]
    [InlineData("10.0.0.1:5000", "0a000001")]
    [InlineData("[fd00:1:2:3:4:5:6:7]:5000", "fd00 0001 0002 0003 0004 0005 0006 0007")]
    public void Address_bytes_stand_in_network_order_with_zeros_behind(string text, string bytes)
    {
        byte[] address = Hex.Bytes(bytes), field = Hex.Dirty(16);
        InetEndpoint endpoint = InetEndpoint.Parse(text);

        endpoint.WriteAddress(field);

        Assert.Equal([.. address, .. new byte[16 - address.Length]], field);
        Assert.Equal(endpoint, InetEndpoint.FromAddressBytes(address, 5000));
    }

    [Fact]
    public void A_field_of_four_bytes_takes_a_v4_address()
    {
        byte[] field = Hex.Dirty(4);
        InetEndpoint.Parse("10.0.0.1:5000").WriteAddress(field);

        Assert.Equal(Hex.Bytes("0a000001"), field);
    }

    [Theory]
    [InlineData("[::ffff:10.0.0.1]:1", true)]
    [InlineData("[::10.0.0.1]:1", false)]
    [InlineData("[::fffe:10.0.0.1]:1", false)]
    [InlineData("[fd00::ffff:10.0.0.1]:1", false)]
    [InlineData("10.0.0.1:1", false)]
    public void An_IPv4_address_in_IPv6_form_begins_with_ffff_behind_zeros(string text, bool isMapped) =>
        Assert.Equal(isMapped, InetEndpoint.Parse(text).IsMapped);

    [Fact]
    public void Without_the_scopes_only_the_address_is_compared()
    {
        InetEndpoint local = InetEndpoint.Parse("[fe80::1%2]:1");

        Assert.True(local.SameIp(InetEndpoint.Parse("[fe80::1%3]:2")));
        Assert.False(local.SameIp(InetEndpoint.Parse("[fe80::2%2]:1")));
    }

    [Theory]
    [InlineData("10.0.0.1", "10.0.0.1:0")]
    [InlineData("0.0.0.0", "0.0.0.0:0")]
    [InlineData("fd00::1", "[fd00::1]:0")]
    [InlineData("fd00:0:0::1", "[fd00::1]:0")]
    [InlineData("fe80::1%2", "[fe80::1%2]:0")]
    public void An_address_is_read_as_people_write_it(string text, string endpoint)
    {
        Assert.True(InetEndpoint.TryParseAddress(text, out InetEndpoint address));
        Assert.Equal(endpoint, address.ToString());
    }

    /// <summary>The library takes some of them, for another address.</summary>
    [Theory]
    [InlineData("")]
    [InlineData("10")]
    [InlineData("10.1")]
    [InlineData("010.0.0.1")]
    [InlineData("0x0a000001")]
    [InlineData("10.0.0.1 ")]
    [InlineData("[fd00::1]")]
    [InlineData("[fd00::1]:1")]
    [InlineData("host")]
    public void No_other_form_is_an_address(string text) =>
        Assert.False(InetEndpoint.TryParseAddress(text, out _));
}

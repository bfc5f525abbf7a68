// SPDX-License-Identifier: MIT
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Wire;

/// <summary>Networks as allow and deny have them: a mistake in one lets in whom nobody meant.</summary>
public class InetNetworkTests
{
    [Theory]
    [InlineData("10.0.0.0/8")]
    [InlineData("0.0.0.0/0")]
    [InlineData("10.0.0.1/32")]
    [InlineData("128.0.0.0/1")]
    [InlineData("10.0.0.2/31")]
    [InlineData("::/0")]
    [InlineData("8000::/1")]
    [InlineData("fd00::/64")]
    [InlineData("fd00::/63")]
    [InlineData("fd00:0:0:0:8000::/65")]
    [InlineData("fd00::1/128")]
    public void A_network_reads_back_as_it_was_written(string text) =>
        Assert.Equal(text.Replace("fd00:0:0:0:8000::", "fd00::8000:0:0:0"), Parse(text).ToString());

    [Theory]
    [InlineData("10.0.0.1", "10.0.0.1/32")]
    [InlineData("fd00::1", "fd00::1/128")]
    public void An_address_is_the_network_of_itself_alone(string address, string network) =>
        Assert.Equal(Parse(network), Parse(address));

    [Theory]
    [InlineData("")]
    [InlineData("/8")]
    [InlineData("10.0.0.0/")]
    [InlineData("10.0.0.0/8/8")]
    [InlineData("10.0.0.0/33")]
    [InlineData("10.0.0.0/08")]
    [InlineData("10.0.0.0/00")]
    [InlineData("10.0.0.0/ 8")]
    [InlineData("10.0.0.0/-1")]
    [InlineData("10.0.0.1/31")]
    [InlineData("10.0.0.1/0")]
    [InlineData("fd00::/129")]
    [InlineData("fd00::1/127")]
    [InlineData("fd00:0:0:1::/63")]
    [InlineData("fe80::1%2")]
    [InlineData("fe80::%2/10")]
    [InlineData("::ffff:10.0.0.0/104")]
    [InlineData("localhost")]
    public void Anything_else_is_no_network(string text) => Assert.False(InetNetwork.TryParse(text, out _));

    [Theory]
    [InlineData("10.0.0.0/8", "10.255.255.255", true)]
    [InlineData("10.0.0.0/8", "11.0.0.0", false)]
    [InlineData("10.0.0.0/8", "9.255.255.255", false)]
    [InlineData("0.0.0.0/0", "255.255.255.255", true)]
    [InlineData("0.0.0.0/0", "::1", false)]
    [InlineData("::/0", "fd00::1", true)]
    [InlineData("::/0", "10.0.0.1", false)]
    [InlineData("fd00::/64", "fd00::ffff:ffff:ffff:ffff", true)]
    [InlineData("fd00::/64", "fd00:0:0:1::", false)]
    [InlineData("fd00::/65", "fd00::7fff:ffff:ffff:ffff", true)]
    [InlineData("fd00::/65", "fd00::8000:0:0:0", false)]
    [InlineData("fd00::/63", "fd00:0:0:1::1", true)]
    public void An_address_is_in_a_network_of_its_family_by_the_first_bits(string network, string address, bool isIn)
    {
        Assert.True(InetEndpoint.TryParseAddress(address, out InetEndpoint endpoint));
        Assert.Equal(isIn, Parse(network).Contains(endpoint));
    }

    [Theory]
    [InlineData("10.0.0.0/8", "10.0.0.0/8", true)]
    [InlineData("10.0.0.0/8", "10.1.0.0/16", true)]
    [InlineData("10.0.0.0/8", "11.0.0.0/16", false)]
    [InlineData("10.1.0.0/16", "10.0.0.0/8", false)]
    [InlineData("10.0.0.0/16", "10.0.0.0/8", false)]
    [InlineData("0.0.0.0/0", "::/0", false)]
    [InlineData("::/0", "0.0.0.0/0", false)]
    [InlineData("fd00::/32", "fd00::/64", true)]
    [InlineData("fd00::/64", "fd00::/32", false)]
    [InlineData("fd00::/64", "fd00::1/128", true)]
    [InlineData("fd00::/64", "fd01::1/128", false)]
    [InlineData("fd00::/96", "fd00::1:0:0/128", false)]
    [InlineData("fd00::/96", "fd00::/64", false)]
    public void A_network_has_all_of_a_longer_one_that_begins_like_it(string network, string other, bool isIn) =>
        Assert.Equal(isIn, Parse(network).Contains(Parse(other)));

    private static InetNetwork Parse(string text)
    {
        Assert.True(InetNetwork.TryParse(text, out InetNetwork network));
        return network;
    }
}

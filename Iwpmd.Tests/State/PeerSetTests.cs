// SPDX-License-Identifier: MIT
using Iwpmd.State;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.State;

/// <summary>Where the row of a peer is.</summary>
public class PeerSetTests
{
    private readonly StateLayout _state = StateLayout.InMemory(new StateCapacity(16, 64, Peers: 1024), World.Identity);

    /// <summary>
    /// A daemon of another version continues with the same rows: with another hash it would not find its peers.
    /// </summary>
    [Theory]
    [InlineData("10.0.0.1", 880)]
    [InlineData("10.0.0.2", 264)]
    [InlineData("192.168.17.4", 376)]
    [InlineData("fd00::1", 400)]
    [InlineData("fd00:1:2:3::1", 784)]
    [InlineData("fe80::5054:ff:fe12:3456", 864)]
    public void A_peer_is_in_the_set_where_earlier_versions_put_it(string address, int first) =>
        Assert.Equal(first, PeerSet.First(_state, At(address)));

    [Fact]
    public void The_peer_that_was_seen_longest_ago_is_replaced_and_none_of_the_next_set()
    {
        InetEndpoint peer = At("10.0.0.1");
        int first = PeerSet.First(_state, peer);
        Assert.Equal(first, PeerSet.Oldest(_state, peer)); // a set is filled from its beginning
        for (int slot = 0; slot < _state.Peers.Length; slot++)
        {
            bool isOfSet = slot >= first && slot < first + PeerSet.Ways;
            _state.Peers[slot].LastSeenAt = new TimeSpan(isOfSet ? 1000 - slot : 1);
        }

        Assert.Equal(first + PeerSet.Ways - 1, PeerSet.Oldest(_state, peer));
        _state.Peers[first + 3].LastSeenAt = new TimeSpan(2);
        Assert.Equal(first + 3, PeerSet.Oldest(_state, peer));
    }

    private static InetEndpoint At(string address) =>
        InetEndpoint.TryParseAddress(address, out InetEndpoint endpoint) ? endpoint : default;
}

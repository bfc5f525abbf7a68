// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.Daemon;
using Iwpmd.Os;
using Iwpmd.Tests.Os;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace Iwpmd.Tests.Daemon;

[Collection(OsCollection.Name)]
public class TcpPortsTests
{
    private static TcpPorts Make(ushort low, ushort high, params PortRange[] reserved) =>
        new(new PortRange(low, high), RangeOwner.Host, reserved, 0, NullLogger.Instance);

    [Fact]
    public void Ports_are_chosen_in_turn_without_the_reserved_the_excepted_and_the_taken()
    {
        TcpPorts other = Make(21000, 21000);
        Assert.Equal(ClaimResult.Claimed, other.TryClaimAny(IpFamily.V4, 0, out ushort taken));
        TcpPorts ports = Make(21000, 21005, new PortRange(21002, 21003));

        Assert.Equal(ClaimResult.Claimed, ports.TryClaimAny(IpFamily.V4, 21001, out ushort first));
        Assert.Equal(ClaimResult.Claimed, ports.TryClaimAny(IpFamily.V6, 0, out ushort second));
        Assert.Equal(ClaimResult.Claimed, ports.TryClaimAny(IpFamily.V4, 0, out ushort third));
        Assert.Equal((21004, 21005, 21001), (first, second, third));
        Assert.Equal(ClaimResult.NoneFree, ports.TryClaimAny(IpFamily.V4, 0, out _));

        other.Release(taken);
        Assert.Equal(ClaimResult.Claimed, ports.TryClaimAny(IpFamily.V4, 0, out ushort freed));
        Assert.Equal(21000, freed);
        foreach (ushort port in (ushort[])[first, second, third, freed])
        {
            ports.Release(port);
        }
    }

    [Fact]
    public void A_certain_port_is_claimed_once_and_free_again_after_its_release()
    {
        TcpPorts ports = Make(21010, 21019), other = Make(21010, 21019);
        Assert.Equal(ClaimResult.Claimed, ports.TryClaim(IpFamily.V6, 21015));
        Assert.Equal(ClaimResult.Taken, ports.TryClaim(IpFamily.V4, 21015));
        Assert.Equal(ClaimResult.Taken, other.TryClaim(IpFamily.V4, 21015)); // a v6 claim is dual-stack
        ports.Release(21015);
        Assert.Equal(ClaimResult.Claimed, other.TryClaim(IpFamily.V4, 21015));
        other.Release(21015);
    }

    [Theory]
    [InlineData("0.0.0.0")]
    [InlineData("127.0.0.1")]
    [InlineData("::")] // of IPv6 only
    public void A_shared_port_that_a_TCP_program_has_in_either_family_is_taken(string address)
    {
        TcpPorts ports = Make(21030, 21039);
        var program = new System.Net.IPEndPoint(System.Net.IPAddress.Parse(address), 21035);
        using var socket = new System.Net.Sockets.Socket(
            program.AddressFamily, System.Net.Sockets.SocketType.Stream, System.Net.Sockets.ProtocolType.Tcp);
        if (address == "::")
        {
            socket.DualMode = false;
        }
        socket.Bind(program);
        Assert.Equal(ClaimResult.Taken, ports.TryClaimShared(21035));
        socket.Close();
        Assert.Equal(ClaimResult.Claimed, ports.TryClaimShared(21035));
        ports.Release(21035);
    }

    [Fact]
    public void A_shared_port_is_one_socket_for_both_families_until_the_last_gives_it_back()
    {
        TcpPorts ports = Make(21040, 21049), other = Make(21040, 21049);
        Assert.Equal(ClaimResult.Claimed, ports.TryClaimShared(21045));
        Assert.Equal(ClaimResult.Claimed, ports.TryClaimShared(21045));
        Assert.Single(ports.Descriptors());
        Assert.Equal(ClaimResult.Taken, ports.TryClaim(IpFamily.V4, 21045));
        Assert.Equal(ClaimResult.Taken, other.TryClaim(IpFamily.V4, 21045));
        ports.Release(21045);
        Assert.Equal(ClaimResult.Taken, other.TryClaim(IpFamily.V6, 21045));
        ports.Release(21045);
        Assert.Equal(ClaimResult.Claimed, other.TryClaim(IpFamily.V4, 21045));
        Assert.Equal(ClaimResult.Taken, other.TryClaimShared(21045)); // an own mapping has it
        other.Release(21045);
    }

    [Fact]
    public void Ports_that_are_kept_are_given_to_nobody_else()
    {
        var ports = new TcpPorts(new PortRange(21050, 21052), RangeOwner.Host, [], 0, NullLogger.Instance)
        {
            Kept = new PortSet([(21050, 21051)]),
        };
        Assert.Equal(ClaimResult.Claimed, ports.TryClaimAny(IpFamily.V4, 0, out ushort port));
        Assert.Equal(21052, port);
        Assert.Equal(ClaimResult.NoneFree, ports.TryClaimAny(IpFamily.V4, 0, out _));
        ports.Release(port);
    }

    [Fact]
    public void A_claim_that_fails_leaves_no_descriptor_behind()
    {
        TcpPorts owner = Make(21020, 21020), ports = Make(21020, 21020);
        Assert.Equal(ClaimResult.Claimed, owner.TryClaim(IpFamily.V4, 21020));
        int before = Directory.GetFiles("/proc/self/fd").Length;
        for (int i = 0; i < 30; i++)
        {
            Assert.Equal(ClaimResult.Taken, ports.TryClaim(IpFamily.V4, 21020));
            Assert.Equal(ClaimResult.NoneFree, ports.TryClaimAny(IpFamily.V4, 0, out _));
        }
        Assert.InRange(Directory.GetFiles("/proc/self/fd").Length, 0, before + 5);
        owner.Release(21020);
    }

    /// <summary>
    /// That is how a range is kept from ordinary programs: the kernel gives none of it to those that ask for any port.
    /// </summary>
    [Fact]
    public void A_configured_range_may_be_reserved_as_a_whole()
    {
        TcpPorts ports = new(
            new PortRange(21030, 21031), RangeOwner.Configuration, [new PortRange(21000, 22000)], 0,
            NullLogger.Instance);
        Assert.Equal(ClaimResult.Claimed, ports.TryClaimAny(IpFamily.V4, 0, out ushort first));
        Assert.Equal(ClaimResult.Claimed, ports.TryClaimAny(IpFamily.V4, 0, out ushort second));
        Assert.Equal([21030, 21031], new[] { (int)first, second }.Order());
        Assert.Equal(ClaimResult.NoneFree, ports.TryClaimAny(IpFamily.V4, 0, out _));
        ports.Release(first);
        ports.Release(second);
    }

    [Fact]
    public void Of_a_configured_range_what_is_reserved_comes_last()
    {
        TcpPorts ports = new(
            new PortRange(21040, 21043), RangeOwner.Configuration, [new PortRange(21040, 21041)], 0,
            NullLogger.Instance);
        ushort[] claimed = [.. Enumerable.Range(0, 4).Select(
            _ => ports.TryClaimAny(IpFamily.V4, 0, out ushort port) == ClaimResult.Claimed ? port : (ushort)0)];
        Assert.Equal([21042, 21043, 21040, 21041], claimed);
        Array.ForEach(claimed, ports.Release);
    }

    [Fact]
    public void A_new_range_and_new_reserved_ports_hold_from_the_next_claim_on()
    {
        TcpPorts ports = Make(21050, 21051);
        Assert.Equal(ClaimResult.Claimed, ports.TryClaimAny(IpFamily.V4, 0, out ushort before));
        ports.Choose(
            new PortRange(21060, 21062), RangeOwner.Host, [new PortRange(21061, 21061), new PortRange(21060, 21061)]);
        Assert.Equal(2, ports.Reserved);
        Assert.Equal(ClaimResult.Claimed, ports.TryClaimAny(IpFamily.V4, 0, out ushort after));
        Assert.Equal((21050, 21062), (before, after));
        ports.Release(before);
        ports.Release(after);
    }

    [Fact]
    public void What_is_missing_is_named()
    {
        var log = new RecordedLog();
        TcpPorts reserved = new(new PortRange(21070, 21079), RangeOwner.Host, [new PortRange(21070, 21079)], 0, log);
        Assert.Equal(ClaimResult.NoneFree, reserved.TryClaimAny(IpFamily.V4, 0, out _));
        Assert.Equal(
            "host: no TCP port claimed: none of the ports 21070 to 21079 is free, 10 of them are reserved: widen "
                + "net.ipv4.ip_local_port_range, or set port_range",
            Assert.Single(log.Lines));
    }
}

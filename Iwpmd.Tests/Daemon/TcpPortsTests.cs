using Iwpmd.Core;
using Iwpmd.Daemon;
using Iwpmd.Os;
using Iwpmd.Tests.Os;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace Iwpmd.Tests.Daemon;

[Collection(OsCollection.Name)]
public class TcpPortsTests
{
    private static TcpPorts Make(ushort low, ushort high, params PortRange[] reserved) => new(new PortRange(low, high), reserved, 0, NullLogger.Instance);

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
}

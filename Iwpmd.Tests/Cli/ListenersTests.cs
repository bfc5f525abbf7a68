// SPDX-License-Identifier: MIT
using Iwpmd.Cli;
using Iwpmd.Os;
using Iwpmd.Tests.Support;
using Xunit;

namespace Iwpmd.Tests.Cli;

public class ListenersTests
{
    /// <summary>
    /// NETLINK_RDMA: the kernel, the daemon, one that joined the group as rdma-core's daemon does (mask 3), one that
    /// did not. And somebody in group 2 of another protocol.
    /// </summary>
    private const string Table = """
        sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode
        0000000000000000 20  0          00000000 0        0        0     2        0        1001
        0000000000000000 20  4711       00000002 0        0        0     2        0        1002
        0000000000000000 20  2147483649 00000003 0        0        0     2        0        18446744073709551615
        0000000000000000 20  4713       00000000 0        0        0     2        0        1004
        0000000000000000 0   4714       00000002 0        0        0     2        0        1005

        """;

    [Fact]
    public void Only_sockets_of_the_protocol_in_the_group_are_members() =>
        Assert.Equal(
            [4711u, 2147483649u], NetlinkMembers.Parse(Table, protocol: 20, group: 2).Select(member => member.PortId));

    [Fact]
    public void The_doctor_warns_of_a_member_that_is_not_the_daemon()
    {
        Finding foreign = DaemonChecks.CheckListeners(NetlinkMembers.Parse(Table, 20, 2), ours: 4711);
        Assert.Equal(("warning", true), (foreign.ResultText, foreign.Text.StartsWith(
            "netlink port 2147483649 receives", StringComparison.Ordinal)));
        Assert.Equal("ok", DaemonChecks.CheckListeners([new NetlinkMember(4711, "1002")], ours: 4711).ResultText);
        Assert.Equal("ok", DaemonChecks.CheckListeners([], ours: 0).ResultText);
    }

    [Fact]
    public void The_doctor_names_a_listener_that_two_classes_of_devices_share()
    {
        var world = new World();
        world.Add("0.0.0.0:5000");
        world.Add("0.0.0.0:5001");
        Assert.Empty(DaemonChecks.CheckClasses(Stage.Read(world).State!));

        world.Add("0.0.0.0:5000", flags: 1);
        Assert.Equal(
            Finding.Warning(
                "wildcards",
                "0.0.0.0:5000 (mapped to 40000) belongs to a device with mapped ports and to one without: peers reach "
                    + "only the one that listened first",
                "listen on addresses, not on the wildcard"),
            Assert.Single(DaemonChecks.CheckClasses(Stage.Read(world).State!)));
    }
}

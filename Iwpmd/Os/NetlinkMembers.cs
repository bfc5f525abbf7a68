// SPDX-License-Identifier: MIT
using System.Globalization;

namespace Iwpmd.Os;

/// <summary>A netlink socket that hears a multicast group; the inode tells whose it is.</summary>
internal readonly record struct NetlinkMember(uint PortId, string Inode);

/// <summary>Who hears a netlink multicast group, as /proc shows it.</summary>
internal static class NetlinkMembers
{
    // "sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode"
    private const int ProtocolAt = 1, PortIdAt = 2, GroupsAt = 3, InodeAt = 9;

    public static List<NetlinkMember> Read(int protocol, int group) =>
        Parse(HostSettings.ReadFile("/proc/net/netlink") ?? "", protocol, group);

    public static List<NetlinkMember> Parse(string table, int protocol, int group)
    {
        List<NetlinkMember> members = [];
        foreach (string line in table.Split('\n'))
        {
            string[] words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            if (words.Length > InodeAt
                && TryParse(words[ProtocolAt], NumberStyles.None, out uint its) && its == protocol
                && TryParse(words[PortIdAt], NumberStyles.None, out uint portId)
                && TryParse(words[GroupsAt], NumberStyles.AllowHexSpecifier, out uint groups)
                && (groups & (1u << (group - 1))) != 0)
            {
                members.Add(new NetlinkMember(portId, words[InodeAt]));
            }
        }
        return members;
    }

    private static bool TryParse(string text, NumberStyles style, out uint number) =>
        uint.TryParse(text, style, CultureInfo.InvariantCulture, out number);
}

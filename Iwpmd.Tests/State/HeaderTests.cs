// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;
using Iwpmd.State;
using Iwpmd.Tests.Support;
using Xunit;

namespace Iwpmd.Tests.State;

/// <summary>
/// A state file is used only if its rows can be found by its header; that is of another version, or damaged, or of a
/// program that writes what it likes. Here the checksum is always right.
/// </summary>
public class HeaderTests
{
    private delegate void Change(ref StateHeader header);

    private static readonly uint s_used = (uint)Unsafe.SizeOf<StateHeader>();
    private static readonly StateCapacity Capacity = StateCapacity.For(16);

    /// <summary>A change of the header, and whether some version can have made it.</summary>
    private static readonly Dictionary<string, (Change Change, bool IsPlausible)> s_changes = new()
    {
        ["header shorter than ours"] = ((ref header) => header.HeaderSize = s_used - 1, false),
        ["header as long as ours"] = ((ref header) => header.HeaderSize = s_used, true),
        ["longest header"] = ((ref header) => header.HeaderSize = 4096, true),
        ["header too long"] = ((ref header) => header.HeaderSize = 4097, false),
        ["header of 2^31"] = ((ref header) => header.HeaderSize = 0x80000000, false),
        ["shortest health"] = ((ref header) => header.HealthSize = 16, true),
        ["health too short"] = ((ref header) => header.HealthSize = 8, false),
        ["longest health"] = ((ref header) => header.HealthSize = 4096, true),
        ["health too long"] = ((ref header) => header.HealthSize = 4104, false),
        ["health of odd length"] = ((ref header) => header.HealthSize += 4, false),
        ["no counters"] = ((ref header) => header.Counters = 0, true),
        ["counters below zero"] = ((ref header) => header.Counters = -1, false),
        ["most counters"] = ((ref header) => header.Counters = 1024, true),
        ["too many counters"] = ((ref header) => header.Counters = 1025, false),
        ["no clients"] = ((ref header) => header.Clients = 0, true),
        ["clients below zero"] = ((ref header) => header.Clients = -1, false),
        ["too many clients"] = ((ref header) => header.Clients = 65, false),
        ["no mappings"] = ((ref header) => header.Mappings = 0, true),
        ["mappings below zero"] = ((ref header) => header.Mappings = -1, false),
        ["most mappings"] = ((ref header) => header.Mappings = 1 << 20, true),
        ["too many mappings"] = ((ref header) => header.Mappings = (1 << 20) + 1, false),
        ["no conversations"] = ((ref header) => header.Conversations = 0, true),
        ["conversations below zero"] = ((ref header) => header.Conversations = -1, false),
        ["most conversations"] = ((ref header) => header.Conversations = 1 << 20, true),
        ["too many conversations"] = ((ref header) => header.Conversations = (1 << 20) + 1, false),
        ["no peers"] = ((ref header) => header.Peers = 0, true),
        ["peers below zero"] = ((ref header) => header.Peers = -1, false),
        ["most peers"] = ((ref header) => header.Peers = 1 << 20, true),
        ["too many peers"] = ((ref header) => header.Peers = (1 << 20) + 1, false),
        ["client of odd length"] = ((ref header) => header.ClientSize += 4, false),
        ["mapping of odd length"] = ((ref header) => header.MappingSize += 4, false),
        ["conversation of odd length"] = ((ref header) => header.ConversationSize += 4, false),
        ["peer of odd length"] = ((ref header) => header.PeerSize += 4, false),
    };

    public static TheoryData<string> Changes => [.. s_changes.Keys];

    [Theory]
    [MemberData(nameof(Changes))]
    public void What_no_version_can_have_made_is_damaged(string name)
    {
        (Change change, bool isPlausible) = s_changes[name];
        StateLayout state = StateLayout.InMemory(Capacity, World.Identity);
        change(ref state.Header);
        state.Header.Checksum = StateLayout.HeaderChecksum(state.Bytes);

        // A plausible one may be too long for the bytes that are there, which is another fault.
        string? why = StateLayout.WhyUnusable(state.Bytes, World.Identity.BootId, out _);
        Assert.Equal(isPlausible, why != "its header is damaged");
    }

    [Fact]
    public void A_plausible_header_without_its_checksum_is_damaged()
    {
        StateLayout state = StateLayout.InMemory(Capacity, World.Identity);
        state.Header.Checksum++;

        Assert.Equal(
            "its header is damaged", StateLayout.WhyUnusable(state.Bytes, World.Identity.BootId, out _));
    }

    [Fact]
    public void Of_a_state_that_is_cut_off_its_length_is_told_once_its_header_is_there()
    {
        StateLayout state = StateLayout.InMemory(Capacity, World.Identity);
        int header = (int)s_used, whole = (int)StateLayout.SizeOf(Capacity);

        Assert.Equal("it is too short", Why(header - 1));
        Assert.Equal($"it has {header} bytes of {whole}", Why(header));
        Assert.Equal($"it has {whole - 1} bytes of {whole}", Why(whole - 1));
        Assert.Null(Why(whole));

        string? Why(int length) => StateLayout.WhyUnusable(state.Bytes[..length], World.Identity.BootId, out _);
    }

    /// <summary>A small host has a small state, a large one no endless one.</summary>
    [Theory]
    [InlineData(16, 64, 64)]
    [InlineData(512, 64, 64)]
    [InlineData(520, 65, 64)]
    [InlineData(4096, 512, 256)]
    [InlineData(16384, 2048, 1024)]
    [InlineData(65536, 8192, 1024)]
    [InlineData(131072, 8192, 1024)]
    public void The_other_tables_follow_the_number_of_mappings(int mappings, int conversations, int peers) =>
        Assert.Equal(new StateCapacity(mappings, conversations, peers), StateCapacity.For(mappings));

    [Fact]
    public void The_file_begins_with_its_name_and_version()
    {
        StateLayout state = StateLayout.InMemory(Capacity, World.Identity);

        Assert.Equal("1a0a4957504d4431 01000000 00020000".Replace(" ", ""), Hex.Text(state.Bytes[..16]));
    }
}

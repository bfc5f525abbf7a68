// SPDX-License-Identifier: MIT
using Iwpmd.Os;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Os;

[Collection(OsCollection.Name)]
public sealed class LimitsTests
{
    [Fact]
    public void The_descriptor_limit_is_raised_to_the_hard_one()
    {
        Assert.Equal(Errno.None, Limits.RaiseDescriptorLimit(out ulong limit));
        string[] words = File.ReadLines(
            "/proc/self/limits").First(l => l.StartsWith("Max open files", StringComparison.Ordinal)).Split(
                ' ', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal([$"{limit}", $"{limit}"], words[3..5]);
    }

    [Fact]
    public void The_descriptor_table_grows_at_once_and_leaves_nothing_open()
    {
        int open = OpenDescriptors(), wanted = TableSize() + 512;
        Assert.Equal(Errno.None, Limits.GrowDescriptorTable(wanted));
        Assert.InRange(TableSize(), wanted - 10, int.MaxValue);
        Assert.Equal(open, OpenDescriptors());
    }

    [Theory]
    [InlineData(0)]
    [InlineData(10)]
    [InlineData(-1)]
    public void A_table_that_is_large_enough_is_left_alone(int wanted)
    {
        int size = TableSize();
        Assert.Equal(Errno.None, Limits.GrowDescriptorTable(wanted));
        Assert.Equal(size, TableSize());
    }

    private static int TableSize() => int.Parse(
        File.ReadLines(
            "/proc/self/status").First(l => l.StartsWith("FDSize:", StringComparison.Ordinal)).Split('\t')[1]);

    private static int OpenDescriptors() => Directory.GetFiles("/proc/self/fd").Length;
}

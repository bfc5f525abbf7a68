// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Wire;

public class FixedNameTests
{
    [Theory]
    [InlineData("")]
    [InlineData("siw0")]
    [InlineData("0123456789abcdef0123456789abcde")] // 31
    public void A_name_of_at_most_31_bytes_is_kept_whole(string name) =>
        Assert.Equal(name, new FixedName(name).ToString());

    [Theory]
    [InlineData(32)]
    [InlineData(33)]
    [InlineData(1000)]
    public void A_longer_name_is_cut_so_that_its_NUL_has_room(int length) =>
        Assert.Equal(new string('x', 31), new FixedName(new string('x', length)).ToString());

    [Fact]
    public void A_name_ends_at_its_first_NUL()
    {
        var name = new FixedName("siw0\0garbage"u8);

        Assert.Equal("siw0", name.ToString());
        Assert.Equal(new FixedName("siw0"), name);
        Assert.Equal(new FixedName("siw0").GetHashCode(), name.GetHashCode());
    }

    [Fact]
    public void Names_are_equal_only_letter_for_letter()
    {
        Assert.NotEqual(new FixedName("siw0"), new FixedName("siw1"));
        Assert.NotEqual(new FixedName("siw"), new FixedName("siw0"));
        Assert.True(new FixedName("siw0").Equals((object)new FixedName("siw0")));
        Assert.False(new FixedName("siw0").Equals((object)new FixedName("siw1")));
        Assert.False(new FixedName("siw0").Equals("siw0"));
    }

    /// <summary>In a row of the state that something damaged.</summary>
    [Fact]
    public void A_name_without_a_NUL_ends_with_its_bytes()
    {
        FixedName name = default;
        MemoryMarshal.AsBytes(new Span<FixedName>(ref name)).Fill((byte)'x');

        Assert.Equal(new string('x', 32), name.ToString());
    }

    [Fact]
    public void A_name_takes_32_bytes_in_place() => Assert.Equal(FixedName.Capacity, Unsafe.SizeOf<FixedName>());
}

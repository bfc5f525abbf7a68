// SPDX-License-Identifier: MIT
using Iwpmd.State;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.State;

/// <summary>A row while it changes, as a reader in another process sees it.</summary>
public class RowTests
{
    [Fact]
    public void The_sequence_is_odd_during_a_change_and_another_even_number_after_it()
    {
        MappingRow row = default;
        for (uint before = 0; before < 6; before += 2)
        {
            Assert.Equal(before, row.Sequence);
            StateRow.Begin(ref row);
            Assert.Equal(before + 1, row.Sequence);
            StateRow.End(ref row, StateRow.Checksum(ref row));
        }
    }

    [Fact]
    public void A_change_that_a_crash_broke_off_is_ended_by_the_next_one()
    {
        MappingRow row = default;
        StateRow.Begin(ref row);
        row.References = 3;
        Assert.False(StateRow.IsSound(ref row));

        StateRow.Begin(ref row);
        Assert.Equal(1u, row.Sequence);
        StateRow.End(ref row, StateRow.Checksum(ref row));
        Assert.Equal(2u, row.Sequence);
        Assert.True(StateRow.IsSound(ref row));
    }

    [Fact]
    public void A_row_of_zeros_was_never_written_and_one_that_was_emptied_was()
    {
        MappingRow row = default, zeros = default;
        Assert.True(StateRow.IsNeverWritten(ref row));

        StateRow.Clear(ref row, StateRow.Checksum(ref zeros));
        Assert.False(StateRow.IsNeverWritten(ref row));
        Assert.True(StateRow.IsSound(ref row));
    }

    /// <summary>Of a row of seven parts, as a mapping's: a daemon of another version continues with it.</summary>
    [Fact]
    public void The_checksum_is_that_of_earlier_versions() => Assert.Equal(
        0xd9c6af9e, StateRow.Checksum((ReadOnlySpan<uint>)[9, 9, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0]));

    [Fact]
    public void Only_rows_that_are_not_sound_are_dropped()
    {
        var rows = new MappingRow[3];
        for (int i = 0; i < rows.Length; i++)
        {
            using var change = new RowChange<MappingRow>(ref rows[i]);
            change.Row.References = i + 1;
        }
        rows[1].References++; // without a change

        StateRow.DropUnsound<MappingRow>(rows);

        Assert.Equal([1, 0, 3], rows.Select(row => row.References));
        Assert.Equal(0u, rows[1].Sequence);
    }

    [Theory]
    [InlineData(nameof(MappingState.Held), 4420, true)]
    [InlineData(nameof(MappingState.Unprotected), 4420, true)]
    [InlineData(nameof(MappingState.Held), 40000, false)]
    [InlineData(nameof(MappingState.Unprotected), 40000, false)]
    [InlineData(nameof(MappingState.Advertised), 4420, false)]
    [InlineData(nameof(MappingState.Fallback), 4420, false)]
    public void A_mapping_keeps_its_port_if_that_is_bound_or_to_be_bound(string state, int mapped, bool isKept)
    {
        var row = new MappingRow
        {
            Local = InetEndpoint.Parse("10.0.0.1:4420"),
            MappedPort = (ushort)mapped,
            State = Enum.Parse<MappingState>(state),
        };

        Assert.Equal(isKept, row.IsKept);
        Assert.Equal($"10.0.0.1:{mapped}", row.Mapped.ToString());
    }
}

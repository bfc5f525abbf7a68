using System.Runtime.CompilerServices;
using Iwpmd.Core;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Core;

/// <summary>The layout of what outlives the process.</summary>
public class StateTests
{
    private static StateLayout Fresh(int mappings = 16) => StateLayout.InMemory(StateCapacity.For(mappings), World.Identity);

    /// <summary>A reader of another version relies on these numbers: a change of one is a change of the layout's version.</summary>
    [Fact]
    public void Rows_have_the_sizes_that_the_layout_says()
    {
        Assert.Equal(
            (64, 128, 192, 128, 64),
            (Unsafe.SizeOf<MappingRow>(), Unsafe.SizeOf<ClientRow>(), Unsafe.SizeOf<ConversationRow>(), Unsafe.SizeOf<PeerRow>(), Unsafe.SizeOf<HealthRow>()));
        Assert.True(Unsafe.SizeOf<StateHeader>() <= 512);
        Assert.Equal(512 + 64 + (64 * 8) + (64 * 128) + (16 * 64) + (64 * 192) + (64 * 128), StateLayout.SizeOf(StateCapacity.For(16)));
    }

    [Fact]
    public void A_state_of_the_same_boot_and_capacity_is_usable()
    {
        Assert.Null(Fresh().WhyUnusable(World.Identity));
        Assert.Null(Fresh().WhyUnusable(World.Identity with { Build = new FixedName("newer") }));
    }

    [Fact]
    public void Another_boot_layout_magic_or_capacity_is_refused_with_a_reason()
    {
        Assert.Contains("boot", Fresh().WhyUnusable(World.Identity with { BootId = Guid.NewGuid() }));
        StateLayout state = Fresh();
        state.Header.Version++;
        Assert.Contains("version 2", state.WhyUnusable(World.Identity));
        state = Fresh();
        state.Header.Magic++;
        Assert.Contains("not a state", state.WhyUnusable(World.Identity));
        state = Fresh();
        state.Header.Mappings--;
        Assert.Contains("damaged", state.WhyUnusable(World.Identity));
        state = Fresh();
        state.Header.MappingsTouched = 17;
        Assert.Contains("damaged", state.WhyUnusable(World.Identity));
        state = Fresh();
        state.Header.ConversationsTouched = -1;
        Assert.Contains("damaged", state.WhyUnusable(World.Identity));
    }

    [Fact]
    public void A_row_is_read_only_while_nobody_writes_it()
    {
        StateLayout state = Fresh();
        ref MappingRow row = ref state.Mappings[0];
        Assert.True(StateRow.TryRead(ref row, out _)); // zeros were never written
        using (var change = new RowChange<MappingRow>(ref row))
        {
            change.Row.References = 5;
            Assert.False(StateRow.TryRead(ref row, out _));
        }
        Assert.True(StateRow.TryRead(ref row, out MappingRow copy));
        Assert.Equal(5, copy.References);
    }

    [Fact]
    public void Every_flipped_bit_of_a_row_shows()
    {
        StateLayout state = Fresh();
        ref MappingRow row = ref state.Mappings[0];
        using (var change = new RowChange<MappingRow>(ref row))
        {
            (change.Row.References, change.Row.MappedPort, change.Row.State) = (5, 40000, MappingState.Held);
        }
        Span<byte> bytes = System.Runtime.InteropServices.MemoryMarshal.AsBytes(state.Mappings[..1]);
        for (int bit = 32; bit < bytes.Length * 8; bit++) // behind the sequence, of which every even value is right
        {
            bytes[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.False(StateRow.IsSound(ref row), $"bit {bit}");
            bytes[bit / 8] ^= (byte)(1 << (bit % 8));
        }
        Assert.True(StateRow.IsSound(ref row));
    }

    [Fact]
    public void Conversations_of_an_earlier_process_are_gone()
    {
        var world = new World();
        world.Query("10.0.0.1:5000", "10.0.0.2:7174");
        _ = new Conversations(world.State);
        Assert.Equal(ConversationRole.None, world.State.Conversations[0].Role);
    }
}

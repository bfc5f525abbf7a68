// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Iwpmd.Core;
using Iwpmd.State;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Core;

/// <summary>The layout of what outlives the process.</summary>
public class StateTests
{
    private static StateLayout Fresh(int mappings = 16) =>
        StateLayout.InMemory(StateCapacity.For(mappings), World.Identity);

    /// <summary>
    /// A reader of another version relies on these numbers: a change of one is a change of the layout's version.
    /// </summary>
    [Fact]
    public void Rows_have_the_sizes_that_the_layout_says()
    {
        Assert.Equal(
            (64, 128, 192, 128, 464),
            (
                Unsafe.SizeOf<MappingRow>(), Unsafe.SizeOf<ClientRow>(), Unsafe.SizeOf<ConversationRow>(),
                Unsafe.SizeOf<PeerRow>(), Unsafe.SizeOf<HealthRow>()));
        Assert.True(Unsafe.SizeOf<StateHeader>() <= 512);
        Assert.Equal(
            512 + 464 + (64 * 8) + (64 * 128) + (16 * 64) + (64 * 192) + (64 * 128),
            StateLayout.SizeOf(StateCapacity.For(16)));
    }

    /// <summary>The same for the bytes of each row, without its checksum.</summary>
    [Fact]
    public async Task Rows_have_the_bytes_that_the_layout_says()
    {
        var world = new World(mappings: 16);
        world.Add("10.0.0.1:5000");
        world.Query("[fe80::1%3]:5002", "[fe80::2%3]:7174");
        world.Answer(PeerMessageType.Accept, 41000);
        InetEndpoint peer = InetEndpoint.Parse("[fe80::2%3]:0");
        await Golden.Verify(string.Join(
            '\n', Hex(world.State.Mappings[1]), Hex(world.State.Clients[2]), Hex(world.State.Conversations[0]),
            Hex(world.State.Peers[PeerSet.First(world.State, peer)])));

        static string Hex<T>(T row)
            where T : unmanaged => Convert.ToHexString(MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in row))[8..]);
    }

    private static string? WhyUnusable(StateLayout state) =>
        StateLayout.WhyUnusable(state.Bytes, World.Identity.BootId, out _);

    [Fact]
    public void A_state_of_the_same_boot_is_usable_whichever_build_made_it()
    {
        StateLayout state = Fresh();
        state.Header.Build = new FixedName("newer");
        Assert.Null(StateLayout.WhyUnusable(state.Bytes, World.Identity.BootId, out StateGeometry geometry));
        Assert.Equal(state.Geometry, geometry);
    }

    [Fact]
    public void Another_boot_version_magic_or_length_is_refused_with_a_reason()
    {
        Assert.Contains("boot", StateLayout.WhyUnusable(Fresh().Bytes, Guid.NewGuid(), out _));
        StateLayout state = Fresh();
        state.Header.Version++;
        Assert.Contains("version 2", WhyUnusable(state));
        state = Fresh();
        state.Invalidate();
        Assert.Contains("not a state", WhyUnusable(state));
        state = Fresh();
        state.Header.Mappings--;
        Assert.Contains("damaged", WhyUnusable(state));
    }

    [Fact]
    public void A_state_cut_off_at_any_length_is_refused()
    {
        StateLayout state = Fresh();
        for (int length = 0; length < state.Bytes.Length; length++)
        {
            Assert.NotNull(StateLayout.WhyUnusable(state.Bytes[..length], World.Identity.BootId, out _));
        }
    }

    /// <summary>
    /// What comes of it is a fresh start, or a table in which each row is one that was there; never an exception.
    /// </summary>
    [Fact]
    public void Any_flipped_byte_loses_what_it_hit_and_makes_nothing_up()
    {
        var world = new World(mappings: 16);
        world.Add("10.0.0.1:5000");
        world.Add("[fd00::1]:5001");
        world.Query("10.0.0.1:5002", "10.0.0.2:7174");
        world.Answer(PeerMessageType.Accept, 41000);
        byte[] good = world.State.Bytes.ToArray();
        InetEndpoint[] locals =
        [
            InetEndpoint.Parse("10.0.0.1:5000"), InetEndpoint.Parse("[fd00::1]:5001"),
            InetEndpoint.Parse("10.0.0.1:5002"),
        ];
        ushort[] mapped = [.. locals.Select(local => world.Row(local.ToString()).MappedPort)];
        int fresh = 0, restored = 0;
        for (int at = 0; at < good.Length; at++)
        {
            // Rows without use are alike: of these, every seventh byte, which is another one in each.
            if (good[at] == 0 && at % 7 != 0)
            {
                continue;
            }
            StateLayout state = Fresh();
            good.CopyTo(state.Bytes);
            state.Bytes[at] ^= 0x41;
            TimeSpan seenEmpty = state.Header.SeenEmptyAt;
            if (WhyUnusable(state) is not null)
            {
                fresh++;
                continue;
            }
            restored++;
            Assert.True(
                seenEmpty <= world.State.Header.SeenEmptyAt,
                $"byte {at}: the socket seems to have been empty later than it was");
            var next = new World(state: state, handshake: false) { Now = world.Now };
            next.Mapper.Restore(next.Now);
            next.Introduce();
            next.Pass(TimeSpan.FromSeconds(12));
            for (int slot = 0; slot < next.Mapper.Mappings.HighWater; slot++)
            {
                MappingRow row = next.Mapper.Mappings[slot];
                Assert.True(
                    !row.IsUsed || Array.IndexOf(locals, row.Local) is var i and >= 0 && row.MappedPort == mapped[i],
                    $"byte {at}: {row.Local} -> {row.MappedPort}");
            }
            int rowSize = Unsafe.SizeOf<MappingRow>();
            int hit = at >= state.Geometry.MappingsAt && at < state.Geometry.MappingsAt + (3 * rowSize) ? 1 : 0;
            Assert.InRange(next.Mapper.Mappings.Count, 3 - hit, 3);
        }
        Assert.True(fresh > 40 && restored > 1500, $"{fresh} fresh, {restored} restored");
    }

    [Fact]
    public void A_state_with_other_numbers_and_lengths_of_rows_is_converted_whole()
    {
        var world = new World(mappings: 256);
        for (int i = 0; i < 200; i++)
        {
            world.Add($"10.0.0.1:{5000 + i}");
        }
        world.Remove("10.0.0.1:5000");
        world.Query("10.0.0.1:6000", "10.0.0.2:7174");
        foreach (int change in (int[])[-8, 0, +24])
        {
            byte[] foreign = Reshape(world.State, change);
            Assert.Null(StateLayout.WhyUnusable(foreign, World.Identity.BootId, out StateGeometry geometry));
            Assert.Equal(200, StateMigration.CountMappings(foreign, geometry));
            StateLayout state = Fresh(mappings: 300);
            Assert.Equal(0, StateMigration.Copy(foreign, geometry, state));
            Assert.Null(WhyUnusable(state));
            var next = new World(state: state, handshake: false) { Now = world.Now };
            next.Mapper.Restore(next.Now);
            Assert.Equal(200, next.Mapper.Mappings.Count);
            Assert.Equal(world.Row("10.0.0.1:5199").MappedPort, next.Row("10.0.0.1:5199").MappedPort);
            Assert.Equal(world.Counter(Counter.Adds), next.Counter(Counter.Adds));
            Assert.True(next.Mapper.TryResume(PredecessorExit.Clean, next.Now));
            next.Expire(); // the query that waits is asked again, for the same mapping
            Assert.Equal("10.0.0.1:6000", next.ToPeers.Single().Message.Connecting.ToString());
        }
    }

    /// <summary>The same state as a version would have it whose mappings' rows are longer, or shorter.</summary>
    private static byte[] Reshape(StateLayout state, int change)
    {
        StateGeometry old = state.Geometry, geometry = old with { MappingSize = old.MappingSize + change };
        var result = new byte[geometry.Length];
        state.Bytes[..old.MappingsAt].CopyTo(result);
        for (int i = 0; i < old.Mappings; i++)
        {
            Span<byte> row = result.AsSpan(geometry.MappingsAt + (i * geometry.MappingSize), geometry.MappingSize);
            state.Bytes.Slice(
                old.MappingsAt + (i * old.MappingSize), Math.Min(old.MappingSize, row.Length)).CopyTo(row);
            ulong hash = 0xcbf29ce484222325;
            for (int at = 8; at < row.Length; at += 8)
            {
                hash = System.Numerics.BitOperations.RotateLeft(
                    (hash ^ BitConverter.ToUInt64(row[at..])) * 0x9e3779b97f4a7c15, 29);
            }
            BitConverter.TryWriteBytes(row[4..], state.Mappings[i].IsUsed ? (uint)(hash ^ (hash >> 32)) : 0);
            BitConverter.TryWriteBytes(row, state.Mappings[i].IsUsed ? 2u : 0);
        }
        state.Bytes[(int)old.ConversationsAt..].CopyTo(result.AsSpan((int)geometry.ConversationsAt));
        ref StateHeader header = ref System.Runtime.InteropServices.MemoryMarshal.AsRef<StateHeader>(result.AsSpan());
        header.MappingSize = (ushort)geometry.MappingSize;
        header.Checksum = 0xcbf29ce484222325;
        foreach (byte part in result.AsSpan(
            0, (int)System.Runtime.InteropServices.Marshal.OffsetOf<StateHeader>(nameof(StateHeader.Checksum))))
        {
            header.Checksum = (header.Checksum ^ part) * 0x100000001b3;
        }
        return result;
    }

    [Fact]
    public void A_row_is_read_only_while_nobody_writes_it()
    {
        StateLayout state = Fresh();
        ref MappingRow row = ref state.Mappings[0];
        bool TryRead(out MappingRow copy) => StateMigration.TryRead(
            state.Bytes, state.Geometry.MappingsAt, state.Geometry.MappingSize, 0, out copy, out _);
        Assert.True(TryRead(out _)); // zeros were never written
        using (var change = new RowChange<MappingRow>(ref row))
        {
            change.Row.References = 5;
            Assert.False(TryRead(out _));
        }
        Assert.True(TryRead(out MappingRow copy));
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
    public void A_query_of_an_earlier_process_is_asked_again_and_answered()
    {
        var world = new World();
        world.Query("10.0.0.1:5000", "10.0.0.2:7174", sequence: 21);
        ulong handle = world.ToPeers.Single().Message.Handle;
        var next = new World(state: world.State, handshake: false) { Now = world.Now + TimeSpan.FromSeconds(1) };
        next.Mapper.Restore(next.Now);
        Assert.True(next.Mapper.TryResume(PredecessorExit.Crash, next.Now));
        next.Expire();
        Assert.Equal(handle, next.ToPeers.Single().Message.Handle);
        next.Answer(PeerMessageType.Accept, 41000);
        Assert.Equal(
            (KernelReplyKind.QueryMapping, 21u, (ushort)41000),
            (next.LastToKernel.Kind, next.LastToKernel.RequestSequence, next.LastToKernel.MappedRemote.Port));
    }

    [Fact]
    public void A_copy_of_a_Request_that_an_earlier_process_answered_sends_no_REMOTE_INFO()
    {
        var world = new World();
        world.Add("10.0.0.1:5000");
        world.Request("10.0.0.2:40000", "10.0.0.2:6000", "10.0.0.1:5000");
        var next = new World(state: world.State, handshake: false) { Now = world.Now + TimeSpan.FromSeconds(1) };
        next.Mapper.Restore(next.Now);
        Assert.True(next.Mapper.TryResume(PredecessorExit.Clean, next.Now));
        next.Request("10.0.0.2:40000", "10.0.0.2:6000", "10.0.0.1:5000");
        Assert.Equal(PeerMessageType.Accept, next.ToPeers.Single().Message.Type);
        Assert.DoesNotContain(next.ToKernel, reply => reply.Kind == KernelReplyKind.RemoteInfo);
    }

    [Fact]
    public void Whoever_resumes_asks_nothing_of_the_kernel()
    {
        var world = new World();
        world.Add("10.0.0.1:5000");
        var next = new World(state: world.State, handshake: false) { Now = world.Now };
        next.Mapper.Restore(next.Now);
        Assert.True(next.Mapper.TryResume(PredecessorExit.Clean, next.Now));
        next.Pass(TimeSpan.FromMinutes(1));
        KernelReply mark = next.Sent.Single().Reply; // two equal numbers: the kernel has nothing to say to that
        Assert.Equal((KernelReplyKind.MapInfoNumber, 0u, 0u), (mark.Kind, mark.Sent, mark.Accepted));
        next.Add("10.0.0.1:5001", sequence: 11);
        Assert.Equal((KernelReplyKind.AddMapping, 11u), (next.LastToKernel.Kind, next.LastToKernel.RequestSequence));
    }

    [Fact]
    public void Nobody_resumes_a_handshake_that_was_not_finished()
    {
        var world = new World(handshake: false);
        world.Mapper.Start(world.Now);
        var next = new World(state: world.State, handshake: false);
        Assert.False(next.Mapper.TryResume(PredecessorExit.Clean, next.Now));
    }

    [Fact]
    public void The_health_reports_restored_mappings_and_no_earlier_faults()
    {
        var world = new World();
        world.Add("10.0.0.1:5000");
        world.Add("10.0.0.1:5001");
        world.Add("10.0.0.1:5002", flags: 1);
        var second = new World(handshake: false, state: world.State);
        second.Ports.Taken.Add(40000);
        second.Mapper.Restore(second.Now);
        Assert.Equal(
            (3u, 2u, 1u), (world.State.Health.RestoredOf, world.State.Health.Restored, world.State.Health.Unprotected));

        var third = new World(handshake: false, state: world.State);
        third.Mapper.Restore(second.Now);
        Assert.Equal(MappingState.Held, third.Row("10.0.0.1:5000").State);
        Assert.Equal(
            (3u, 3u, 0u), (world.State.Health.RestoredOf, world.State.Health.Restored, world.State.Health.Unprotected));
        Assert.True(StateRow.IsSound(ref world.State.Health));
    }

    /// <summary>The header's checksum does not protect them, and a crash may have cut a write.</summary>
    [Fact]
    public void A_damaged_health_client_or_peer_is_forgotten()
    {
        var world = new World();
        world.Query("10.0.0.1:5000", "10.0.0.2:7174");
        world.Answer(PeerMessageType.Accept, 45000);
        int peer = PeerSet.First(world.State, InetEndpoint.Parse("10.0.0.2:0"));
        Assert.Equal((1u, true), (world.State.Peers[peer].Accepts, world.State.Clients[2].IsRegistered));
        world.State.Peers[peer].Accepts ^= 4;
        world.State.Clients[2].HelloSequence ^= 4;
        world.State.Health.Restored ^= 4;
        _ = new World(state: world.State, handshake: false);
        Assert.Equal((0u, false), (world.State.Peers[peer].Accepts, world.State.Clients[2].IsRegistered));
        Assert.Equal((0u, HandshakeState.None), (world.State.Health.Restored, world.State.Health.Kernel));
    }

    /// <summary>As many of each role as there may be, and each row that is not whole.</summary>
    [Fact]
    public void Of_the_conversations_of_an_earlier_process_those_that_are_whole_go_on()
    {
        StateLayout state = Fresh();
        TimeSpan sent = TimeSpan.FromSeconds(1000), latest = TimeSpan.MaxValue - Conversations.Lifetime;
        void Write(int slot, ConversationRole role, TimeSpan sentAt, int mapping = 0)
        {
            using var change = new RowChange<ConversationRow>(ref state.Conversations[slot]);
            (change.Row.Role, change.Row.Handle, change.Row.LastSentAt, change.Row.Slot) =
                (role, (ulong)slot + 1, sentAt, mapping);
        }
        Write(0, ConversationRole.Querying, sent, mapping: 15);
        Write(1, ConversationRole.Querying, sent, mapping: 16); // no such mapping
        Write(2, ConversationRole.Querying, sent, mapping: -1);
        Write(3, ConversationRole.Querying, latest);
        Write(4, ConversationRole.Querying, latest - TimeSpan.FromTicks(1));
        Write(5, ConversationRole.None, sent);
        Write(6, (ConversationRole)9, sent);
        Write(7, ConversationRole.Querying, sent);
        state.Conversations[7].Handle ^= 64; // its checksum is wrong
        for (int slot = 8; slot < 64; slot++)
        {
            Write(slot, slot < 40 ? ConversationRole.Querying : ConversationRole.Accepting, sent);
        }
        var conversations = new Conversations(state, secret: 1);
        bool[] whole = [.. Enumerable.Range(0, 64).Select(slot => slot < 40
            ? conversations.FindQuery((ulong)slot + 1) == slot
            : conversations.FindAccept(default, (ulong)slot + 1, default) == slot)];
        // with slots 0 and 4 there are 32 queries at slot 37
        Assert.Equal(
            [1, 2, 3, 5, 6, 7, 38, 39], Enumerable.Range(0, 64).Where(slot => !whole[slot]));
        Assert.Equal(56, conversations.Count);
        Assert.All([1, 2, 3, 5, 6, 7, 38, 39], slot => Assert.False(
            StateRow.Content(ref state.Conversations[slot]).ContainsAnyExcept(0u)));
        int[] free = [.. Enumerable.Range(0, 8).Select(_ => conversations.Take(ConversationRole.Accepting))];
        Assert.Equal([1, 2, 3, 5, 6, 7, 38, 39], free.Order());
    }

    [Fact]
    public void What_an_earlier_process_completed_answers_copies_as_long_as_it_would_have()
    {
        var world = new World();
        world.Add("10.0.0.1:5000");
        world.Request("10.0.0.2:40000", "10.0.0.2:6000", "10.0.0.1:5000");
        world.Query("10.0.0.1:5001", "10.0.0.2:7174");
        PeerMessage request = world.ToPeers.Last().Message;
        world.Answer(PeerMessageType.Accept, 41000);
        foreach ((double seconds, int acks) in ((double, int)[])[(9.9, 1), (10, 0)])
        {
            byte[] copy = world.State.Bytes.ToArray();
            StateLayout state = Fresh(mappings: 256);
            copy.CopyTo(state.Bytes);
            var next = new World(state: state, handshake: false) { Now = world.Now };
            next.Mapper.Restore(next.Now);
            Assert.True(next.Mapper.TryResume(PredecessorExit.Clean, next.Now));
            Assert.Equal(2, next.Mapper.Conversations.Count);
            next.Pass(TimeSpan.FromSeconds(seconds));
            next.FromPeer("10.0.0.2:3935", request.AsAccept(41000));
            Assert.Equal(acks, next.ToPeers.Count(effect => effect.Message.Type == PeerMessageType.Ack));
            Assert.Equal(2 * acks, next.Mapper.Conversations.Count);
        }
    }

    [Fact]
    public void A_later_process_counts_its_messages_from_a_higher_number()
    {
        var world = new World();
        world.Add("10.0.0.1:5000");
        long last = 0;
        foreach (double seconds in (double[])[0, 0.001, 0.2, 0.4194304, 0.8388608, 10, 3600, 86400])
        {
            var next = new World(state: world.State, handshake: false)
            {
                Now = world.Now + TimeSpan.FromSeconds(seconds),
            };
            next.Mapper.Restore(next.Now);
            Assert.True(next.Mapper.TryResume(PredecessorExit.Clean, next.Now));
            next.Drain();
            Assert.True(next.LastToKernel.Sequence > last, $"{seconds}");
            last = next.LastToKernel.Sequence;
        }
    }
}

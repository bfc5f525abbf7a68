// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;
using System.Text;
using Iwpmd.Core;
using Iwpmd.Daemon;
using Iwpmd.State;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using SharpFuzz;

namespace Iwpmd.Fuzz;

/// <summary>
/// managed TARGET: serves afl-fuzz with one of the targets below, whose assembly has been instrumented.
/// managed TARGET FILE...: plays these inputs, without afl-fuzz.
/// managed state --seed: prints a state to begin with.
/// An exception is a fault: bytes from outside must not bring one about.
/// </summary>
public static class Program
{
    private const int Rows = 8;

    private static readonly Dictionary<string, Action<byte[]>> s_targets = new()
    {
        ["netlink"] = Netlink,
        ["peer"] = Peer,
        ["state"] = State,
        ["configuration"] = Configuration,
    };

    private static readonly byte[] s_buffer = new byte[PeerMessage.RequestSize];

    public static int Main(string[] arguments)
    {
        if (arguments is ["state", "--seed"])
        {
            Console.OpenStandardOutput().Write(Used().State.Bytes);
            return 0;
        }
        if (arguments.Length == 0 || !s_targets.TryGetValue(arguments[0], out Action<byte[]>? target))
        {
            Console.Error.WriteLine($"usage: managed {string.Join('|', s_targets.Keys)} [FILE...]");
            return 64;
        }
        foreach (string file in arguments[1..])
        {
            target(File.ReadAllBytes(file));
        }
        if (arguments.Length == 1)
        {
            Fuzzer.Run(stream =>
            {
                using var input = new MemoryStream();
                stream.CopyTo(input);
                target(input.ToArray());
            });
        }
        return 0;
    }

    /// <summary>A port mapper with a listener, a connection, and a query that waits for 10.0.0.2.</summary>
    private static World Used()
    {
        var world = new World(mappings: Rows);
        world.Add("0.0.0.0:5000");
        world.Add("[fd00::1]:5001", flags: 1);
        world.Query("10.0.0.1:30000", "10.0.0.2:5000");
        return world;
    }

    /// <summary>A datagram of the kernel: its messages, the acknowledgements among them, and then time.</summary>
    private static void Netlink(byte[] bytes)
    {
        foreach (World world in (World[])[new World(mappings: Rows, handshake: false), Used()])
        {
            world.Mapper.Start(world.Now);
            world.Drain();
            world.FromKernel(bytes);
            Rest(world);
        }
        ReadDevices(bytes);
    }

    /// <summary>
    /// Datagrams one after the other, each behind a byte: whether it is long, which host sends it, and a pause.
    /// </summary>
    private static void Peer(byte[] bytes)
    {
        World world = Used();
        ReadOnlySpan<byte> rest = bytes;
        while (!rest.IsEmpty)
        {
            byte how = rest[0];
            int length = (how & 1) == 0 ? PeerMessage.ShortSize : PeerMessage.RequestSize;
            ReadOnlySpan<byte> datagram = rest[1..Math.Min(1 + length, rest.Length)];
            rest = rest[(1 + datagram.Length)..];
            if (PeerMessage.TryParse(datagram, out PeerMessage message, out _))
            {
                int written = message.Write(s_buffer);
                if (!PeerMessage.TryParse(s_buffer.AsSpan(0, written), out PeerMessage again, out _)
                    || again != message)
                {
                    throw new InvalidOperationException($"{message} reads back as {again}");
                }
                world.FromPeer((how & 2) == 0 ? "10.0.0.2:3935" : "[fd00::2]:3935", message);
            }
            PeerMessage.TryReadHandle(datagram, out _);
            world.Pass(TimeSpan.FromMilliseconds(how & 0xf0));
        }
        Rest(world);
    }

    /// <summary>
    /// A state file as another process left it: it is read by a command, adopted by another geometry, and continued.
    /// The checksums are made right, since nothing behind a wrong one is looked at; a first byte of 0 leaves them.
    /// </summary>
    private static unsafe void State(byte[] bytes)
    {
        if (bytes.Length < sizeof(StateHeader))
        {
            return;
        }
        byte[] pinned = GC.AllocateArray<byte>(bytes.Length, pinned: true);
        bytes.CopyTo(pinned, 0);
        ref StateHeader header = ref MemoryMarshal.AsRef<StateHeader>(pinned.AsSpan());
        bool isMended = header.Magic != 0;
        if (isMended)
        {
            header.Checksum = StateLayout.HeaderChecksum(pinned);
        }
        if (StateLayout.WhyUnusable(pinned, header.BootId, out StateGeometry geometry) is not null
            || geometry.Length > 1 << 16)
        {
            return;
        }
        if (isMended)
        {
            Mend(pinned, geometry.HeaderSize, 1, geometry.HealthSize);
            Mend(pinned, geometry.ClientsAt, geometry.Clients, geometry.ClientSize);
            Mend(pinned, geometry.MappingsAt, geometry.Mappings, geometry.MappingSize);
            Mend(pinned, (int)geometry.ConversationsAt, geometry.Conversations, geometry.ConversationSize);
            Mend(pinned, (int)geometry.PeersAt, geometry.Peers, geometry.PeerSize);
        }
        var copy = StateLayout.InMemory(StateSnapshot.CapacityFor(geometry), World.Identity);
        StateSnapshot.TryTake(pinned, geometry, copy, out _);

        int rows = Math.Max(Rows, StateMigration.CountMappings(pinned, geometry));
        var adopted = StateLayout.InMemory(StateCapacity.For(rows), World.Identity);
        StateMigration.Adopt(pinned, geometry, adopted);
        Continue(adopted);
    }

    private static void Mend(byte[] bytes, int at, int count, int size)
    {
        for (int i = 0; i < count; i++)
        {
            Span<uint> row = MemoryMarshal.Cast<byte, uint>(bytes.AsSpan(at + (i * size), size));
            (row[0], row[1]) = (row[0] & ~1u, StateRow.Checksum(row));
        }
    }

    private static void Continue(StateLayout state)
    {
        var world = new World(handshake: false, state: state);
        world.Mapper.Restore(world.Now);
        world.Introduce();
        world.Add("10.0.0.1:5000");
        world.Request("10.0.0.2:3935", "10.0.0.2:5000", "10.0.0.1:5000");
        Rest(world);
    }

    private static void Configuration(byte[] bytes)
    {
        LoadedConfiguration loaded = ConfigurationParser.Parse(Encoding.UTF8.GetString(bytes).Split('\n'));
        foreach (Complaint complaint in loaded.Complaints)
        {
            string printed = Printable.Of(complaint.ToString());
            if (printed.AsSpan().ContainsAnyInRange('\0', '\x1f'))
            {
                throw new InvalidOperationException($"a complaint of line {complaint.Line} has a control character");
            }
        }
    }

    private static void ReadDevices(ReadOnlySpan<byte> payload)
    {
        _ = DeviceResources.TryReadDevice(payload, out _, out _);
        _ = DeviceResources.TryReadCount(payload, out _, out _);
        _ = DeviceResources.IsShared(payload);
        var endpoints = new DeviceResources.EndpointReader(payload);
        while (endpoints.MoveNext())
        {
            _ = endpoints.Local.ToString();
        }
    }

    /// <summary>All that waits ends, and each row that is left can be told.</summary>
    private static void Rest(World world)
    {
        world.Pass(TimeSpan.FromSeconds(12));
        world.Mapper.End(world.Now);
        world.Drain();
        world.Mapper.DumpMappings();
        if (world.Mapper.Outbox.Count > 0)
        {
            throw new InvalidOperationException("what was to be sent is left");
        }
    }
}

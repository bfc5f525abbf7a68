// SPDX-License-Identifier: MIT
using System.Net;
using System.Net.Sockets;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;

namespace Iwpmd.Tests.Support;

/// <summary>
/// The script that both daemons play: what the kernel and the peers say, in order. A step may differ only for the
/// reasons it names.
/// </summary>
internal sealed class DifferentialScript(DifferentialRun run)
{
    private ulong _handle = 1;

    public void Play(Func<Host, SimulatedKernel, DaemonProcess> start)
    {
        Socket other = run.Host.Open(SocketType.Stream, new IPEndPoint(IPAddress.Any, 20005)); // somebody else's
        StartWithReplay(start);
        other.Dispose();
        Registration();
        foreach (Family family in (Family[])[new("v4", "10.0.0.1", "0.0.0.0", "10.0.0.2", "10.0.0.3", "client"), new(
            "v6", "[fd00::1]", "[::]", "[fd00::2]", "[fd00::3]", "client6")])
        {
            Listeners(family);
            Queries(family);
            Requests(family);
        }
        MixedFamilies();
        UnvalidatedHosts();
        Malformed();
    }

    private void StartWithReplay(Func<Host, SimulatedKernel, DaemonProcess> start)
    {
        run.Watch(20001, 20002, 20003, 20004, 20006, 6002, 6005);
        run.Kernel.SetReplay(
            Scene.Mapped("10.0.0.1:6000", 20001), Scene.Mapped("0.0.0.0:6001", 20002),
            Scene.Mapped("10.0.0.1:6002", 6002, flags: 1), Scene.Mapped("[fd00::1]:6003", 20003),
            Scene.Mapped("10.0.0.1:6000", 20001), Scene.Mapped("10.0.0.1:6001", 20004), Scene.Mapped(
                "10.0.0.1:6004", 20005), Scene.Mapped("10.0.0.1:6005", 6005), Scene.Mapped("10.0.0.1:6006", 20006));
        run.Step(
            "start with a replay", () => run.Start(start),
            () => run.Kernel.ExpectMessage(KernelReplyKind.MapInfoNumber), "replay of an unmapped connection",
            "replay over a wildcard");
        run.Step(
            "ADD before REG_PID", () => run.Kernel.Send(Scene.Add("10.0.0.1:4999")), Register, "unregistered client");
        run.Ask("REMOVE of it", Scene.Remove("10.0.0.1:4999"), "unregistered client");
        foreach (string local in (string[])
            ["10.0.0.1:6000", "10.0.0.1:6000", "0.0.0.0:6001", "10.0.0.1:6002", "[fd00::1]:6003", "10.0.0.1:6001",
             "10.0.0.1:6004", "10.0.0.1:6005", "10.0.0.1:6006"])
        {
            run.Ask($"REMOVE {local}, which was replayed", Scene.Remove(local), local switch
            {
                "10.0.0.1:6000" => ["references of a replay"],
                "10.0.0.1:6001" => ["replay over a wildcard"],
                "10.0.0.1:6005" => ["replay of an unmapped connection"],
                _ => [],
            });
        }
        run.Ask("REMOVE 10.0.0.1:6005 once more", Scene.Remove("10.0.0.1:6005"));
    }

    private void Register() => run.Kernel.Expect(KernelReplyKind.RegisterPid, run.Kernel.Send(Scene.Register));

    private void Registration()
    {
        run.Step("REG_PID again", Register);
        run.Step("REG_PID of another device", () => run.Kernel.Expect(
            KernelReplyKind.RegisterPid, run.Kernel.Send(Scene.Register with { Device = new FixedName("siw1") })));
        run.Step("REG_PID with another library", () => run.Kernel.Expect(
            KernelReplyKind.HandleError, run.Kernel.Send(Scene.Register with { Library = new FixedName("another") })));
        run.Ask("REMOVE of nothing", Scene.Remove("10.0.0.1:5999"));
    }

    private void Listeners(Family f)
    {
        string one = $"{f.Local}:5000", all = $"{f.Wildcard}:5001";
        run.Ask($"{f.Name}: ADD", Scene.Add(one));
        run.Ask($"{f.Name}: ADD the same", Scene.Add(one));
        run.Ask($"{f.Name}: REMOVE for the refused ADD", Scene.Remove(one), "count first");
        run.Ask($"{f.Name}: REMOVE for the first ADD", Scene.Remove(one), "count first");
        run.Ask($"{f.Name}: ADD wildcard", Scene.Add(all));
        run.Ask($"{f.Name}: ADD the same wildcard", Scene.Add(all));
        run.Ask($"{f.Name}: ADD an address under the wildcard", Scene.Add($"{f.Local}:5001"));
        run.Ask($"{f.Name}: REMOVE for that", Scene.Remove($"{f.Local}:5001"));
        run.Ask(
            $"{f.Name}: QUERY from an address under the wildcard", Scene.Query($"{f.Local}:5001", $"{f.Remote}:80"));
        run.Ask($"{f.Name}: REMOVE for that", Scene.Remove($"{f.Local}:5001"));
        run.Ask($"{f.Name}: REMOVE the first of two references", Scene.Remove(all));
        run.Ask($"{f.Name}: REMOVE by another client", Scene.Remove(all) with { Client = 3 });
        run.Ask($"{f.Name}: REMOVE the last reference", Scene.Remove(all));
        run.Ask($"{f.Name}: ADD", Scene.Add(one));
        run.Ask($"{f.Name}: ADD the same port on another address", Scene.Add($"{f.Other}:5000"));
        run.Ask($"{f.Name}: ADD the wildcard of that port", Scene.Add($"{f.Wildcard}:5000"));
        run.Ask($"{f.Name}: REMOVE the wildcard that was refused", Scene.Remove($"{f.Wildcard}:5000"));
        run.Ask($"{f.Name}: REMOVE the second", Scene.Remove($"{f.Other}:5000"));
        run.Ask($"{f.Name}: REMOVE the first", Scene.Remove(one));
        run.Ask($"{f.Name}: ADD NO_PORT_MAP", Scene.Add(one, flags: 1));
        run.Ask($"{f.Name}: ADD NO_PORT_MAP again", Scene.Add(one, flags: 1));
        run.Ask($"{f.Name}: REMOVE for that", Scene.Remove(one));
        run.Ask($"{f.Name}: REMOVE", Scene.Remove(one));
        run.Ask(
            $"{f.Name}: ADD by a client that never registered", Scene.Add($"{f.Local}:5002") with { Client = 3 },
            "unregistered client");
        run.Ask(
            $"{f.Name}: REMOVE by that client", Scene.Remove($"{f.Local}:5002") with { Client = 3 },
            "unregistered client");
    }

    private void Queries(Family f)
    {
        string local = $"{f.Local}:5100", remote = $"{f.Remote}:7000", peer = f.Remote.Trim('[', ']');
        run.Ask($"{f.Name}: QUERY from the wildcard", Scene.Query($"{f.Wildcard}:5100", remote));
        (PeerMessage Message, IPEndPoint From) asked = (default, new IPEndPoint(IPAddress.None, 0));
        void Query(string from, string to, uint flags = 0)
        {
            run.Kernel.Send(Scene.Query(from, to, flags));
            asked = run.TakeRequest(peer);
        }
        run.Step($"{f.Name}: QUERY", () => Query(local, remote));
        run.Step($"{f.Name}: Accept of another handle", () => run.Send(
            peer, asked.From, asked.Message.AsAccept(7100) with { Handle = 0x777 }));
        run.Step($"{f.Name}: Accept", () => run.Send(peer, asked.From, asked.Message.AsAccept(7100)));
        run.Step($"{f.Name}: Reject after the Accept", () => run.Send(peer, asked.From, asked.Message.AsReject()));
        run.Step($"{f.Name}: QUERY from the same address to another port", () => Query(local, $"{f.Remote}:7001"));
        run.Step($"{f.Name}: Accept", () => run.Send(peer, asked.From, asked.Message.AsAccept(7101)));
        run.Ask($"{f.Name}: REMOVE the first of two", Scene.Remove(local));
        run.Ask($"{f.Name}: REMOVE the last", Scene.Remove(local));
        run.Step($"{f.Name}: QUERY that will be rejected", () => Query(local, remote));
        run.Step($"{f.Name}: Reject", () => run.Send(peer, asked.From, asked.Message.AsReject()), "rejected query");
        run.Step($"{f.Name}: Accept after the Reject", () => run.Send(peer, asked.From, asked.Message.AsAccept(7102)));
        run.Ask($"{f.Name}: REMOVE of the rejected", Scene.Remove(local), "rejected query");
        run.Step($"{f.Name}: QUERY NO_PORT_MAP", () => Query(local, remote, flags: 1));
        run.Step($"{f.Name}: Accept", () => run.Send(peer, asked.From, asked.Message.AsAccept(7000)));
        run.Ask($"{f.Name}: REMOVE", Scene.Remove(local));
        run.Step(
            $"{f.Name}: QUERY by a client that never registered",
            () => run.Kernel.Send(Scene.Query($"{f.Local}:5101", remote) with { Client = 3 }), "unregistered client");
        run.Ask(
            $"{f.Name}: REMOVE by that client", Scene.Remove($"{f.Local}:5101") with { Client = 3 },
            "unregistered client");
    }

    private void Requests(Family f)
    {
        string one = $"{f.Local}:5200", all = $"{f.Wildcard}:5201", from = $"{f.Remote}:7200",
            mapped = $"{f.Remote}:7300";
        PeerMessage last = default;
        void Request(string accepting) => run.Tell(f.Client, last = Peer.Request(_handle++, from, accepting, mapped));
        run.Step($"{f.Name}: Request for nothing", () => Request(one));
        run.Ask($"{f.Name}: ADD", Scene.Add(one));
        ushort port = 0;
        void RequestMapped(string accepting)
        {
            Request(accepting);
            port = run.MappedPortOf(InetEndpoint.Parse(accepting).Port);
        }
        run.Step($"{f.Name}: Request", () => RequestMapped(one));
        run.Step($"{f.Name}: Ack", () => run.Tell(f.Client, last.AsAccept(port).AsAck()));
        run.Step($"{f.Name}: Ack again", () => run.Tell(f.Client, last.AsAccept(port).AsAck()));
        run.Step($"{f.Name}: Ack of another handle", () => run.Tell(
            f.Client, last.AsAccept(port).AsAck() with { Handle = 0x778 }));
        run.Step($"{f.Name}: Request for the right port on another address", () => Request($"{f.Other}:5200"));
        run.Ask($"{f.Name}: ADD wildcard", Scene.Add(all));
        run.Step($"{f.Name}: Request for an address under the wildcard", () => RequestMapped($"{f.Local}:5201"));
        run.Step($"{f.Name}: Ack", () => run.Tell(f.Client, last.AsAccept(port).AsAck()));
        run.Step($"{f.Name}: Request for the wildcard", () => Request(all), "asked wildcard");
        run.Ask($"{f.Name}: ADD NO_PORT_MAP", Scene.Add($"{f.Local}:5202", flags: 1));
        run.Step($"{f.Name}: Request for it", () => RequestMapped($"{f.Local}:5202"));
        run.Step($"{f.Name}: Ack", () => run.Tell(f.Client, last.AsAccept(port).AsAck()));
        run.Ask($"{f.Name}: REMOVE it", Scene.Remove($"{f.Local}:5202"));
        run.Step($"{f.Name}: Request after the REMOVE", () => Request($"{f.Local}:5202"));
        run.Step(
            $"{f.Name}: Request of the draft's 48 bytes",
            () => run.Tell(f.Client, Peer.Bytes(Peer.Request(_handle++, from, one, mapped))[..48]), "48-byte Request");
        foreach (int length in (int[])[0, 1, 47, 49, 63, 65, 200])
        {
            run.Step(
                $"{f.Name}: {length} bytes",
                () => run.Tell(
                    f.Client,
                    ((byte[])[.. Peer.Bytes(Peer.Request(_handle++, from, one, mapped)), .. new byte[136]])[..length]),
                length > PeerMessage.RequestSize ? ["oversized datagram"] : []);
        }
        foreach (byte first in (byte[])[(byte)(f.Name == "v4" ? 0x44 : 0x46), 0x05, 0x00, 0x0f])
        {
            run.Step(
                $"{f.Name}: first byte {first:x2}",
                () => run.Tell(f.Client, [first, .. Peer.Bytes(Peer.Request(_handle++, from, one, mapped))[1..]]),
                first >> 6 == 1 ? ["unknown version"] : []);
        }
        run.Ask($"{f.Name}: REMOVE", Scene.Remove(one));
        run.Ask($"{f.Name}: REMOVE wildcard", Scene.Remove(all));
    }

    private void MixedFamilies()
    {
        run.Ask("mixed: ADD v6 wildcard", Scene.Add("[::]:5300"));
        run.Ask("mixed: ADD v4 of that port", Scene.Add("10.0.0.1:5300"), "families apart");
        run.Step(
            "mixed: v4 Request for that port",
            () => run.Tell("client", Peer.Request(_handle++, "10.0.0.2:7200", "10.0.0.1:5300", "10.0.0.2:7300")),
            "families apart");
        run.Ask("mixed: REMOVE v4", Scene.Remove("10.0.0.1:5300"), "families apart");
        run.Step(
            "mixed: v4 Request for the v6 wildcard's port",
            () => run.Tell("client", Peer.Request(_handle++, "10.0.0.2:7200", "10.0.0.1:5300", "10.0.0.2:7300")),
            "families apart");
        run.Ask("mixed: REMOVE v6", Scene.Remove("[::]:5300"));
        run.Ask("mixed: QUERY of v4 to v6", Scene.Query("10.0.0.1:5301", "[fd00::2]:80"), "mixed query");
        run.Ask("mixed: REMOVE of it", Scene.Remove("10.0.0.1:5301"), "mixed query");
    }

    private void UnvalidatedHosts()
    {
        (PeerMessage Message, IPEndPoint From) asked = (default, new IPEndPoint(IPAddress.None, 0));
        run.Step("other source: QUERY", () =>
        {
            run.Kernel.Send(Scene.Query("10.0.0.1:5400", "10.0.0.2:7400"));
            asked = run.TakeRequest("10.0.0.2");
        });
        run.Step(
            "other source: Accept that names another accepting address",
            () => run.Send(
                "10.0.0.2", asked.From,
                asked.Message.AsAccept(7500) with { Accepting = InetEndpoint.Parse("10.0.0.9:7500") }),
            "wrong address");
        run.Step(
            "other source: Accept from another address",
            () => run.Send("10.0.0.3", asked.From, asked.Message.AsAccept(7501)), "wrong address");
        run.Step(
            "other source: Accept of the asked", () => run.Send("10.0.0.2", asked.From, asked.Message.AsAccept(7501)));
        run.Ask("other source: REMOVE", Scene.Remove("10.0.0.1:5400"));
        run.Step(
            "other source: ADD of another process",
            () => run.Kernel.SendRaw(
                KernelBytes.Of(Scene.Add("10.0.0.1:5401") with { Client = 2, Sequence = 0x7000_0000 }), source: 4711),
            "netlink of processes");
        run.Step(
            "other source: REMOVE of another process",
            () => run.Kernel.SendRaw(
                KernelBytes.Of(Scene.Remove("10.0.0.1:5401") with { Client = 2, Sequence = 0x7000_0001 }),
                source: 4711),
            "netlink of processes");
        run.Step("nobody: QUERY to a host without a port mapper", () =>
        {
            uint sequence = run.Kernel.Send(Scene.Query("10.0.0.1:5402", "10.0.0.5:7400"));
            run.AwaitIfOurs(KernelReplyKind.QueryMapping, sequence);
        }, "unreachable peer");
        run.Ask("nobody: REMOVE", Scene.Remove("10.0.0.1:5402"), "unreachable peer");
    }

    private void Malformed()
    {
        byte[] Bytes(KernelRequest request) => KernelBytes.Of(run.Kernel.Announce(request));
        byte[] Short(KernelRequest request, int length) =>
            [.. BitConverter.GetBytes(length), .. Bytes(request)[4..length]];
        run.Step(
            "malformed: ADD of ABI 3",
            () => run.Kernel.SendRaw(KernelBytes.Of(run.Kernel.Announce(Scene.Add("10.0.0.1:5500")), abi: 3)),
            "missing FLAGS");
        run.Ask("malformed: REMOVE of it", Scene.Remove("10.0.0.1:5500"), "missing FLAGS");
        run.Step("malformed: two ADDs in a datagram", () => run.Kernel.SendRaw(
            (byte[])[.. Bytes(Scene.Add("10.0.0.1:5501")), .. Bytes(Scene.Add("10.0.0.1:5502"))]));
        run.Step("malformed: an unknown operation", () => run.Kernel.SendRaw(
            KernelBytes.Message((2 << 10) + 9, 1, run.Kernel.NewSequence(), 0, new byte[8])));
        run.Step("malformed: a NOOP", () => run.Kernel.SendRaw(KernelBytes.Message(1, 0, 0, 0, [])));
        run.Step("malformed: ADD without an address", () => run.Kernel.SendRaw(Short(Scene.Add("10.0.0.1:5503"), 24)));
        run.Step("malformed: QUERY without a remote address", () => run.Kernel.SendRaw(
            Short(Scene.Query("10.0.0.1:5504", "10.0.0.2:80"), 24 + 132)));
        run.Step(
            "malformed: a bad message before a good one",
            () => run.Kernel.SendRaw(
                (byte[])[.. Short(Scene.Add("10.0.0.1:5505"), 24), .. Bytes(Scene.Add("10.0.0.1:5506"))]),
            "neighbours of a bad message");
        run.Step("malformed: a length beyond the datagram", () => run.Kernel.SendRaw(
            [.. BitConverter.GetBytes(5000), .. Bytes(Scene.Remove("10.0.0.1:5501"))[4..]]));
        run.Step(
            "malformed: REMOVE without an address", () => run.Kernel.SendRaw(Short(Scene.Remove("10.0.0.1:5501"), 24)),
            "nobody waits");
        run.Step(
            "malformed: MAPINFO of two families",
            () => run.Kernel.SendRaw(
                Bytes(Scene.Mapped("10.0.0.1:5507", 25507) with { Mapped = InetEndpoint.Parse("[fd00::1]:25507") })),
            "nobody waits");
        run.Step(
            "malformed: MAPINFO without an address",
            () => run.Kernel.SendRaw(Short(Scene.Mapped("10.0.0.1:5507", 25507), 16 + 132)), "nobody waits");
        run.Step(
            "malformed: ADD without SEQ", () => run.Kernel.SendRaw(WithoutFirst(Bytes(Scene.Add("10.0.0.1:5508")), 8)),
            "missing SEQ");
        run.Step(
            "malformed: ADD with stray bytes", () => run.Kernel.SendRaw(WithStray(Bytes(Scene.Add("10.0.0.1:5509")))));
        run.Step(
            "malformed: ADD behind a DONE",
            () => run.Kernel.SendRaw(
                (byte[])[.. KernelBytes.Message(RawNetlink.Done, 2, 0, 0, new byte[4]), .. Bytes(Scene.Add(
                    "10.0.0.1:5510"))]),
            "behind a DONE");
        run.Watch(25511);
        run.Step(
            "malformed: MAPINFO of a client that was not asked",
            () => run.Kernel.SendRaw(KernelBytes.Of(Scene.Mapped("10.0.0.1:5511", 25511) with { Client = 3 })),
            "unasked client");
        run.Ask("malformed: REMOVE 5511", Scene.Remove("10.0.0.1:5511") with { Client = 3 }, "unasked client");
        foreach (int port in (int[])[5501, 5502, 5503, 5504, 5505, 5506, 5508, 5509, 5510])
        {
            run.Ask($"malformed: REMOVE {port}", Scene.Remove($"10.0.0.1:{port}"), port switch
            {
                5506 => ["neighbours of a bad message"],
                5508 => ["missing SEQ"],
                5510 => ["behind a DONE"],
                _ => [],
            });
        }
        byte[] request = Peer.Bytes(Peer.Request(_handle++, "10.0.0.2:7200", "10.0.0.1:5599", "10.0.0.2:7300"));
        run.Step("malformed: v4 Request in a v6 packet", () => run.Tell("client6", request), "ip version");
        byte[] lasting =
            [
                request[0], 7,
                .. Peer.Bytes(Peer.Request(_handle++, "10.0.0.2:7200", "10.0.0.1:5599", "10.0.0.2:7300"))[2..],
            ];
        run.Step("malformed: Request with a PmTime", () => run.Tell("client", lasting), "PmTime");
        var number = new KernelRequest { Operation = KernelOperation.MapInfoNumber, Number = 7 };
        run.Step(
            "malformed: MAPINFO_NUM without a number", () => run.Kernel.SendRaw(Short(number, 24)), "nobody waits");
        var hello = new KernelRequest { Operation = KernelOperation.Hello, Number = 9 };
        run.Step("malformed: HELLO without a version", () => run.Kernel.SendRaw(Short(hello, 16)), "nobody waits");
        run.Step(
            "malformed: HELLO of an unknown version that was not asked for", () => run.Kernel.SendRaw(Bytes(hello)),
            "unknown HELLO");
        run.Step("REG_PID after that", Register);
    }

    /// <summary>The message without so many bytes behind its header.</summary>
    private static byte[] WithoutFirst(byte[] message, int count) =>
        [.. BitConverter.GetBytes(message.Length - count), .. message[4..16], .. message[(16 + count)..]];

    private static byte[] WithStray(byte[] message) =>
        [.. BitConverter.GetBytes(message.Length + 3), .. message[4..], 1, 2, 3, 0];

    /// <summary>
    /// The addresses of one family: own, wildcard, the peer's, another that is nobody's, and the peer socket that asks.
    /// </summary>
    private sealed record Family(
        string Name, string Local, string Wildcard, string Remote, string Other, string Client);
}

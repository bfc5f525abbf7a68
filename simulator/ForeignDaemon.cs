// SPDX-License-Identifier: MIT
using Iwpmd.Os;
using Iwpmd.Wire;

namespace Iwpmd.Simulation;

/// <summary>
/// rdma-core's port mapper on a host, as far as others see it: it answers from the address that routing picks, sends an
/// Accept each second until the Ack comes, ten times at most, takes no notice of copies of a Request, and asks each
/// second, ten times at most.
/// </summary>
/// <param name="send">What becomes of its messages; null: the network has them.</param>
internal sealed class ForeignDaemon(Machine machine, Action<PeerMessage, InetEndpoint>? send = null) : IForeignDaemon
{
    private const int Tries = 10;
    private static readonly TimeSpan s_pause = TimeSpan.FromSeconds(1);

    private readonly HashSet<(ulong, InetEndpoint)> _accepted = [];
    private readonly Dictionary<ulong, Endpoint> _asked = [];
    private ulong _handle = 0x7f0000001000;

    /// <summary>Its listeners: mapped port by port.</summary>
    public Dictionary<ushort, ushort> Listeners { get; } = [];

    public void Ask(Machine to, InetEndpoint remote)
    {
        InetEndpoint local = machine.Addresses.First(one => one.Family == remote.Family).WithPort(
            (ushort)(20000 + machine.World.Dice.Next(20000)));
        InetEndpoint mapped = local.WithPort((ushort)(60000 + machine.World.Dice.Next(5000)));
        Ask(new PeerMessage(PeerMessageType.Request, _handle += 0x40, local, remote, mapped));
    }

    public void Ask(PeerMessage request)
    {
        _asked[request.Handle] = new Endpoint(request.Connecting, request.Accepting, noPortMap: false, device: 0)
        {
            State = EndpointState.Up, MappedLocal = request.MappedConnecting, AskedAt = machine.World.Now,
        };
        Repeat(
            request, request.Accepting.WithPort(3935), () => _asked.ContainsKey(request.Handle), Tries,
            () => _asked.Remove(request.Handle));
    }

    public void Receive(Datagram datagram)
    {
        if (!PeerMessage.TryParse(datagram.Bytes, out PeerMessage message, out _))
        {
            throw machine.World.Fail(machine, "a peer's message cannot be read");
        }
        switch (message.Type)
        {
            case PeerMessageType.Request:
                OnRequest(datagram, message);
                break;
            case PeerMessageType.Accept:
                OnAccept(datagram, message);
                break;
            case PeerMessageType.Ack:
                _accepted.Remove((message.Handle, message.Connecting));
                break;
            case PeerMessageType.Reject:
                _asked.Remove(message.Handle);
                break;
        }
    }

    private void OnRequest(Datagram datagram, PeerMessage message)
    {
        if (!Listeners.TryGetValue(message.Accepting.Port, out ushort mapped))
        {
            Send(message.AsReject(), datagram.From);
        }
        else if (_accepted.Add((message.Handle, message.Connecting)))
        {
            Repeat(
                message.AsAccept(mapped), datagram.From, () => _accepted.Contains((message.Handle, message.Connecting)),
                Tries, () => { });
        }
    }

    private void OnAccept(Datagram datagram, PeerMessage message)
    {
        Send(message.AsAck(), datagram.From);
        if (_asked.Remove(message.Handle, out Endpoint? endpoint))
        {
            endpoint.MappedRemote = endpoint.Remote.WithPort(message.Accepting.Port);
            machine.World.Network.Connect(machine, endpoint);
        }
    }

    private void Repeat(PeerMessage message, InetEndpoint to, Func<bool> isWanted, int tries, Action given)
    {
        if (!isWanted())
        {
            return;
        }
        if (tries == 0)
        {
            given();
            return;
        }
        Send(message, to);
        machine.World.After(s_pause, () => Repeat(message, to, isWanted, tries - 1, given));
    }

    private void Send(in PeerMessage message, InetEndpoint to)
    {
        if (send is not null)
        {
            send(message, to);
            return;
        }
        byte[] bytes = new byte[PeerMessage.RequestSize];
        int length = message.Write(bytes);
        InetEndpoint[] own = Array.FindAll(machine.Addresses, one => one.Family == to.Family);
        InetEndpoint by = machine.World.Network.IsAsymmetric ? own[^1] : own[0];
        machine.World.Network.Fly(machine, null, new Datagram(bytes[..length], by.WithPort(3935), to));
    }
}

// SPDX-License-Identifier: MIT
using Iwpmd.Os;
using Iwpmd.Wire;

namespace Iwpmd.Simulation;

/// <summary>Whoever is on a host in the place of our daemon.</summary>
internal interface IForeignDaemon
{
    void Receive(Datagram datagram);
}

/// <summary>
/// What carries datagrams, or loses, copies, delays and reorders them, and connections, which it does not.
/// </summary>
internal sealed class Network(World world)
{
    public double Loss { get; set; }

    public double Copies { get; set; }

    public TimeSpan MostDelay { get; set; } = TimeSpan.FromMilliseconds(1);

    /// <summary>Hosts that nobody reaches.</summary>
    public HashSet<Machine> CutOff { get; } = [];

    /// <summary>Answers leave by another address than was asked.</summary>
    public bool IsAsymmetric { get; set; }

    /// <summary>What is said of a datagram for a host without a port mapper: code of ICMP; -1 is nothing.</summary>
    public int UnreachableCode { get; set; } = 3;

    public Errno Send(UdpEnd from, byte[] bytes, in InetEndpoint to, in InetEndpoint source)
    {
        InetEndpoint asked = to;
        InetEndpoint[] own = Array.FindAll(from.Machine.Addresses, address => address.Family == asked.Family);
        if (own.Length == 0)
        {
            return Errno.ENETUNREACH;
        }
        InetEndpoint routed = IsAsymmetric ? own[^1] : own[0];
        InetEndpoint by = (source.Family == IpFamily.None ? routed : source).WithPort(from.Port);
        Fly(from.Machine, from, new Datagram(bytes, by, to));
        return Errno.None;
    }

    public void Fly(Machine sender, UdpEnd? end, Datagram datagram)
    {
        Dice dice = world.Dice;
        for (int copies = dice.Chance(Copies) ? 2 : 1; copies > 0; copies--)
        {
            if (dice.Chance(Loss))
            {
                world.Tell($"{sender.Name} -> {datagram.To}: lost");
                continue;
            }
            world.After(dice.Time(TimeSpan.FromMicroseconds(20), MostDelay), () => Arrive(sender, end, datagram));
        }
    }

    /// <summary>A connection of this endpoint, which is up, comes to the host that it wants.</summary>
    public void Connect(Machine from, Endpoint endpoint) =>
        world.After(world.Dice.Time(TimeSpan.FromMicroseconds(50), TimeSpan.FromMilliseconds(2)), () =>
        {
            Machine? to = Find(endpoint.Remote);
            if (endpoint.State == EndpointState.Up && to is not null)
            {
                Checks.OnConnection(from, to, endpoint);
            }
        });

    public Machine? Find(InetEndpoint address) =>
        world.Machines.Find(one => Array.Exists(one.Addresses, own => own.SameAddress(address)));

    private void Arrive(Machine sender, UdpEnd? end, Datagram datagram)
    {
        Machine? to = Find(datagram.To);
        bool isCut = CutOff.Contains(sender) || (to is not null && CutOff.Contains(to));
        if (to is null || isCut)
        {
            if (isCut && world.Dice.Chance(0.5))
            {
                SayUnreachable(end, datagram, world.Dice.Of<int>([0, 1, 13]), TimeSpan.FromSeconds(3));
            }
            return;
        }
        if (to.Foreign is IForeignDaemon foreign)
        {
            foreign.Receive(datagram);
        }
        else if (to.Udp.TryGetValue((datagram.To.Family, datagram.To.Port), out UdpEnd? target))
        {
            target.Deliver(datagram);
        }
        else if (UnreachableCode >= 0)
        {
            SayUnreachable(end, datagram, UnreachableCode, TimeSpan.FromMilliseconds(1));
        }
    }

    private void SayUnreachable(UdpEnd? end, Datagram datagram, int code, TimeSpan after)
    {
        if (end is null || world.Dice.Chance(Loss))
        {
            return;
        }
        bool isV6 = datagram.To.Family == IpFamily.V6;
        var error =
            new UdpError(
                datagram.To, Errno.ECONNREFUSED, isV6 ? (byte)3 : (byte)2, isV6 ? (byte)1 : (byte)3, (byte)code,
                datagram.Bytes.Length) { Source = datagram.To };
        world.After(after, () => end.DeliverError(error, datagram.Bytes));
    }
}

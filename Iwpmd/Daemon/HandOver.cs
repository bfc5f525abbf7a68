// SPDX-License-Identifier: MIT
using System.Text;
using Iwpmd.Core;
using Iwpmd.Os;
using Microsoft.Extensions.Logging;

namespace Iwpmd.Daemon;

/// <summary>All that a daemon holds and a next one can go on with; without a file the state ends with the process.</summary>
internal sealed record Holdings(NetlinkSocket Netlink, PeerSockets Peers, TcpPorts Ports, StateLayout State, StateFile? File, StateOrigin Origin);

/// <summary>
/// Gives what this daemon holds to the next one: to the service manager's store, or over a socket to a daemon that was started with --takeover.
/// Port sockets go in a carrier, in flight: a store compares each of its descriptors with every other, and thousands would keep the manager busy for minutes.
/// <code>
///  next      running
///   REQUEST --->
///           <---  PART (descriptors: netlink, UDP, state file)
///           <---  PART (up to 253 TCP sockets), as often as need be
///           <---  END (number of descriptors, 4 bytes)
///   RECEIPT --->          until it comes the running one goes on when anything is wrong
///           <---  GO      it touches nothing any more, and ends
/// </code>
/// </summary>
internal sealed class HandOver : IDisposable
{
    public const byte Request = (byte)'T', Part = (byte)'P', End = (byte)'E', Receipt = (byte)'R', Go = (byte)'G';

    /// <summary>Of another kind, by <c>iwpmd reload</c>: a configuration, as its path, a zero and its text; the answer is one of the others and what is to be said.</summary>
    public const byte Reload = (byte)'C', Accepted = (byte)'A', Refused = (byte)'N';

    /// <summary>A configuration and its path are not longer, nor what is said about them.</summary>
    public const int MostText = 256 * 1024;

    /// <summary>What is in flight is charged to the sender: some 900 bytes a message.</summary>
    public const int SendBuffer = 4 * 1024 * 1024;

    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(3);

    private const string NetlinkName = "netlink", UdpName = "udp", PortsName = "ports";

    private readonly Holdings _holdings;
    private readonly ILogger _log;

    public HandOver(Holdings holdings, string directory, ILogger log)
    {
        (_holdings, _log) = (holdings, log);
        if (holdings.File is null)
        {
            return; // without its state nothing can be gone on with
        }
        Errno error = UnixMessageSocket.Listen(PathIn(directory), out int fd);
        Fd = fd;
        if (error != Errno.None)
        {
            Log.HandOverFailed(log, $"listening at {PathIn(directory)}", error, "--takeover will not find this daemon");
        }
    }

    /// <summary>Readable when a next daemon asks; -1 when none can.</summary>
    public int Fd { get; private set; } = -1;

    public static string PathIn(string directory) => Path.Combine(directory, "takeover");

    /// <summary>Has the manager keep the sockets from now on: they survive whatever becomes of this process.</summary>
    public void Store(SystemdNotify notify)
    {
        _ = notify.Drop(PortsName); // they were taken out
        _ = notify.Drop(UdpName);
        _ = notify.Drop(NetlinkName);
        Errno error = notify.Store(NetlinkName, _holdings.Netlink.Fd);
        foreach (UdpSocket socket in _holdings.Peers.All)
        {
            error = error != Errno.None ? error : notify.Store(UdpName, socket.Fd);
        }
        Complain("storing sockets", error);
    }

    /// <summary>Before an orderly end: the claimed ports too. The manager drops all of it when the unit stays stopped.</summary>
    public void StorePorts(SystemdNotify notify)
    {
        int[] fds = _holdings.Ports.Descriptors();
        if (fds.Length == 0 || !notify.IsActive)
        {
            return;
        }
        Errno error = UnixMessageSocket.OpenPair(SendBuffer, out int mine, out int carrier);
        error = error != Errno.None ? error : Load(mine, fds);
        if (mine >= 0)
        {
            SocketFd.Close(mine);
            error = error != Errno.None ? error : notify.Store(PortsName, carrier);
            error = error != Errno.None ? error : notify.AwaitManager(Patience);
            SocketFd.Close(carrier);
        }
        if (error == Errno.None)
        {
            Log.HandedOver(_log, fds.Length, "the service manager");
        }
        Complain("storing ports", error);
    }

    /// <summary>Puts a configuration in force; null where none can be.</summary>
    public Reconfiguration? Reconfiguration { get; set; }

    /// <summary>Waits for who connected to say what is wanted: true for a next daemon that may have all; what else is asked for is answered here.</summary>
    public bool TryAccept(out int connection)
    {
        Errno error = UnixMessageSocket.Accept(Fd, SendBuffer, out connection, out uint user);
        if (error != Errno.None)
        {
            return false;
        }
        // The owner of the file is another user than ours when root prepared the directory for one, as a service manager does.
        byte[] text = new byte[MostText];
        int length = 0;
        bool isHeard = (user == 0 || user == Limits.UserId || _holdings.File!.IsOwnedBy(user)) && TryHear(connection, text, out length);
        if (isHeard && text[0] == Request)
        {
            return true;
        }
        if (isHeard && text[0] == Reload && length < MostText && Reconfiguration is not null) // a longer one is cut
        {
            Reconfigure(connection, Encoding.UTF8.GetString(text, 1, length - 1));
        }
        else
        {
            Log.HandOverFailed(_log, $"a request of user {user}", Errno.NotPermitted, "it is refused");
        }
        SocketFd.Close(connection);
        return false;
    }

    private void Reconfigure(int connection, string request)
    {
        string[] parts = request.Split('\0', 2);
        string said = Reconfiguration!.Apply(parts[0], parts[^1], out bool isAccepted);
        byte[] answer = [isAccepted ? Accepted : Refused, .. Encoding.UTF8.GetBytes(said)];
        _ = PassedFds.Send(connection, answer.AsSpan(0, Math.Min(answer.Length, MostText)), [], Patience);
    }

    /// <summary>Gives everything away; true when the next daemon has it all and this one must end without touching anything. Closes the connection.</summary>
    public bool TryGive(int connection)
    {
        _holdings.State.Header.EndedAt = Clock.Now.Ticks;
        int[] fds = _holdings.Ports.Descriptors();
        List<int> sockets = [_holdings.Netlink.Fd, .. Array.ConvertAll(_holdings.Peers.All.ToArray(), s => s.Fd), _holdings.File!.Fd];
        Errno error = PassedFds.Send(connection, [Part], [.. sockets], Patience);
        error = error != Errno.None ? error : Load(connection, fds);
        Span<byte> end = [End, 0, 0, 0, 0];
        BitConverter.TryWriteBytes(end[1..], sockets.Count + fds.Length);
        error = error != Errno.None ? error : PassedFds.Send(connection, end, [], Patience);
        bool given = error == Errno.None && TryHear(connection, Receipt) && PassedFds.Send(connection, [Go], [], Patience) == Errno.None;
        if (given)
        {
            Log.HandedOver(_log, fds.Length, "the daemon that asked for them");
            Leave();
        }
        else
        {
            _holdings.State.Header.EndedAt = 0;
            Log.HandOverFailed(_log, "hand-over to another daemon", error == Errno.None ? Errno.TimedOut : error, "it was broken off: this daemon goes on serving");
        }
        SocketFd.Close(connection);
        return given;
    }

    public void Dispose()
    {
        if (Fd >= 0)
        {
            Leave(); // its name stays, since the sandbox takes no file away: who connects to it is refused, and the next daemon replaces it
        }
    }

    /// <summary>True when the other end's next message is <paramref name="kind"/>.</summary>
    public static bool TryHear(int connection, byte kind)
    {
        Span<byte> text = stackalloc byte[8];
        return TryHear(connection, text, out _) && text[0] == kind;
    }

    private static bool TryHear(int connection, Span<byte> text, out int length)
    {
        length = 0;
        return SocketFd.WaitReadable(connection, Patience) && PassedFds.Receive(connection, text, [], out length, out _) == Errno.None && length > 0;
    }

    private static Errno Load(int carrier, ReadOnlySpan<int> fds)
    {
        Errno error = Errno.None;
        for (int at = 0; at < fds.Length && error == Errno.None; at += PassedFds.MostAtOnce)
        {
            error = PassedFds.Send(carrier, [Part], fds.Slice(at, Math.Min(PassedFds.MostAtOnce, fds.Length - at)), Patience);
        }
        return error;
    }

    private void Leave()
    {
        SocketFd.Close(Fd);
        Fd = -1;
    }

    private void Complain(string step, Errno error)
    {
        if (error != Errno.None)
        {
            Log.HandOverFailed(_log, step, error, "the next daemon claims the ports anew");
        }
    }
}

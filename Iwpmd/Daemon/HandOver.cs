// SPDX-License-Identifier: MIT
using System.Text;
using Iwpmd.Core;
using Iwpmd.Os;
using Iwpmd.State;
using Microsoft.Extensions.Logging;

namespace Iwpmd.Daemon;

/// <summary>All that a daemon holds and a next one can go on with; without a file the state ends with the process.</summary>
internal sealed record Holdings(NetlinkSocket Netlink, PeerSockets Peers, TcpPorts Ports, StateLayout State, StateFile? File, StateOrigin Origin)
{
    public Heartbeat Heartbeat { get; } = new(State);
}

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

    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(3);

    private const string NetlinkName = "netlink", UdpName = "udp", PortsName = "ports";

    private readonly Holdings _holdings;
    private readonly RequestListener _listener;
    private readonly ILogger _log;

    public HandOver(Holdings holdings, string directory, ILogger log)
    {
        (_holdings, _log) = (holdings, log);
        _listener = new RequestListener(IsPermitted, MostText, log);
        if (holdings.File is null)
        {
            return; // without its state nothing can be gone on with
        }
        Errno error = _listener.Open(PathIn(directory));
        if (error != Errno.None)
        {
            Log.HandOverFailed(log, $"listening at {PathIn(directory)}", error, "--takeover will not find this daemon");
        }
    }

    /// <summary>The loop calls <see cref="TryHear"/> for this token.</summary>
    public Errno Watch(Epoll epoll, int token) => _listener.Watch(epoll, token);

    /// <summary>At every wake-up. Returns when to be called next at the latest.</summary>
    public TimeSpan Advance(TimeSpan now) => _listener.Advance(now);

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
        Errno error = UnixMessageSocket.OpenPair(RequestListener.SendBuffer, out int mine, out int carrier);
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

    /// <summary>True when a next daemon asks for all; what else is asked for is answered here.</summary>
    public bool TryHear(TimeSpan now)
    {
        if (!_listener.TryHear(now, out ReadOnlySpan<byte> text))
        {
            return false;
        }
        if (text[0] == Request)
        {
            return true;
        }
        if (text[0] == Reload && Reconfiguration is not null)
        {
            Reconfigure(Encoding.UTF8.GetString(text[1..]));
            _listener.EndConnection();
        }
        else
        {
            _listener.Refuse("not understood: is it of another version?");
        }
        return false;
    }

    /// <summary>
    /// The owner of the file is another user than ours when root prepared the directory for one, as a service manager
    /// does.
    /// </summary>
    private bool IsPermitted(uint user) =>
        user == 0 || user == Limits.UserId || _holdings.File!.IsOwnedBy(user);

    private void Reconfigure(string request)
    {
        string[] parts = request.Split('\0', 2);
        string said = Reconfiguration!.Apply(parts[0], parts[^1], out bool isAccepted);
        byte[] answer = [isAccepted ? Accepted : Refused, .. Encoding.UTF8.GetBytes(said)];
        _ = PassedFds.Send(_listener.Connection, answer.AsSpan(0, Math.Min(answer.Length, MostText)), [], Patience);
    }

    /// <summary>
    /// Gives everything away; true when the next daemon has it all and this one must end without touching anything.
    /// </summary>
    public bool TryGive()
    {
        int connection = _listener.Connection;
        _holdings.Heartbeat.End();
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
            _listener.Dispose();
        }
        else
        {
            _holdings.Heartbeat.TakeBackEnd();
            Errno cause = error == Errno.None ? Errno.TimedOut : error;
            Log.HandOverFailed(_log, "handover to another daemon", cause, "aborted: this daemon continues to serve");
            _listener.EndConnection();
        }
        return given;
    }

    public void Dispose() => _listener.Dispose();

    /// <summary>True when the other end's next message is <paramref name="kind"/>.</summary>
    public static bool TryHear(int connection, byte kind)
    {
        Span<byte> text = stackalloc byte[8];
        return SocketFd.WaitReadable(connection, Patience)
            && PassedFds.Receive(connection, text, [], out int length, out _) == Errno.None
            && length > 0 && text[0] == kind;
    }

    private static Errno Load(int carrier, ReadOnlySpan<int> fds)
    {
        Errno error = Errno.None;
        for (int at = 0; at < fds.Length && error == Errno.None; at += PassedFds.MaxFds)
        {
            error = PassedFds.Send(carrier, [Part], fds.Slice(at, Math.Min(PassedFds.MaxFds, fds.Length - at)), Patience);
        }
        return error;
    }

    private void Complain(string step, Errno error)
    {
        if (error != Errno.None)
        {
            Log.HandOverFailed(_log, step, error, "the next daemon claims the ports again");
        }
    }
}

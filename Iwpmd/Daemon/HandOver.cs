// SPDX-License-Identifier: MIT
using System.Text;
using Iwpmd.Core;
using Iwpmd.Os;
using Iwpmd.State;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;

namespace Iwpmd.Daemon;

/// <summary>
/// The resources of a daemon that the next one can continue with; without a file the state ends with the process.
/// </summary>
internal sealed record DaemonResources(
    NetlinkSocket Netlink, PeerSockets Peers, TcpPorts Ports, StateLayout State, StateFile? File, StateOrigin Origin)
{
    public Heartbeat Heartbeat { get; } = new(State);
}

/// <summary>
/// Passes the resources of this daemon to the next one: to the service manager's store, or over a socket to a daemon
/// that was started with --takeover. Port sockets are in flight in another socket, the carrier: the store compares each
/// of its descriptors with every other, and thousands would keep the manager busy for minutes.
/// <code>
///  next      running
///   REQUEST --->
///           <---  PART (descriptors: netlink, UDP, state file)
///           <---  PART (up to 253 TCP sockets), repeated
///           <---  END (number of descriptors, 4 bytes)
///   RECEIPT --->          before it the running daemon continues on any failure
///           <---  GO      it changes nothing any more, and ends
/// </code>
/// </summary>
internal sealed class HandOver : IDisposable
{
    public const byte Request = (byte)'T', Part = (byte)'P', End = (byte)'E', Receipt = (byte)'R', Go = (byte)'G';

    /// <summary>
    /// From <c>iwpmd reload</c>: a configuration, as its path, a zero and its text; the answer is one of the other two
    /// and a text.
    /// </summary>
    public const byte Reload = (byte)'C', Accepted = (byte)'A', Refused = (byte)'N';

    /// <summary>A configuration and its path are not longer, nor the answer.</summary>
    public const int MaxText = 256 * 1024;

    public static readonly TimeSpan Timeout = TimeSpan.FromSeconds(3);

    private const string NetlinkName = "netlink", UdpName = "udp", PortsName = "ports";

    private readonly DaemonResources _resources;
    private readonly RequestListener _listener;
    private readonly ILogger _log;

    public HandOver(DaemonResources resources, string directory, ILogger log)
    {
        (_resources, _log) = (resources, log);
        _listener = new RequestListener(IsPermitted, MaxText, log);
        if (resources.File is null)
        {
            return; // without its state there is nothing to take over
        }
        Errno error = _listener.Open(PathIn(directory), StateLoader.UserOf(directory));
        if (error != Errno.None)
        {
            Log.HandOverFailed(
                log, $"listening at {PathIn(directory)}", error.Text(),
                "neither --takeover nor a reload reaches this daemon: restart it");
        }
    }

    /// <summary>The loop calls <see cref="TryHear"/> for this token.</summary>
    public Errno Watch(Epoll epoll, int token) => _listener.Watch(epoll, token);

    /// <summary>At every wake-up. Returns the latest time of the next call.</summary>
    public TimeSpan Advance(TimeSpan now) => _listener.Advance(now);

    public static string PathIn(string directory) => Path.Combine(directory, "takeover");

    /// <summary>Stores the sockets at the manager: they survive any end of this process.</summary>
    public void Store(SystemdNotify notify)
    {
        _ = notify.Drop(PortsName); // they were retrieved at start
        _ = notify.Drop(UdpName);
        _ = notify.Drop(NetlinkName);
        Errno error = notify.Store(NetlinkName, _resources.Netlink.Fd);
        foreach (UdpSocket socket in _resources.Peers.All)
        {
            error = error != Errno.None ? error : notify.Store(UdpName, socket.Fd);
        }
        LogFailure("storing sockets", error);
    }

    /// <summary>Before a stop: the claimed ports too. The manager drops them when the unit stays stopped.</summary>
    public void StorePorts(SystemdNotify notify)
    {
        int[] fds = _resources.Ports.Descriptors();
        if (fds.Length == 0 || !notify.IsActive)
        {
            return;
        }
        Errno error = UnixMessageSocket.OpenPair(RequestListener.SendBuffer, out int mine, out int carrier);
        error = error != Errno.None ? error : SendDescriptors(mine, fds);
        if (mine >= 0)
        {
            SocketFd.Close(mine);
            error = error != Errno.None ? error : notify.Store(PortsName, carrier);
            error = error != Errno.None ? error : notify.AwaitManager(Timeout);
            SocketFd.Close(carrier);
        }
        if (error == Errno.None)
        {
            Log.HandedOver(_log, fds.Length, "the service manager");
        }
        LogFailure("storing ports", error);
    }

    /// <summary>Applies a configuration; null when that is not possible.</summary>
    public Reconfiguration? Reconfiguration { get; set; }

    /// <summary>True when the next daemon requests a takeover; other requests are answered here.</summary>
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
    /// The file's owner can be another user than ours: a service manager, as root, prepares the directory for one.
    /// </summary>
    private bool IsPermitted(uint user) =>
        user == 0 || user == Limits.UserId || user == _resources.File!.Owner;

    private void Reconfigure(string request)
    {
        string[] parts = request.Split('\0', 2);
        string said = Reconfiguration!.Apply(parts[0], parts[^1], out bool isAccepted);
        byte[] answer = [isAccepted ? Accepted : Refused, .. Encoding.UTF8.GetBytes(said)];
        _ = PassedFds.Send(_listener.Connection, answer.AsSpan(0, Math.Min(answer.Length, MaxText)), [], Timeout);
    }

    /// <summary>
    /// Passes all resources; true when the next daemon has them and this one must end without changing anything.
    /// </summary>
    public bool TryGive()
    {
        int connection = _listener.Connection;
        _resources.Heartbeat.End();
        int[] fds = _resources.Ports.Descriptors();
        int[] udp = Array.ConvertAll(_resources.Peers.All.ToArray(), socket => socket.Fd);
        List<int> sockets = [_resources.Netlink.Fd, .. udp, _resources.File!.Fd];
        Errno error = PassedFds.Send(connection, [Part], [.. sockets], Timeout);
        error = error != Errno.None ? error : SendDescriptors(connection, fds);
        Span<byte> end = [End, 0, 0, 0, 0];
        BitConverter.TryWriteBytes(end[1..], sockets.Count + fds.Length);
        error = error != Errno.None ? error : PassedFds.Send(connection, end, [], Timeout);
        bool given = error == Errno.None && TryHear(connection, Receipt)
            && PassedFds.Send(connection, [Go], [], Timeout) == Errno.None;
        if (given)
        {
            Log.HandedOver(_log, fds.Length, "the daemon that asked for them");
            _listener.Dispose();
        }
        else
        {
            _resources.Heartbeat.TakeBackEnd();
            Errno cause = error == Errno.None ? Errno.ETIMEDOUT : error;
            Log.HandOverFailed(
                _log, "handover to another daemon", cause.Text(), "aborted: this daemon continues to serve");
            _listener.EndConnection();
        }
        return given;
    }

    public void Dispose() => _listener.Dispose();

    /// <summary>True when the other end's next message is <paramref name="kind"/>.</summary>
    public static bool TryHear(int connection, byte kind)
    {
        Span<byte> text = stackalloc byte[8];
        return SocketFd.WaitReadable(connection, Timeout)
            && PassedFds.Receive(connection, text, [], out int length, out _) == Errno.None
            && length > 0 && text[0] == kind;
    }

    private static Errno SendDescriptors(int carrier, ReadOnlySpan<int> fds)
    {
        Errno error = Errno.None;
        for (int at = 0; at < fds.Length && error == Errno.None; at += PassedFds.MaxFds)
        {
            error = PassedFds.Send(
                carrier, [Part], fds.Slice(at, Math.Min(PassedFds.MaxFds, fds.Length - at)), Timeout);
        }
        return error;
    }

    private void LogFailure(string step, Errno error)
    {
        if (error != Errno.None)
        {
            Log.HandOverFailed(_log, step, error.Text(), "the next daemon claims the ports again");
        }
    }
}

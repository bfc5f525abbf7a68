// SPDX-License-Identifier: MIT
using Iwpmd.Os;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;

namespace Iwpmd.Daemon;

/// <summary>
/// The socket for requests of other processes of this host, one at a time: the next one waits in the kernel's queue.
/// It never blocks: the loop calls it when a request arrived, or at its time.
/// </summary>
internal sealed class RequestListener(Func<uint, bool> isPermitted, int maxText, ILogger log) : IDisposable
{
    /// <summary>Data in flight is charged to the sender: some 900 bytes per message.</summary>
    public const int SendBuffer = 4 * 1024 * 1024;

    /// <summary>How long a client may take to send its request.</summary>
    private static readonly TimeSpan RequestTimeout = TimeSpan.FromSeconds(1);

    /// <summary>The pause after accept failed.</summary>
    private static readonly TimeSpan AcceptPause = TimeSpan.FromSeconds(2);

    private byte[]? _text; // most daemons are never asked, and a start with it collects garbage
    private Epoll? _epoll;
    private int _token;
    private int _listening = -1;
    private int _reserve = -1; // closed for a connection when no other descriptor is free
    private bool _isTold;
    private uint _user;
    private TimeSpan _actAt = TimeSpan.MaxValue;

    /// <summary>The connection of the last request, until <see cref="EndConnection"/>; -1 is none.</summary>
    public int Connection { get; private set; } = -1;

    public Errno Open(string path, uint owner)
    {
        Errno error = UnixMessageSocket.Listen(path, owner, out _listening);
        _reserve = error == Errno.None ? SocketFd.Duplicate(_listening) : -1;
        return error;
    }

    /// <summary>From now on the loop calls <see cref="TryHear"/> for this token.</summary>
    public Errno Watch(Epoll epoll, int token)
    {
        (_epoll, _token) = (epoll, token);
        return _listening < 0 ? Errno.None : epoll.Add(_listening, token);
    }

    /// <summary>
    /// At every wake-up: ends a connection without a request, or a pause. Returns the latest time of the next call.
    /// </summary>
    public TimeSpan Advance(TimeSpan now)
    {
        if (now >= _actAt && Connection >= 0)
        {
            Refuse("it is empty");
        }
        else if (now >= _actAt)
        {
            Listen();
        }
        return _actAt;
    }

    /// <summary>True when a permitted client has sent a request, in <paramref name="text"/>.</summary>
    public bool TryHear(TimeSpan now, out ReadOnlySpan<byte> text)
    {
        text = [];
        if (Connection < 0 && !TryAccept(now))
        {
            return false;
        }
        _text ??= new byte[maxText];
        Errno error = PassedFds.Receive(Connection, _text, [], out int length, out _);
        if (error == Errno.EAGAIN)
        {
            return false;
        }
        _actAt = TimeSpan.MaxValue;
        if (length == 0 || length == maxText)
        {
            Refuse(length == 0 ? "it ended without a message" : $"it is longer than {maxText - 1} bytes");
            return false;
        }
        text = _text.AsSpan(0, length);
        return true;
    }

    /// <summary>Logs why the request is refused, and ends the connection.</summary>
    public void Refuse(string reason)
    {
        Log.RequestRefused(log, _user, reason);
        EndConnection();
    }

    /// <summary>Continues with the next one.</summary>
    public void EndConnection()
    {
        CloseAll(Connection);
        Connection = -1;
        Listen();
    }

    /// <summary>
    /// The name stays, since the sandbox permits no unlink: connections to it are refused, and the next daemon
    /// replaces it.
    /// </summary>
    public void Dispose()
    {
        CloseAll(_listening, _reserve, Connection);
        (_listening, _reserve, Connection) = (-1, -1, -1);
    }

    private bool TryAccept(TimeSpan now)
    {
        CloseAll(_reserve);
        _reserve = -1;
        Errno error = UnixMessageSocket.Accept(_listening, SendBuffer, out int connection, out _user);
        _ = _epoll!.Remove(_listening);
        Connection = connection;
        error = error != Errno.None ? error : _epoll.Add(connection, _token);
        if (error != Errno.None)
        {
            if (!_isTold)
            {
                Log.RequestNotAccepted(log, error.Text());
            }
            _isTold = true;
            CloseAll(connection);
            Connection = -1;
            _actAt = now + AcceptPause;
            return false;
        }
        _isTold = false;
        _actAt = now + RequestTimeout;
        if (!isPermitted(_user))
        {
            Refuse("only root and the daemon's user may ask");
        }
        return Connection >= 0;
    }

    private void Listen()
    {
        _reserve = _reserve >= 0 ? _reserve : SocketFd.Duplicate(_listening);
        _actAt = _epoll!.Add(_listening, _token) == Errno.None ? TimeSpan.MaxValue : Clock.Now + AcceptPause;
    }

    private static void CloseAll(params ReadOnlySpan<int> fds)
    {
        foreach (int fd in fds)
        {
            if (fd >= 0)
            {
                SocketFd.Close(fd);
            }
        }
    }
}

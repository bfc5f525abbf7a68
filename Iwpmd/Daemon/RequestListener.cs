// SPDX-License-Identifier: MIT
using Iwpmd.Os;
using Microsoft.Extensions.Logging;

namespace Iwpmd.Daemon;

/// <summary>
/// The socket at which other processes of this host ask for something, one at a time: the next one waits in the
/// kernel's queue. None is waited for: the loop calls when something came, or at its time.
/// </summary>
internal sealed class RequestListener(Func<uint, bool> isPermitted, int mostText, ILogger log) : IDisposable
{
    /// <summary>What is in flight is charged to the sender: some 900 bytes a message.</summary>
    public const int SendBuffer = 4 * 1024 * 1024;

    /// <summary>Whoever connects says at once what is wanted.</summary>
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(1);

    /// <summary>How long nobody is accepted after that was not possible.</summary>
    private static readonly TimeSpan s_pause = TimeSpan.FromSeconds(2);

    private readonly byte[] _text = new byte[mostText];
    private Epoll? _epoll;
    private int _token;
    private int _listening = -1;
    private int _reserve = -1; // its descriptor is for a connection, should there be no other
    private bool _isTold;
    private uint _user;
    private TimeSpan _actAt = TimeSpan.MaxValue;

    /// <summary>Who asked last, until <see cref="EndConnection"/>; -1 when nobody does.</summary>
    public int Connection { get; private set; } = -1;

    public Errno Open(string path)
    {
        Errno error = UnixMessageSocket.Listen(path, out _listening);
        _reserve = error == Errno.None ? SocketFd.Duplicate(_listening) : -1;
        return error;
    }

    /// <summary>From now on the loop calls <see cref="TryHear"/> for this token.</summary>
    public Errno Watch(Epoll epoll, int token)
    {
        (_epoll, _token) = (epoll, token);
        return _listening < 0 ? Errno.None : epoll.Add(_listening, token);
    }

    /// <summary>At every wake-up: ends a silence, or a pause. Returns when to be called next at the latest.</summary>
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

    /// <summary>True when somebody who may ask has asked, for <paramref name="text"/>.</summary>
    public bool TryHear(TimeSpan now, out ReadOnlySpan<byte> text)
    {
        text = [];
        if (Connection < 0 && !TryAccept(now))
        {
            return false;
        }
        Errno error = PassedFds.Receive(Connection, _text, [], out int length, out _);
        if (error == Errno.Again)
        {
            return false;
        }
        _actAt = TimeSpan.MaxValue;
        if (length == 0 || length == mostText)
        {
            Refuse(length == 0 ? "it ended without a message" : $"it is longer than {mostText - 1} bytes");
            return false;
        }
        text = _text.AsSpan(0, length);
        return true;
    }

    /// <summary>Says in the log why the one that asks gets nothing, and ends the connection.</summary>
    public void Refuse(string reason)
    {
        Log.RequestRefused(log, _user, reason);
        EndConnection();
    }

    /// <summary>Hears the next one.</summary>
    public void EndConnection()
    {
        CloseAll(Connection);
        Connection = -1;
        Listen();
    }

    /// <summary>
    /// The name stays, since the sandbox takes no file away: who connects to it is refused, and the next daemon
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
                Log.RequestNotAccepted(log, error);
            }
            _isTold = true;
            CloseAll(connection);
            Connection = -1;
            _actAt = now + s_pause;
            return false;
        }
        _isTold = false;
        _actAt = now + s_patience;
        if (!isPermitted(_user))
        {
            Refuse("only root and the daemon's user may ask");
        }
        return Connection >= 0;
    }

    private void Listen()
    {
        _reserve = _reserve >= 0 ? _reserve : SocketFd.Duplicate(_listening);
        _actAt = _epoll!.Add(_listening, _token) == Errno.None ? TimeSpan.MaxValue : Clock.Now + s_pause;
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

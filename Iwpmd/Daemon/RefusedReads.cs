// SPDX-License-Identifier: MIT
using Iwpmd.Os;
using Iwpmd.Wire;

namespace Iwpmd.Daemon;

/// <summary>
/// Sockets whose reads are refused, as a security module does. They stay ready, and a loop that waits for them would
/// turn without end: each time the wait leaves them out for two seconds.
/// </summary>
internal sealed class RefusedReads(Epoll epoll, int tokens)
{
    /// <summary>ICMP errors may fail a few reads in a row.</summary>
    private const int Limit = 8;

    private readonly int[] _failures = new int[tokens];
    private readonly List<(int Fd, int Token)> _leftOut = [];
    private TimeSpan _againAt = TimeSpan.MaxValue;

    /// <summary>Takes note of what came of reading a ready socket; true when it is left out from now on.</summary>
    public bool Note(Errno error, int fd, int token, TimeSpan now)
    {
        _failures[token] = error is Errno.None or Errno.EAGAIN ? 0 : _failures[token] + 1;
        if (_failures[token] < Limit || epoll.Remove(fd) != Errno.None)
        {
            return false;
        }
        _leftOut.Add((fd, token));
        _againAt = now + EventLoop.Tick;
        return true;
    }

    /// <summary>At every wake-up: waits for them again in time. Returns the latest time of the next call.</summary>
    public TimeSpan Advance(TimeSpan now)
    {
        if (now >= _againAt)
        {
            _ = _leftOut.RemoveAll(one => epoll.Add(one.Fd, one.Token) == Errno.None);
            _againAt = _leftOut.Count == 0 ? TimeSpan.MaxValue : now + EventLoop.Tick;
        }
        return _againAt;
    }
}

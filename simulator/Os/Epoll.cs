// SPDX-License-Identifier: MIT
using Iwpmd.Simulation;
using Iwpmd.Wire;

namespace Iwpmd.Os;

internal readonly record struct EpollEvent(int Token, bool HasError);

/// <summary>
/// Never waits: where a process would, <see cref="Idle"/> leaves the loop, which is entered again when something is
/// ready or the time is over.
/// </summary>
internal sealed class Epoll(Machine machine) : IDisposable
{
    private readonly List<(int Fd, int Token)> _watched = [];
    private TimeSpan _dueAt = TimeSpan.MaxValue;

    public static Errno TryCreate(out Epoll? epoll)
    {
        epoll = new Epoll(Machine.Current!);
        return Errno.None;
    }

    public Errno Add(int fd, int token)
    {
        _watched.Add((fd, token));
        return Errno.None;
    }

    public Errno Remove(int fd)
    {
        _watched.RemoveAll(one => one.Fd == fd);
        return Errno.None;
    }

    public int Wait(Span<EpollEvent> ready, TimeSpan timeout)
    {
        machine.StepOrStop();
        int count = 0;
        for (int i = _watched.Count - 1; i >= 0; i--)
        {
            if (!machine.IsOpen(_watched[i].Fd))
            {
                _watched.RemoveAt(i); // closing it ends that it is watched
            }
            else if (count < ready.Length && machine.IsReadable(_watched[i].Fd, out bool hasError))
            {
                ready[count++] = new EpollEvent(_watched[i].Token, hasError);
            }
        }
        bool isOver = timeout <= TimeSpan.Zero || machine.BootTime >= _dueAt;
        if (count > 0 || isOver)
        {
            _dueAt = TimeSpan.MaxValue;
            return count;
        }
        TimeSpan due = machine.BootTime + TimeSpan.FromMilliseconds(Milliseconds.RoundUp(timeout));
        _dueAt = due < _dueAt ? due : _dueAt;
        machine.WakeAt(_dueAt);
        throw Idle.Instance;
    }

    public void Dispose() => _watched.Clear();
}

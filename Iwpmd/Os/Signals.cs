// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;
using Iwpmd.Os.Interop;
using Iwpmd.Wire;

namespace Iwpmd.Os;

[Flags]
internal enum PendingSignals
{
    None = 0,
    Terminate = 1, // SIGTERM, SIGINT
    Hangup = 2,
    Dump = 4, // SIGUSR1
}

/// <summary>
/// The signals that the daemon answers to, as bits behind a descriptor for epoll. signalfd does not work in this
/// runtime (its finalizer thread has the signals unblocked), nor does a handler of our own: so the runtime's handlers,
/// which run on a thread of their own, write to an eventfd.
/// </summary>
internal sealed unsafe class Signals : IDisposable
{
    private const PosixSignal User1 = (PosixSignal)10; // raw numbers are allowed; on Linux this is SIGUSR1

    // A registration that nothing refers to is undone by its finalizer.
    private static Signals? s_installed;

    private readonly PosixSignalRegistration[] _registrations;
    private int _pending;

    private Signals(int fd)
    {
        Fd = fd;
        _registrations =
        [
            PosixSignalRegistration.Create(PosixSignal.SIGTERM, OnSignal),
            PosixSignalRegistration.Create(PosixSignal.SIGINT, OnSignal),
            PosixSignalRegistration.Create(PosixSignal.SIGHUP, OnSignal),
            PosixSignalRegistration.Create(User1, OnSignal),
        ];
    }

    /// <summary>Readable while signals wait to be taken.</summary>
    public int Fd { get; }

    public static Errno TryInstall(out Signals? signals)
    {
        int fd = Libc.eventfd(0, Libc.EFD_NONBLOCK | Libc.EFD_CLOEXEC);
        Errno error = fd < 0 ? Errno.Last : Errno.None;
        s_installed = signals = fd < 0 ? null : new Signals(fd);
        return error;
    }

    /// <summary>Returns what came since the last call.</summary>
    public PendingSignals Take()
    {
        ulong count;
        // before the bits: a signal in between costs a wake-up for nothing, never one missed
        _ = Libc.read(Fd, (byte*)&count, sizeof(ulong));
        return (PendingSignals)Interlocked.Exchange(ref _pending, 0);
    }

    public void Dispose()
    {
        foreach (PosixSignalRegistration registration in _registrations)
        {
            registration.Dispose();
        }
        s_installed = null;
        _ = Libc.close(Fd);
    }

    private void OnSignal(PosixSignalContext context)
    {
        context.Cancel = true;
        PendingSignals signal = context.Signal switch
        {
            PosixSignal.SIGHUP => PendingSignals.Hangup,
            User1 => PendingSignals.Dump,
            _ => PendingSignals.Terminate,
        };
        _ = Interlocked.Or(ref _pending, (int)signal);
        ulong one = 1;
        _ = Libc.write(Fd, (byte*)&one, sizeof(ulong));
    }
}

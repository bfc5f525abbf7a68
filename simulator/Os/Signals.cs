// SPDX-License-Identifier: MIT
using Iwpmd.Simulation;
using Iwpmd.Wire;

namespace Iwpmd.Os;

[Flags]
internal enum PendingSignals
{
    None = 0,
    Terminate = 1,
    Hangup = 2,
    Dump = 4,
}

/// <summary>What the service manager wants of a simulated process.</summary>
internal sealed class Signals(Machine machine) : IReadable, IDisposable
{
    private PendingSignals _pending;

    public int Fd { get; private set; }

    public bool IsReadable => _pending != PendingSignals.None;

    public bool HasError => false;

    public static Errno TryInstall(out Signals? signals)
    {
        Machine machine = Machine.Current!;
        signals = new Signals(machine);
        signals.Fd = machine.Open(signals);
        return Errno.None;
    }

    public void Raise(PendingSignals signal)
    {
        _pending |= signal;
        machine.WakeSoon();
    }

    public PendingSignals Take()
    {
        (PendingSignals taken, _pending) = (_pending, PendingSignals.None);
        return taken;
    }

    public void Dispose() => machine.Close(Fd);
}

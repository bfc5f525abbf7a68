// SPDX-License-Identifier: MIT
namespace Iwpmd.Core;

/// <summary>The timers of the core, except those of conversations, which <see cref="Conversations"/> has.</summary>
internal enum Timer
{
    /// <summary>HELLO is sent again, since the last one was not answered.</summary>
    Hello,

    /// <summary>The oldest registration is answered.</summary>
    Registration,

    /// <summary>Unprotected ports are claimed again.</summary>
    Claim,

    /// <summary>
    /// The rows are compared with the endpoints of the devices; the daemon, which can ask the devices, begins it.
    /// </summary>
    Audit,

    /// <summary>Requests that were not served are logged and counted.</summary>
    RefusalReport,
}

/// <summary>When each timer is due.</summary>
internal sealed class TimerTable
{
    private readonly TimeSpan[] _due = new TimeSpan[(int)Timer.RefusalReport + 1];

    public TimerTable() => _due.AsSpan().Fill(TimeSpan.MaxValue);

    /// <summary>When the first one is due; MaxValue when none is set.</summary>
    public TimeSpan Next { get; private set; } = TimeSpan.MaxValue;

    public bool IsSet(Timer timer) => _due[(int)timer] != TimeSpan.MaxValue;

    public bool IsDue(Timer timer, TimeSpan now) => now >= _due[(int)timer];

    public void Set(Timer timer, TimeSpan due)
    {
        _due[(int)timer] = due;
        Next = TimeSpan.MaxValue;
        foreach (TimeSpan other in _due)
        {
            Next = Times.Earlier(Next, other);
        }
    }

    public void Stop(Timer timer) => Set(timer, TimeSpan.MaxValue);
}

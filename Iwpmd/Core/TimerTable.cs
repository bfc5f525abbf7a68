// SPDX-License-Identifier: MIT
namespace Iwpmd.Core;

/// <summary>The timers of the core, but for those of conversations, each of which has its own in <see cref="Conversations"/>.</summary>
internal enum Timer
{
    /// <summary>HELLO is sent again, since the kernel did not say what became of the last one.</summary>
    Hello,

    /// <summary>The oldest registration is answered.</summary>
    Registration,

    /// <summary>Ports that the kernel uses and other programs hold are claimed again.</summary>
    Claim,

    /// <summary>The rows are compared with the endpoints of the devices; whoever can ask the devices begins it.</summary>
    Audit,

    /// <summary>What was refused to peers is logged and counted.</summary>
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

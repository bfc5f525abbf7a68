// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.Os;
using Iwpmd.State;

namespace Iwpmd.Daemon;

/// <summary>
/// Whose the state is, and when that process was last at work: the only writer of these fields of the header. Who reads
/// the state tells by them how the daemon is, and a next daemon how old the requests in its socket can be.
/// </summary>
internal sealed class Heartbeat(StateLayout state)
{
    /// <summary>The netlink socket that the state belongs to.</summary>
    public uint PortId => (uint)state.Header.PortId;

    /// <summary>What stands in the netlink socket now cannot be older: it was seen empty then, or all that stood there has been read.</summary>
    public TimeSpan SeenEmpty
    {
        get => new(state.Header.SeenEmptyAt);
        set => state.Header.SeenEmptyAt = value.Ticks;
    }

    /// <summary>This process has the state from now on. True when it also has the socket of the one before.</summary>
    /// <param name="isHandedOver">The socket is not this process's own.</param>
    public bool Begin(uint portId, bool isHandedOver, TimeSpan started, out PredecessorExit exit)
    {
        ref StateHeader header = ref state.Header;
        bool isItsSocket = isHandedOver && header.PortId == portId;
        exit = header.EndedAt != 0 ? PredecessorExit.Clean : PredecessorExit.Crash;
        if (!isItsSocket)
        {
            SeenEmpty = isHandedOver ? TimeSpan.Zero : started; // before the socket was opened; of an unknown one nothing is known
        }
        (header.StartedAt, header.EndedAt, header.ProcessId, header.PortId) = (started.Ticks, 0, Environment.ProcessId, portId);
        return isItsSocket;
    }

    public void End() => state.Header.EndedAt = Clock.Now.Ticks;

    /// <summary>It did not end after all.</summary>
    public void TakeBackEnd() => state.Header.EndedAt = 0;
}

// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.Os;
using Iwpmd.State;

namespace Iwpmd.Daemon;

/// <summary>
/// Which process uses the state, and when it last read its netlink socket: the only writer of these fields of the
/// header. A reader of the state judges the daemon by them, the next daemon the age of the requests in its socket.
/// </summary>
internal sealed class Heartbeat(StateLayout state)
{
    /// <summary>The netlink socket that the state belongs to.</summary>
    public uint PortId => (uint)state.Header.PortId;

    /// <summary>
    /// No request in the netlink socket is older: it was empty then, or all earlier requests have been read.
    /// </summary>
    public TimeSpan SeenEmpty
    {
        get => state.Header.SeenEmptyAt;
        set => state.Header.SeenEmptyAt = value;
    }

    /// <summary>This process uses the state from now on. True when it also has the socket of the one before.</summary>
    /// <param name="isHandedOver">The socket was opened by another process.</param>
    public bool Begin(uint portId, bool isHandedOver, TimeSpan started, out PredecessorExit exit)
    {
        ref StateHeader header = ref state.Header;
        bool isItsSocket = isHandedOver && header.PortId == portId;
        exit = header.EndedAt != TimeSpan.Zero ? PredecessorExit.Clean : PredecessorExit.Crash;
        if (!isItsSocket)
        {
            SeenEmpty = isHandedOver ? TimeSpan.Zero : started; // before the socket was opened; zero for an unknown one
        }
        (header.StartedAt, header.EndedAt, header.ProcessId, header.PortId) =
            (started, TimeSpan.Zero, Environment.ProcessId, portId);
        return isItsSocket;
    }

    public void End() => state.Header.EndedAt = Clock.Now;

    /// <summary>The takeover failed: this process continues.</summary>
    public void TakeBackEnd() => state.Header.EndedAt = TimeSpan.Zero;
}

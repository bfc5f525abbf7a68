// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.Os;
using Iwpmd.Wire;

namespace Iwpmd.Simulation;

// Its configuration, and the service manager: who starts the daemon again, with what.
internal sealed partial class Machine
{
    private bool _isHandingOver;

    public PortMapperSettings Settings { get; set; } = new();

    public PortRange Range { get; set; } = new(40000, 40255);

    public int MostMappings { get; set; } = 64;

    /// <summary>Of the netlink socket; null is the usual one.</summary>
    public int? BufferBytes { get; set; }

    /// <summary>The manager has a store of descriptors.</summary>
    public bool HasStore { get; set; } = true;

    /// <summary>The looks at the sockets every two seconds are part of the history.</summary>
    public bool HasRealTicks { get; set; }

    /// <summary>Not ours: rdma-core's daemon.</summary>
    public IForeignDaemon? Foreign { get; set; }

    public TimeSpan CrashedAt { get; private set; } = TimeSpan.MinValue;

    /// <summary>
    /// The state was lost while the kernel had more mappings than it can name, or none of this kernel was told.
    /// </summary>
    public bool LostState { get; set; }

    /// <summary>How long the manager waits; null: somebody starts it later.</summary>
    public TimeSpan? RestartAfter { get; set; } = TimeSpan.FromMilliseconds(100);

    public void StoreSockets(int[] fds)
    {
        Store.Clear();
        if (HasStore)
        {
            Store.UnionWith(fds);
        }
    }

    public void StorePorts(int[] fds)
    {
        if (HasStore)
        {
            Store.UnionWith(fds);
        }
    }

    /// <param name="how">Null: it crashed.</param>
    public void OnEnded(string? how)
    {
        World.Tell($"{Name} daemon is gone: {how ?? "crash"}");
        CrashIn = StopIn = 0;
        _isUnwinding = false;
        State?.Thaw();
        Daemon = null;
        _wakeAt = TimeSpan.MaxValue;
        DisturbedAt = World.Now;
        CrashedAt = how is null ? World.Now : CrashedAt;
        if (RestartAfter is null)
        {
            Store.Clear();
        }
        CloseAll();
        if (RestartAfter is TimeSpan pause)
        {
            World.After(pause, Start);
        }
    }

    public void OnHandedOver(int[] all)
    {
        World.Tell($"{Name} daemon hands over");
        Daemon = null;
        _wakeAt = TimeSpan.MaxValue;
        DisturbedAt = World.Now;
        foreach (int fd in Descriptors.Except(all).ToArray())
        {
            Close(fd);
        }
        _isHandingOver = true;
        World.After(TimeSpan.FromMilliseconds(1), () =>
        {
            _isHandingOver = false;
            DaemonProcess.Start(this, all);
        });
    }

    public void Start()
    {
        if (Daemon is null && !_isHandingOver)
        {
            DaemonProcess.Start(this, [.. Store]);
        }
    }
}

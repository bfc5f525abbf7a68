// SPDX-License-Identifier: MIT
using System.Numerics;
using Iwpmd.Core;
using Iwpmd.Os;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;

namespace Iwpmd.Daemon;

/// <summary>
/// While far more comes from strangers than is served of them, the kernel drops most of it unread: what full sockets drop would be anybody's, and reading costs more than sending.
/// Hosts that proved themselves are let through. Which share of the rest is measured anew all the time, so that as many strangers as ever are served.
/// </summary>
internal sealed class FloodGate(Admission admission, PeerSockets peers, ILogger log)
{
    private const int MaxShare = 1024;
    private static readonly TimeSpan s_period = TimeSpan.FromMilliseconds(100);

    /// <summary>When to look next at the latest.</summary>
    public TimeSpan NextLook => Share == 1 ? TimeSpan.MaxValue : _since + s_period;

    private readonly UdpSocket[] _sockets = [.. Array.FindAll([peers.Find(IpFamily.V4, PeerSocket.Answering), peers.Find(IpFamily.V6, PeerSocket.Answering)], socket => socket is not null)!];
    private readonly SourceFilter _filter = new();
    private ulong[] _known = [];
    private LogGate _gate = new(TimeSpan.FromSeconds(10), burst: 1);
    private TimeSpan _since;
    private long _inVain, _provenInAll;

    /// <summary>One in so many datagrams of strangers is read; 1: all are.</summary>
    public int Share { get; private set; } = 1;

    /// <summary>After each turn of the loop: opens and closes.</summary>
    public void Look(TimeSpan now)
    {
        _inVain += admission.TakeInVain();
        bool isDue = now - _since >= s_period;
        // Twice the rate that is served, and at once: a socket fills within milliseconds.
        bool isFlood = _inVain >= 2 * admission.RequestRate * s_period.TotalSeconds;
        if (!isDue && !(isFlood && Share == 1))
        {
            return;
        }
        double readInVain = _inVain / (now - _since).TotalSeconds;
        int periods = (int)Math.Clamp((now - _since) / s_period, 1, 30);
        (_since, _inVain) = (now, 0);
        // What came and was read a second, over what is served: by so much it has to be less.
        double excess = (readInVain + admission.RequestRate) * Share / admission.RequestRate;
        int share = Share == 1 && !isFlood ? 1
            : readInVain < 0.05 * admission.RequestRate ? Share >> periods
            : 1 << BitOperations.Log2((uint)Math.Min(excess, MaxShare));
        if (share != Share || (share > 1 && _provenInAll != admission.ProvenInAll))
        {
            Set(Math.Max(share, 1), now);
        }
    }

    private void Set(int share, TimeSpan now)
    {
        _provenInAll = admission.ProvenInAll;
        int most = (int)Math.Min(_provenInAll, Admission.ProvenHosts);
        if (_known.Length < most)
        {
            _known = new ulong[BitOperations.RoundUpToPowerOf2((uint)most)];
        }
        foreach (UdpSocket socket in _sockets)
        {
            Errno error = socket.Filter(share == 1 ? null : _filter.Make(socket.Family, _known.AsSpan(0, admission.CopyProven(socket.Family, _known)), share));
            if (error != Errno.None && _gate.TryPass(now, out _))
            {
                Log.FloodNotFiltered(log, error);
            }
        }
        if (Share == 1 && share > 1 && _gate.TryPass(now, out string suppressed))
        {
            Log.Flood(log, suppressed);
        }
        Share = share;
    }
}

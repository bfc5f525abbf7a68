// SPDX-License-Identifier: MIT
using System.Numerics;
using Iwpmd.Core;
using Iwpmd.Os;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;

namespace Iwpmd.Daemon;

/// <summary>
/// While far more comes from strangers than is served of them, the kernel drops most of it unread: what full sockets drop would be anybody's, and reading costs more than sending.
/// Hosts that proved themselves are let through. Which oneIn of the rest is measured anew all the time, so that as many strangers as ever are served.
/// </summary>
internal sealed class PeerSampling(Admission admission, PeerSockets peers, ILogger log)
{
    private const int MaxSampleOneIn = 1024;
    private static readonly TimeSpan s_period = TimeSpan.FromMilliseconds(100);

    /// <summary>When to look next at the latest.</summary>
    public TimeSpan NextUpdate => SampleOneIn == 1 ? TimeSpan.MaxValue : _since + s_period;

    private readonly UdpSocket[] _sockets = [.. Array.FindAll([peers.Find(IpFamily.V4, PeerSocket.Answering), peers.Find(IpFamily.V6, PeerSocket.Answering)], socket => socket is not null)!];
    private readonly SourceFilter _filter = new();
    private ulong[] _known = [];
    private LogGate _gate = new(TimeSpan.FromSeconds(10), burst: 1);
    private TimeSpan _since;
    private long _unserved, _validatedTotal;

    /// <summary>One in so many datagrams of strangers is read; 1: all are.</summary>
    public int SampleOneIn { get; private set; } = 1;

    /// <summary>After each turn of the loop: opens and closes.</summary>
    public void Update(TimeSpan now)
    {
        _unserved += admission.DrainUnservedCount();
        bool isDue = now - _since >= s_period;
        // Twice the rate that is served, and at once: a socket fills within milliseconds.
        bool isFlood = _unserved >= 2 * admission.RequestRate * s_period.TotalSeconds;
        if (!isDue && !(isFlood && SampleOneIn == 1))
        {
            return;
        }
        double readUnserved = _unserved / (now - _since).TotalSeconds;
        int periods = (int)Math.Clamp((now - _since) / s_period, 1, 30);
        (_since, _unserved) = (now, 0);
        // What came and was read a second, over what is served: by so much it has to be less.
        double excess = (readUnserved + admission.RequestRate) * SampleOneIn / admission.RequestRate;
        int oneIn = SampleOneIn == 1 && !isFlood ? 1
            : readUnserved < 0.05 * admission.RequestRate ? SampleOneIn >> periods
            : 1 << BitOperations.Log2((uint)Math.Min(excess, MaxSampleOneIn));
        if (oneIn != SampleOneIn || (oneIn > 1 && _validatedTotal != admission.ValidatedTotal))
        {
            Set(Math.Max(oneIn, 1), now);
        }
    }

    private void Set(int oneIn, TimeSpan now)
    {
        _validatedTotal = admission.ValidatedTotal;
        int most = (int)Math.Min(_validatedTotal, Admission.ValidatedHosts);
        if (_known.Length < most)
        {
            _known = new ulong[BitOperations.RoundUpToPowerOf2((uint)most)];
        }
        foreach (UdpSocket socket in _sockets)
        {
            Errno error = socket.Filter(oneIn == 1 ? null : _filter.Make(socket.Family, _known.AsSpan(0, admission.CopyValidated(socket.Family, _known)), oneIn));
            if (error != Errno.None && _gate.TryPass(now, out _))
            {
                Log.FloodNotFiltered(log, error);
            }
        }
        if (SampleOneIn == 1 && oneIn > 1 && _gate.TryPass(now, out string suppressed))
        {
            Log.Flood(log, oneIn, suppressed);
        }
        SampleOneIn = oneIn;
    }
}

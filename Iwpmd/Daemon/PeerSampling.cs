// SPDX-License-Identifier: MIT
using System.Numerics;
using Iwpmd.Core;
using Iwpmd.Os;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;

namespace Iwpmd.Daemon;

/// <summary>
/// While unvalidated hosts send far more than is served, a socket filter drops most of it unread: a full socket would
/// drop datagrams of any host, and reading costs more than sending. Datagrams of validated hosts pass. The share of the
/// others is measured all the time, so that as many unvalidated hosts as ever are served.
/// </summary>
internal sealed class PeerSampling(Admission admission, PeerSockets peers, ILogger log)
{
    private const int MaxSampleOneIn = 1024;
    private static readonly TimeSpan s_period = TimeSpan.FromMilliseconds(100);

    /// <summary>The latest time of the next <see cref="Update"/>.</summary>
    public TimeSpan NextUpdate => SampleOneIn == 1 ? TimeSpan.MaxValue : _since + s_period;

    private readonly UdpSocket?[] _sockets =
        [peers.Find(IpFamily.V4, PeerSocket.Answering), peers.Find(IpFamily.V6, PeerSocket.Answering)];
    private readonly SourceFilter _filter = new();
    private ulong[] _validated = [];
    private TimeSpan _since;
    private long _unserved, _validatedTotal;

    /// <summary>One in so many datagrams of unvalidated hosts is read; 1: all are.</summary>
    public int SampleOneIn { get; private set; } = 1;

    /// <summary>After each turn of the loop: adjusts the filter.</summary>
    public void Update(TimeSpan now)
    {
        _unserved += admission.DrainUnservedCount();
        bool isDue = now - _since >= s_period;
        if (!isDue && _unserved == 0)
        {
            return;
        }
        // Twice the rate that is served, and without waiting for the period: a socket fills within milliseconds.
        bool isFlood = _unserved >= 2 * admission.RequestRate * s_period.TotalSeconds;
        if (!isDue && !(isFlood && SampleOneIn == 1))
        {
            return;
        }
        double readUnserved = _unserved / (now - _since).TotalSeconds;
        int periods = (int)Math.Clamp((now - _since) / s_period, 1, 30);
        (_since, _unserved) = (now, 0);
        // What was received per second, in relation to what is served.
        double excess = (readUnserved + admission.RequestRate) * SampleOneIn / admission.RequestRate;
        int oneIn = SampleOneIn == 1 && !isFlood ? 1
            : readUnserved < 0.05 * admission.RequestRate ? SampleOneIn >> periods
            : 1 << BitOperations.Log2((uint)Math.Min(excess, MaxSampleOneIn));
        if (oneIn != SampleOneIn || (oneIn > 1 && _validatedTotal != admission.ValidatedTotal))
        {
            Set(Math.Max(oneIn, 1));
        }
    }

    private void Set(int oneIn)
    {
        _validatedTotal = admission.ValidatedTotal;
        int most = (int)Math.Min(_validatedTotal, Admission.ValidatedHosts);
        if (_validated.Length < most)
        {
            _validated = new ulong[BitOperations.RoundUpToPowerOf2((uint)most)];
        }
        foreach (UdpSocket? socket in _sockets)
        {
            if (socket is null)
            {
                continue;
            }
            int count = admission.CopyValidated(socket.Family, _validated);
            Errno error = socket.Filter(
                oneIn == 1 ? null : _filter.Make(socket.Family, _validated.AsSpan(0, count), oneIn));
            if (error != Errno.None)
            {
                Log.FloodNotFiltered(log, error.Text());
            }
        }
        if (SampleOneIn == 1 && oneIn > 1)
        {
            Log.Flood(log, oneIn);
        }
        SampleOneIn = oneIn;
    }
}

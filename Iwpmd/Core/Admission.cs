// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;
using Iwpmd.State;
using Iwpmd.Wire;

namespace Iwpmd.Core;

/// <summary>How many Requests are served, as configured.</summary>
internal sealed record AdmissionSettings
{
    /// <summary>Per second, of all unvalidated hosts together.</summary>
    public int RequestRate { get; init; } = 20000;

    /// <summary>Per second, of one host.</summary>
    public int SourceRate { get; init; } = 1000;

    /// <summary>REMOTE_INFOs per second and mapping; the burst is ten times that.</summary>
    public int RemoteInfoRate { get; init; } = 1000;

    public AccessList Access { get; init; } = AccessList.Everybody;
}

/// <summary>Requests that were not served since the last report, by cause.</summary>
internal readonly record struct Refusals(long OverAll, long OverSource, long Denied)
{
    public long Sum => OverAll + OverSource + Denied;

    public static Refusals operator +(Refusals one, Refusals other) =>
        new(one.OverAll + other.OverAll, one.OverSource + other.OverSource, one.Denied + other.Denied);
}

/// <summary>
/// Differs: what unvalidated hosts can have is bounded. Any source address can be spoofed, so they share one rate, and
/// a flood ends the service for them only. Address validation (RFC 9000, section 8): a host is validated when it names
/// what it can only know from our answer, the mapped port in an Ack or the handle of our query. Everything is of fixed
/// size.
/// </summary>
internal sealed class Admission
{
    public const int ValidatedHosts = 32768;
    private const int UnvalidatedSources = 2048;
    private const int Mappings = 1024, Rejections = 8192; // shared by those whose numbers are equal in the last bits

    /// <summary>
    /// A REMOTE_INFO stays in the kernel until its connection comes, for ever if the Request was spoofed. A mapping has
    /// so many before the peer's Ack, which returns them, then one per second; all others wait for the Ack, which as a
    /// rule arrives before the connection.
    /// </summary>
    private static readonly TokenRate s_unconfirmed = TokenRate.Of(perSecond: 1, burst: 256);

    /// <summary>The same for one validated host, whose address another one may spoof.</summary>
    private const int UnconfirmedOfValidated = 64;

    private AdmissionSettings _settings;
    private TokenRate _allRate, _sourceRate, _remoteInfoRate;
    private readonly SourceTable _unvalidated, _validated;
    private readonly TokenBucket[] _remoteInfos = new TokenBucket[Mappings], _unconfirmed = new TokenBucket[Mappings];
    private readonly Rejection[] _rejections = new Rejection[Rejections];
    private readonly ulong _secret;
    private TokenBucket _all;
    private Refusals _refusals;
    private long _unserved;

    private record struct Rejection(uint Hash, uint Milliseconds);

    public Admission(AdmissionSettings settings, ulong secret)
    {
        (_settings, _secret) = (settings, secret);
        Apply(settings);
        _unvalidated = new SourceTable(UnvalidatedSources, secret);
        _validated = new SourceTable(ValidatedHosts, secret);
    }

    public void Apply(AdmissionSettings settings)
    {
        _settings = settings;
        _allRate = TokenRate.Of(settings.RequestRate, settings.RequestRate);
        _sourceRate = TokenRate.Of(settings.SourceRate, settings.SourceRate);
        _remoteInfoRate = TokenRate.Of(settings.RemoteInfoRate, settings.RemoteInfoRate * 10);
    }

    /// <summary>Requests per second of all unvalidated hosts.</summary>
    public int RequestRate => _settings.RequestRate;

    public bool IsAllowed(in InetEndpoint source) => _settings.Access.Contains(source);

    /// <summary>Whether a Request from this source is served.</summary>
    public bool TryAdmit(in InetEndpoint source, TimeSpan now)
    {
        if (!IsAllowed(source))
        {
            Deny();
            return false;
        }
        ref Source row = ref _validated.Find(source);
        bool isUnvalidated = Unsafe.IsNullRef(ref row);
        if (isUnvalidated)
        {
            row = ref _unvalidated.FindOrAdd(source);
        }
        if (!row.Bucket.TryTake(_sourceRate, now))
        {
            _refusals = _refusals with { OverSource = _refusals.OverSource + 1 };
            _unserved += isUnvalidated ? 1 : 0;
            return false;
        }
        // last: one host that does not spoof takes nothing from the others
        if (isUnvalidated && !_all.TryTake(_allRate, now))
        {
            _refusals = _refusals with { OverAll = _refusals.OverAll + 1 };
            _unserved++;
            return false;
        }
        return true;
    }

    /// <summary>Counts what is not served, whatever the rates.</summary>
    public void Deny()
    {
        _refusals = _refusals with { Denied = _refusals.Denied + 1 };
        _unserved++;
    }

    /// <summary>Datagrams of unvalidated hosts that were read and not served since the last call.</summary>
    public long DrainUnservedCount()
    {
        long taken = _unserved;
        _unserved = 0;
        return taken;
    }

    /// <summary>A datagram of this host was dropped.</summary>
    public void CountUnserved(in InetEndpoint source) => _unserved += IsValidated(source) ? 0 : 1;

    /// <summary>Writes the v4 addresses, or v6 networks of 64 bits, of the validated hosts; returns how many.</summary>
    public int CopyValidated(IpFamily family, Span<ulong> to) => _validated.Copy(family, to);

    /// <summary>How many hosts were validated so far; one that was not seen for long counts again.</summary>
    public long ValidatedTotal { get; private set; }

    /// <summary>The host receives at this address: it named what it can only know from our answer.</summary>
    public void MarkValidated(in InetEndpoint source, TimeSpan now)
    {
        if (!IsAllowed(source))
        {
            return; // its Requests are not served, so it needs no row
        }
        ref Source validated = ref _validated.FindOrAdd(source);
        validated.Unconfirmed = 0;
        // a new one, or one that was not seen for long and could have been replaced
        if (validated.Bucket.FullAt < now.Ticks)
        {
            ValidatedTotal++;
            ref Source unvalidated = ref _unvalidated.Find(source);
            validated.Bucket = Unsafe.IsNullRef(ref unvalidated) ? TokenBucket.FullFrom(now) : unvalidated.Bucket;
        }
    }

    public bool IsValidated(in InetEndpoint source) => !Unsafe.IsNullRef(ref _validated.Find(source));

    /// <summary>
    /// To whose credit the REMOTE_INFO of a Request for the mapping in this slot is sent before the Ack.
    /// </summary>
    public RemoteInfoCredit CreditRemoteInfo(int slot, in InetEndpoint source, TimeSpan now)
    {
        ref Source validated = ref _validated.Find(source);
        if (!Unsafe.IsNullRef(ref validated) && validated.Unconfirmed < UnconfirmedOfValidated)
        {
            validated.Unconfirmed++;
            return RemoteInfoCredit.OfHost;
        }
        return _unconfirmed[slot % Mappings].TryTake(s_unconfirmed, now)
            ? RemoteInfoCredit.OfMapping
            : RemoteInfoCredit.None;
    }

    /// <summary>The Ack came: the credit of its REMOTE_INFO is returned.</summary>
    public void GiveBack(RemoteInfoCredit credit, int slot, in InetEndpoint source)
    {
        ref Source validated = ref _validated.Find(source);
        if (credit == RemoteInfoCredit.OfMapping)
        {
            _unconfirmed[slot % Mappings].GiveBack(s_unconfirmed);
        }
        else if (credit == RemoteInfoCredit.OfHost && !Unsafe.IsNullRef(ref validated) && validated.Unconfirmed > 0)
        {
            validated.Unconfirmed--;
        }
    }

    /// <summary>False when the rate of REMOTE_INFOs of this mapping is exceeded.</summary>
    public bool TryTakeRemoteInfo(int slot, TimeSpan now) =>
        _remoteInfos[slot % Mappings].TryTake(_remoteInfoRate, now);

    /// <summary>
    /// Whether this Request is a copy of one that was rejected less than <paramref name="within"/> ago; if not, it is
    /// one from now on.
    /// </summary>
    public bool IsRejectedAlready(in InetEndpoint source, in PeerMessage message, TimeSpan within, TimeSpan now)
    {
        ulong ports = ((ulong)source.Port << 32) | ((ulong)message.Connecting.Port << 16) | message.Accepting.Port;
        uint hash = SecretHash.Of(
            _secret, source.High, source.Low, ports, message.Handle, message.Connecting.High, message.Connecting.Low,
            message.Accepting.High, message.Accepting.Low);
        ref Rejection last = ref _rejections[hash % Rejections];
        uint milliseconds = (uint)(now.Ticks / TimeSpan.TicksPerMillisecond);
        if (last.Hash == hash && milliseconds - last.Milliseconds < within.TotalMilliseconds)
        {
            return true;
        }
        last = new Rejection(hash, milliseconds);
        return false;
    }

    /// <summary>Counts of refused Requests since the last call.</summary>
    public Refusals TakeRefusals()
    {
        Refusals taken = _refusals;
        _refusals = default;
        return taken;
    }
}

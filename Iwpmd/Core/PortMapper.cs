// SPDX-License-Identifier: MIT
using Iwpmd.State;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;

namespace Iwpmd.Core;

/// <summary>
/// The contract of the core: requests, messages and the time go in by Handle and Expire, what became of a message to
/// the kernel by <see cref="OnSent"/>; what is to be sent comes out of the <see cref="Outbox"/>. It hands each to the
/// object that decides. It knows no descriptors, clocks or bytes. Times are CLOCK_BOOTTIME; <c>notBefore</c> is the
/// earliest moment at which a request can have been sent.
/// </summary>
internal sealed class PortMapper
{
    /// <summary>UDP port of port mappers.</summary>
    public const ushort Port = 3935;

    /// <summary>
    /// Differs: the kernel waits 10 s for an answer and may crash on a later one, so none is sent that may be late.
    /// </summary>
    public static readonly TimeSpan AnswerWithin = TimeSpan.FromSeconds(9.5);

    private readonly StateLayout _state;
    private readonly ILogger _log;
    private readonly Statistics _statistics;
    private readonly TimerTable _timers = new();
    private readonly KernelReplies _replies;
    private readonly Mappings _mappings;
    private readonly KernelSession _session;
    private readonly Registrations _registrations;
    private readonly Conversations _conversations;
    private readonly Queries _queries;
    private readonly Accepts _accepts;
    private readonly DeferredRequests _deferred;

    /// <param name="state">Formatted; its rows are kept.</param>
    /// <param name="random">64 random bits a call.</param>
    public PortMapper(StateLayout state, ITcpPorts ports, PortMapperSettings settings, Func<ulong> random, ILogger log)
    {
        (_state, _log) = (state, log);
        if (!state.IsNew)
        {
            StateRow.DropUnsound(new Span<HealthRow>(ref state.Health));
            StateRow.DropUnsound(state.Clients);
            StateRow.DropUnsound(state.Peers);
        }
        _statistics = new Statistics(state);
        _replies = new KernelReplies(Outbox, _statistics, log);
        _mappings = new Mappings(state, ports, _replies, _statistics, _timers, log) { Kept = settings.KeptPorts };
        Audit = new EndpointAudit(state, _mappings, _timers, log);
        _session = new KernelSession(state, _mappings, Audit, _replies, _statistics, _timers, log)
        {
            MaxReplayed = settings.MaxReplayed,
        };
        _deferred = new DeferredRequests(_session, _mappings, _replies, _statistics);
        _registrations = new Registrations(state, _mappings, Audit, _replies, _statistics, _timers, log);
        _conversations = new Conversations(state, random());
        Admission = new Admission(settings.Admission, random());
        var peers = new PeerTable(state);
        _queries = new Queries(
            state, _mappings, _conversations, peers, Admission, _replies, Outbox, _statistics, random, log)
        {
            Settings = settings,
        };
        _accepts = new Accepts(
            _mappings, _conversations, peers, Admission, _replies, Outbox, _statistics, _timers, log);
    }

    public Outbox Outbox { get; } = new();

    public Mappings Mappings => _mappings;

    public Conversations Conversations => _conversations;

    public Admission Admission { get; }

    public EndpointAudit Audit { get; }

    public HandshakeState Kernel => _session.State;

    /// <summary>-errno of the refusal that made the kernel unusable, or why its answer is not known.</summary>
    public int KernelResult => _session.Result;

    /// <summary>The first handshake failed.</summary>
    public bool HasFailed => _session.HasFailed;

    /// <summary>HELLO or the replay is not answered yet.</summary>
    public bool IsInHandshake => _session.IsInHandshake;

    /// <summary>
    /// True while requests are deferred in memory, for the replay or <see cref="Registrations.Delay"/>.
    /// </summary>
    public bool HasDeferredRequests => _deferred.Count > 0 || _registrations.Count > 0 || IsInHandshake;

    /// <summary>When Expire is due; MaxValue when nothing waits.</summary>
    public TimeSpan NextDeadline => Times.Earlier(_conversations.NextDue, _timers.Next);

    /// <summary>Claims the ports of the rows that an earlier process left in the state.</summary>
    public void Restore(TimeSpan now)
    {
        // not from 0: a socket that was taken over may hold ACKs of the earlier process
        _replies.NextSequence = (uint)(now.Ticks >> 10);
        _mappings.Restore(now);
    }

    /// <summary>Continues the session of an earlier process; see <see cref="KernelSession.TryResume"/>.</summary>
    public bool TryResume(PredecessorExit exit, TimeSpan now) => _session.TryResume(exit, now);

    /// <summary>Sends HELLO, at start.</summary>
    public void Start(TimeSpan now)
    {
        if (_session.State == HandshakeState.None && _mappings.HighWater > 0)
        {
            _session.StartLater(now); // a row of an earlier process was dropped
        }
        else
        {
            _session.Start(now);
        }
    }

    /// <summary>Has the kernel send an ACK, which bounds the age of the requests in the socket.</summary>
    public void Probe() => _session.Probe();

    /// <summary>
    /// The receive buffer overflowed: which messages were lost is unknown, so everything is replayed.
    /// </summary>
    public void OnOverrun(TimeSpan now)
    {
        _session.OnOverrun(now);
        ServeDeferred(now);
    }

    /// <summary>Changes the settings; conversations in flight end under those they began with.</summary>
    public void Apply(PortMapperSettings settings)
    {
        _queries.Settings = settings;
        _mappings.Kept = settings.KeptPorts;
        Admission.Apply(settings.Admission);
    }

    /// <summary>
    /// This process ends: what it still has to serve, since it was stopped meanwhile, is refused. A HELLO that it has
    /// planned is left to the next one.
    /// </summary>
    public void End(TimeSpan now)
    {
        _deferred.RefuseAll(now);
        _registrations.RefuseAll(now);
        _session.LeaveHello();
    }

    /// <summary>Does what is due; calling it early or often is harmless.</summary>
    public void Expire(TimeSpan now)
    {
        if (now >= _timers.Next)
        {
            ExpireTimers(now);
        }
        for (int slot = _conversations.PeekDue(now); slot >= 0; slot = _conversations.PeekDue(now))
        {
            if (_conversations[slot].Role == ConversationRole.Querying)
            {
                _queries.OnDue(slot, now);
            }
            else
            {
                _conversations.Close(slot);
            }
        }
    }

    /// <param name="notBefore">When the netlink socket was last seen empty before this request came: it cannot be
    /// older.</param>
    public void Handle(in KernelRequest request, TimeSpan notBefore, TimeSpan now)
    {
        if (_log.IsEnabled(LogLevel.Debug)) // its arguments cost more than the question
        {
            Log.KernelAsked(_log, request.Operation, request.Sequence, request.Local, request.Remote, request.Flags);
        }
        if (request.Operation is KernelOperation.Hello or KernelOperation.MapInfo or KernelOperation.MapInfoNumber)
        {
            _session.OnHandshake(request, now);
        }
        else if (IsInHandshake)
        {
            _deferred.Add(request, notBefore, now); // replayed mappings need certain ports: they are claimed first
        }
        else if (request.Operation == KernelOperation.RegisterPid && _session.IsFromNewKernel(request, now))
        {
            _registrations.Clear();
            _deferred.Add(request, notBefore, now);
        }
        else
        {
            Serve(request, notBefore + AnswerWithin, now);
        }
    }

    /// <summary>
    /// What became of <paramref name="reply"/>, one of the <see cref="Outbox"/>. A connection whose answer the kernel
    /// did not take continues unmapped.
    /// </summary>
    public void OnSent(in KernelReply reply, SendResult sent, TimeSpan now)
    {
        switch (reply.Kind)
        {
            case KernelReplyKind.Hello:
                _session.OnHelloSent(reply.Sequence, sent, now);
                ServeDeferred(now);
                break;
            case KernelReplyKind.MapInfo:
                _session.OnMapInfoSent(reply.Sequence, sent, now);
                ServeDeferred(now);
                break;
            case KernelReplyKind.AddMapping or KernelReplyKind.QueryMapping when sent.Delivery != Delivery.Taken:
                OnMappingUndelivered(reply, sent, now);
                break;
            case KernelReplyKind.RegisterPid or KernelReplyKind.HandleError when sent.Delivery == Delivery.Unsent:
                _statistics.Count(Counter.Undelivered); // whoever waits for it waits the kernel's 10 s
                _statistics.Lose(LossCause.Undelivered, now);
                break;
            case KernelReplyKind.RegisterPid when sent.Delivery == Delivery.Refused && _registrations.OnLost(now):
                _session.Start(now);
                break;
            case KernelReplyKind.RemoteInfo:
                break; // the kernel answers -EINVAL also when it worked
        }
    }

    public void Handle(in PeerArrival arrival, in PeerMessage received, TimeSpan now)
    {
        if (received.Type == PeerMessageType.Request && !_accepts.TryAdmit(arrival.From, now))
        {
            return;
        }
        if (received.Connecting.Family == IpFamily.V4)
        {
            Serve(arrival, received, now);
        }
        else
        {
            ServeScoped(arrival, received, now);
        }
    }

    private void Serve(in PeerArrival arrival, in PeerMessage message, TimeSpan now)
    {
        if (_log.IsEnabled(LogLevel.Debug))
        {
            Log.PeerSaid(_log, message.Type, arrival.From, message.Connecting, message.Accepting, message.Handle);
        }
        string? problem = null;
        if (message.Connecting.Family != arrival.From.Family)
        {
            problem = "ip version is not that of its packet"; // Differs: nobody sends such a message but to mislead
        }
        else
        {
            switch (message.Type)
            {
                case PeerMessageType.Request: _accepts.OnRequest(arrival, message, now); break;
                case PeerMessageType.Ack: problem = _accepts.OnAck(arrival, message, now); break;
                case PeerMessageType.Accept: problem = _queries.OnAccept(arrival, message, now); break;
                case PeerMessageType.Reject: problem = _queries.OnReject(arrival, message, now); break;
            }
        }
        if (problem is not null)
        {
            Drop(arrival.From, problem);
        }
    }

    /// <summary>Counts a message from an interface from which none is accepted.</summary>
    public void Deny(TimeSpan now) => _accepts.Deny(now);

    /// <summary>
    /// Datagrams to <paramref name="peer"/> are not received; see <see cref="Queries.HandleUnreachable"/>.
    /// </summary>
    public void HandleUnreachable(
        in InetEndpoint peer, ulong handle, FallbackCause cause, in InetEndpoint source, TimeSpan now) =>
        _queries.HandleUnreachable(peer, handle, cause, source, now);

    /// <summary>The host refused to send an Accept: a host that asked gets no answer.</summary>
    public void CountUnsentAccept(TimeSpan now) => _statistics.Lose(LossCause.PeersNotAnswered, now);

    /// <summary>Counts a datagram that is dropped.</summary>
    public void Drop(in InetEndpoint from, string? reason)
    {
        _statistics.Count(Counter.PeerDropped);
        Admission.CountUnserved(from);
        Log.PeerDropped(_log, from, reason);
    }

    /// <summary>Writes the table to the log.</summary>
    public void DumpMappings()
    {
        Log.MappingsCounted(_log, _mappings.Count);
        for (int slot = 0, number = 0; slot < _mappings.HighWater; slot++)
        {
            ref readonly MappingRow row = ref _mappings[slot];
            if (row.IsUsed)
            {
                Log.MappingDumped(
                    _log, number++, row.Local, row.Mapped, row.Client, row.References, row.Flags, row.State);
            }
        }
    }

    /// <summary>
    /// Differs: a client that did not register is served, since after a takeover no client registers again.
    /// </summary>
    private void Serve(in KernelRequest request, TimeSpan answerBy, TimeSpan now)
    {
        switch (request.Operation)
        {
            case KernelOperation.RegisterPid: _registrations.OnRegister(request, answerBy, now); break;
            case KernelOperation.AddMapping: _mappings.OnAdd(request, answerBy, now); break;
            case KernelOperation.QueryMapping: _queries.OnQuery(request, answerBy, now); break;
            case KernelOperation.RemoveMapping: _mappings.OnRemove(request, now); break;
            case KernelOperation.Malformed: OnMalformed(request, answerBy, now); break;
        }
    }

    private void ServeDeferred(TimeSpan now)
    {
        bool isOld = false;
        while (_session.MayServeDeferred && _deferred.Count > 0)
        {
            DeferredRequest deferred = _deferred.Take();
            isOld |= now > deferred.NotBefore + AnswerWithin;
            Serve(deferred.Request, deferred.NotBefore + AnswerWithin, now);
        }
        if (isOld && _mappings.Count > 0)
        {
            Audit.Schedule(now); // the kernel may have given it up, and named it in the replay as well
        }
    }

    private void ExpireTimers(TimeSpan now)
    {
        if (_timers.IsDue(Timer.Hello, now))
        {
            _session.Start(now);
        }
        if (_timers.IsDue(Timer.Registration, now))
        {
            _registrations.Answer(now);
        }
        if (_timers.IsDue(Timer.Claim, now))
        {
            _mappings.RetryUnprotected(now);
        }
        if (_timers.IsDue(Timer.RefusalReport, now))
        {
            _accepts.ReportRefusals(now);
        }
    }

    private void OnMappingUndelivered(in KernelReply reply, SendResult sent, TimeSpan now)
    {
        if (sent.Delivery == Delivery.Unknown)
        {
            Log.KernelAckUnknown(_log, reply.Kind, reply.RequestSequence, sent.Code, reply.Local);
            Audit.Schedule(now); // the kernel may use the port: it is released by REMOVE or the audit
            return;
        }
        _statistics.Count(Counter.Undelivered);
        _statistics.Lose(LossCause.Undelivered, now);
        Log.KernelUndelivered(_log, reply.Kind, reply.RequestSequence, sent.Code, reply.Local);
        int slot = _mappings.FindExactLocal(reply.Local);
        if (slot >= 0)
        {
            _mappings.FallBack(slot);
        }
    }

    private void OnMalformed(in KernelRequest request, TimeSpan answerBy, TimeSpan now)
    {
        _statistics.Count(Counter.Malformed);
        _statistics.Lose(LossCause.Malformed, now);
        if (!_replies.IsTooOld(request.Operation, answerBy, now))
        {
            _replies.Refuse(request, MappingError.InvalidMessage, answerBy, "malformed");
        }
    }

    /// <summary>
    /// Link-local addresses in a message mean those of the interface it came in by, whatever its source.
    /// </summary>
    private void ServeScoped(in PeerArrival arrival, in PeerMessage received, TimeSpan now)
    {
        PeerMessage message = received;
        message.Connecting = WithScope(received.Connecting, arrival.Interface);
        message.Accepting = WithScope(received.Accepting, arrival.Interface);
        message.MappedConnecting = WithScope(received.MappedConnecting, arrival.Interface);
        Serve(arrival, message, now);
    }

    private static InetEndpoint WithScope(in InetEndpoint endpoint, uint scope) =>
        endpoint.IsLinkLocal ? endpoint.WithScope(scope) : endpoint;
}

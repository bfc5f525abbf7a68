// SPDX-License-Identifier: MIT
using System.Text;
using Iwpmd.Core;
using Iwpmd.State;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace Iwpmd.Tests.Support;

/// <summary>
/// TCP ports of a host that nobody else uses but for those in <see cref="Taken"/>: handed out in order from 40000.
/// </summary>
internal sealed class FakePorts : ITcpPorts
{
    private readonly HashSet<ushort> _held = [];
    private readonly Dictionary<ushort, int> _shared = [];
    private ushort _next = 40000;

    public HashSet<ushort> Taken { get; } = [];

    /// <summary>Those that need a privilege.</summary>
    public HashSet<ushort> Privileged { get; } = [];

    public IReadOnlyList<int> Held => [.. _held.Select(port => (int)port).Order()];

    public bool IsExhausted
    {
        get => Refusal == ClaimResult.NoneFree;
        set => Refusal = value ? ClaimResult.NoneFree : null;
    }

    /// <summary>What every claim gets.</summary>
    public ClaimResult? Refusal { get; set; }

    /// <summary>What TryClaimAny hands out next, once.</summary>
    public Queue<ushort> Chosen { get; } = new();

    public ClaimResult TryClaimAny(IpFamily family, ushort except, out ushort port)
    {
        port = 0;
        if (Refusal is ClaimResult refusal)
        {
            return refusal;
        }
        do
        {
            port = Chosen.Count > 0 ? Chosen.Dequeue() : _next++;
        }
        while (port == except || Taken.Contains(port) || !_held.Add(port));
        return ClaimResult.Claimed;
    }

    public ClaimResult TryClaim(IpFamily family, ushort port) =>
        Refusal ?? (Privileged.Contains(port) ? ClaimResult.Failed
            : !Taken.Contains(port) && _held.Add(port) ? ClaimResult.Claimed : ClaimResult.Taken);

    public ClaimResult TryClaimShared(ushort port)
    {
        if (!_shared.ContainsKey(port) && TryClaim(IpFamily.V6, port) is var result and not ClaimResult.Claimed)
        {
            return result;
        }
        _shared[port] = _shared.GetValueOrDefault(port) + 1;
        return ClaimResult.Claimed;
    }

    public void Release(ushort port)
    {
        if (_shared.TryGetValue(port, out int sharers) && sharers > 1)
        {
            _shared[port] = sharers - 1;
            return;
        }
        _shared.Remove(port);
        if (!_held.Remove(port))
        {
            throw new InvalidOperationException($"port {port} was released, but not held");
        }
    }
}

/// <summary>
/// One port mapper, fake ports and a clock that is a number; everything that comes out is bytes, read back and kept in
/// a transcript.
/// </summary>
internal sealed class World
{
    public static readonly StateIdentity Identity = new(
        Guid.Parse("6ab81fc2-5b4e-4b12-9a3c-3bd0a2f0c001"), new FixedName("test"));

    private readonly StringBuilder _transcript = new();
    private readonly byte[] _buffer = new byte[KernelReply.MaxSize];
    private ulong _handle;

    public World(
        int mappings = 256, PortMapperSettings? settings = null, bool handshake = true, StateLayout? state = null,
        ILogger? log = null)
    {
        State = state ?? StateLayout.InMemory(StateCapacity.For(mappings), Identity);
        Mapper = new PortMapper(
            State, Ports, settings ?? new PortMapperSettings(), () => Handles.Count > 0 ? Handles.Dequeue() : ++_handle,
            log ?? NullLogger.Instance);
        _handle = 0; // of the first handle, not of the secrets
        if (handshake)
        {
            Introduce();
            Sent.Clear();
            _transcript.Clear();
        }
    }

    public StateLayout State { get; }

    public FakePorts Ports { get; } = new();

    public PortMapper Mapper { get; }

    public TimeSpan Now { get; set; } = TimeSpan.FromSeconds(1000);

    /// <summary>Handles for the next queries; then 1, 2, 3...</summary>
    public Queue<ulong> Handles { get; } = new();

    /// <summary>Every effect in order, its bytes written and read back.</summary>
    public List<Effect> Sent { get; } = [];

    public List<byte[]> SentBytes { get; } = [];

    public string Transcript => _transcript.ToString();

    public IEnumerable<KernelReply> ToKernel => Sent.Where(e => e.IsToKernel).Select(e => e.Reply);

    public IEnumerable<Effect> ToPeers => Sent.Where(e => !e.IsToKernel);

    public KernelReply LastToKernel => ToKernel.Last();

    public ulong Counter(Counter counter) => State.Counters[(int)counter];

    /// <summary>HELLO, an empty replay and a registration, as a new kernel does it.</summary>
    public void Introduce()
    {
        Start();
        if (!ToKernel.Any())
        {
            Pass(TimeSpan.FromSeconds(0.1)); // a row of an earlier process was dropped
        }
        Hello();
        Acknowledge(LastToKernel);
        Register(2);
        Pass(Registrations.Delay);
    }

    /// <summary>HELLO is sent.</summary>
    public void Start()
    {
        Mapper.Start(Now);
        Drain();
    }

    public void Overrun()
    {
        Mapper.OnOverrun(Now);
        Drain();
    }

    public void Hello(uint sequence = 1, uint abi = 4) =>
        FromKernel(
            new KernelRequest { Operation = KernelOperation.Hello, Client = 2, Sequence = sequence, Number = abi });

    public void Acknowledge(in KernelReply reply, int result = 0) =>
        FromKernel(
            new KernelRequest
            {
                Operation = result == 0 ? KernelOperation.Done : KernelOperation.Error,
                Sequence = reply.Sequence,
                Result = result,
            });

    public void Register(uint sequence, string library = "iWarpPortMapperUser", TimeSpan? age = null) =>
        FromKernel(
            new KernelRequest
            {
                Operation = KernelOperation.RegisterPid,
                Client = 2,
                Sequence = sequence,
                Device = new FixedName("siw0"),
                Interface = new FixedName("eth0"),
                Library = new FixedName(library),
            },
            age);

    public void FromKernel(in KernelRequest request, TimeSpan? age = null)
    {
        Write($"kernel -> {Describe(request)}");
        if (request.Operation is KernelOperation.Done or KernelOperation.Error)
        {
            Acknowledge(request.Sequence, request.Result);
        }
        else
        {
            Mapper.Handle(request, Now - (age ?? TimeSpan.Zero), Now);
        }
        Drain();
    }

    /// <summary>All messages of a recorded datagram.</summary>
    public void FromKernel(byte[] datagram)
    {
        var messages = new NetlinkMessages(datagram);
        while (messages.MoveNext())
        {
            if (KernelRequest.TryParse(messages.Header, messages.Payload, out KernelRequest request, out _))
            {
                FromKernel(request);
            }
        }
    }

    public void Add(string local, uint sequence = 10, uint flags = 0, byte client = 2, TimeSpan? age = null) =>
        FromKernel(
            new KernelRequest
            {
                Operation = KernelOperation.AddMapping,
                Client = client,
                Sequence = sequence,
                Local = InetEndpoint.Parse(local),
                Flags = flags,
            },
            age);

    public void Query(string local, string remote, uint sequence = 20, uint flags = 0, TimeSpan? age = null) =>
        FromKernel(
        new KernelRequest
        {
            Operation = KernelOperation.QueryMapping,
            Client = 2,
            Sequence = sequence,
            Local = InetEndpoint.Parse(local),
            Remote = InetEndpoint.Parse(remote),
            Flags = flags,
        },
        age);

    public void Remove(string local, byte client = 2) =>
        FromKernel(
            new KernelRequest
            {
                Operation = KernelOperation.RemoveMapping,
                Client = client,
                Sequence = 30,
                Local = InetEndpoint.Parse(local),
            });

    public void MapInfo(string local, string mapped, uint flags = 0) => FromKernel(
        new KernelRequest
        {
            Operation = KernelOperation.MapInfo,
            Client = 2,
            Local = InetEndpoint.Parse(local),
            Mapped = InetEndpoint.Parse(mapped),
            Flags = flags,
        });

    public void MapInfoNumber(uint count) => FromKernel(
        new KernelRequest { Operation = KernelOperation.MapInfoNumber, Client = 2, Sequence = 40, Number = count });

    public void FromPeer(string from, byte[] datagram, string to = "10.0.0.1:3935")
    {
        if (!PeerMessage.TryParse(datagram, out PeerMessage message, out string? reason))
        {
            throw new ArgumentException(reason);
        }
        FromPeer(from, message, to);
    }

    /// <param name="by">The interface by which it comes in.</param>
    public void FromPeer(string from, in PeerMessage message, string to = "10.0.0.1:3935", uint by = 2)
    {
        Write($"{from} -> {Describe(message)}");
        Mapper.Handle(new PeerArrival(InetEndpoint.Parse(from), InetEndpoint.Parse(to), by), message, Now);
        Drain();
    }

    public void Request(
        string from, string connecting, string accepting, ulong handle = 77, string? mapped = null,
        string to = "10.0.0.1:3935") => FromPeer(
        from, new PeerMessage(
            PeerMessageType.Request, handle, InetEndpoint.Parse(connecting), InetEndpoint.Parse(accepting),
            mapped is null ? default : InetEndpoint.Parse(mapped)), to);

    /// <summary>The answer of the host that was asked last, to where the Request came from.</summary>
    public void Answer(PeerMessageType type, ushort mappedPort = 0, string? from = null, string? to = null)
    {
        Effect asked = ToPeers.Last(e => e.Message.Type == PeerMessageType.Request);
        PeerMessage message =
            type == PeerMessageType.Accept ? asked.Message.AsAccept(mappedPort) : asked.Message.AsReject();
        FromPeer(from ?? asked.To.ToString(), message, to ?? asked.Message.Connecting.WithPort(41000).ToString());
    }

    public void Unreachable(
        string peer, ulong handle, FallbackCause cause = FallbackCause.Unreachable, string? source = null)
    {
        Write($"icmp: {peer} unreachable");
        Mapper.HandleUnreachable(
            InetEndpoint.Parse(peer), handle, cause, source is null ? default : InetEndpoint.Parse(source), Now);
        Drain();
    }

    /// <summary>Lets time pass, waking whenever the core wants to.</summary>
    public void Pass(TimeSpan time)
    {
        TimeSpan end = Now + time;
        while (Mapper.NextDeadline <= end)
        {
            Now = Mapper.NextDeadline > Now ? Mapper.NextDeadline : Now;
            Expire();
        }
        Now = end;
        Expire();
    }

    /// <summary>An audit that is due finds no device.</summary>
    public void Expire()
    {
        if (Mapper.Audit.IsDue(Now))
        {
            Audit("nobody to ask");
        }
        Mapper.Expire(Now);
        Drain();
    }

    /// <summary>An audit now, which finds these endpoints.</summary>
    public void Audit(string? whyIncomplete, params (string Local, EndpointUse Use)[] endpoints)
    {
        Mapper.Audit.Begin(Now);
        foreach ((string local, EndpointUse use) in endpoints)
        {
            Mapper.Audit.Count(InetEndpoint.Parse(local), use);
        }
        Mapper.Audit.End(whyIncomplete, Now);
    }

    /// <summary>By two equal counts, ten seconds apart, rows are changed.</summary>
    public void AuditTwice(params (string Local, EndpointUse Use)[] endpoints)
    {
        for (int look = 0; look < 2; look++)
        {
            Now += TimeSpan.FromSeconds(10);
            Assert.True(Mapper.Audit.IsDue(Now));
            Audit(null, endpoints);
        }
    }

    /// <summary>What became of the message with this number; nothing when there is none.</summary>
    private void Acknowledge(uint sequence, int result)
    {
        int index = Sent.FindLastIndex(effect => effect.IsToKernel && effect.Reply.Sequence == sequence);
        if (index >= 0)
        {
            Mapper.OnSent(
                Sent[index].Reply, new SendResult(result == 0 ? Delivery.Taken : Delivery.Refused, result), Now);
        }
    }

    public MappingRow Row(string local) => Mapper.Mappings[Mapper.Mappings.FindExactLocal(InetEndpoint.Parse(local))];

    public bool HasRow(string local) => Mapper.Mappings.FindExactLocal(InetEndpoint.Parse(local)) >= 0;

    public void Drain()
    {
        for (; Mapper.Outbox.Count > 0; Mapper.Outbox.Dequeue())
        {
            Effect effect = Mapper.Outbox.Peek();
            _buffer.AsSpan().Fill(0xa5);
            int length = effect.IsToKernel ? effect.Reply.Write(_buffer, portId: 99) : effect.Message.Write(_buffer);
            SentBytes.Add(_buffer[..length]);
            Sent.Add(effect);
            Write(
                effect.IsToKernel
                    ? $"kernel <- {Describe(effect.Reply)}"
                    : $"{effect.To} <- {Describe(effect.Message)}");
        }
    }

    private static string Describe(in KernelRequest r) => r.Operation switch
    {
        KernelOperation.AddMapping or KernelOperation.RemoveMapping =>
            $"{r.Operation} {r.Sequence} {r.Local} flags={r.Flags}",
        KernelOperation.QueryMapping => $"QueryMapping {r.Sequence} {r.Local} to {r.Remote} flags={r.Flags}",
        KernelOperation.MapInfo => $"MapInfo {r.Local} mapped {r.Mapped} flags={r.Flags}",
        KernelOperation.Done or KernelOperation.Error => $"{r.Operation} {r.Sequence} result={r.Result}",
        KernelOperation.RegisterPid => $"RegisterPid {r.Sequence} {r.Device} {r.Interface} {r.Library}",
        _ => $"{r.Operation} {r.Sequence} number={r.Number}",
    };

    private static string Describe(in KernelReply r) => r.Kind switch
    {
        KernelReplyKind.AddMapping =>
            $"AddMapping for {r.RequestSequence}: {r.Local} mapped {r.MappedLocal} error={r.Error}",
        KernelReplyKind.QueryMapping or KernelReplyKind.RemoteInfo =>
            $"{r.Kind} for {r.RequestSequence}: {r.Local} to {r.Remote} mapped {r.MappedLocal} to {r.MappedRemote} "
                + $"error={r.Error}",
        KernelReplyKind.HandleError => $"HandleError for {r.RequestSequence}: {r.Error}",
        KernelReplyKind.RegisterPid => $"RegisterPid for {r.RequestSequence}: {r.Device} abi={r.Abi}",
        KernelReplyKind.MapInfoNumber => $"MapInfoNumber for {r.RequestSequence}: sent={r.Sent} accepted={r.Accepted}",
        _ => $"{r.Kind} client={r.Client} abi={r.Abi}",
    };

    private static string Describe(in PeerMessage m) =>
        $"{m.Type} connecting {m.Connecting} accepting {m.Accepting}"
            + $"{(m.IsLong ? $" mapped {m.MappedConnecting}" : "")} handle={m.Handle:x}";

    private void Write(string line) =>
        _transcript.Append($"{(Now - TimeSpan.FromSeconds(1000)).TotalSeconds:0.000} ").Append(line).Append('\n');
}

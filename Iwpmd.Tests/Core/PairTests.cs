// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.State;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;
using Xunit.Abstractions;

namespace Iwpmd.Tests.Core;

/// <summary>
/// Two port mappers over a link that loses, delays, doubles and reorders, with a kernel on each side that checks what
/// it is told. Each seed is one run, always the same.
/// </summary>
public class PairTests(ITestOutputHelper output)
{
    private static readonly TimeSpan s_deadline = new PortMapperSettings().QueryDeadline;

    [Fact]
    public void With_a_tenth_lost_each_way_nearly_all_queries_end_in_agreement_and_the_rest_in_a_reported_failure()
    {
        int agreed = 0, unmapped = 0;
        for (int seed = 0; seed < 3000; seed++)
        {
            var run = new Run(
                seed, new Link(Loss: 0.1, Doubled: 0.05, MaxDelay: TimeSpan.FromMilliseconds(20)), queries: 20);
            run.Play();
            agreed += run.Agreed;
            unmapped += run.Unmapped;
        }
        output.WriteLine($"agreed {agreed}, reported as unanswered {unmapped}");
        Assert.Equal(60000, agreed + unmapped);
        Assert.True(agreed >= 60000 * 0.999, $"{agreed} of 60000");
    }

    [Fact]
    public void Whatever_the_link_does_nothing_leaks_and_nobody_disagrees_silently()
    {
        int agreed = 0, unmapped = 0, removed = 0;
        for (int seed = 10000; seed < 13000; seed++)
        {
            var random = new Random(seed);
            var link = new Link(
                random.NextDouble() * 0.6, random.NextDouble() * 0.5, TimeSpan.FromMilliseconds(random.Next(1, 1500)));
            var run = new Run(seed, link, queries: 12, removesEarly: true);
            run.Play();
            agreed += run.Agreed;
            unmapped += run.Unmapped;
            removed += run.RemovedEarly;
        }
        output.WriteLine($"agreed {agreed}, reported as unanswered {unmapped}, removed before the answer {removed}");
        Assert.Equal(36000, agreed + unmapped + removed);
        Assert.True(agreed > 0 && unmapped > 0 && removed > 0);
    }

    private sealed record Link(double Loss, double Doubled, TimeSpan MaxDelay);

    private sealed class Host(StateLayout state, FakePorts ports, PortMapper mapper, InetEndpoint address)
    {
        public StateLayout State => state;

        public FakePorts Ports => ports;

        public PortMapper Mapper => mapper;

        public InetEndpoint Address => address;

        /// <summary>REMOTE_INFO of remote hosts: mapped remote port by remote endpoint.</summary>
        public Dictionary<InetEndpoint, ushort> RemoteInfo { get; } = [];
    }

    private sealed record Packet(TimeSpan At, int Order, Host To, PeerArrival Arrival, PeerMessage Message);

    private sealed class Run
    {
        private readonly Random _random;
        private readonly Link _link;
        private readonly Host _client, _server;
        private readonly PriorityQueue<Packet, (TimeSpan, int)> _flying = new();
        // the client kernel's open queries: number to local endpoint
        private readonly Dictionary<uint, InetEndpoint> _waiting = [];
        private readonly int _queries;
        private readonly bool _removesEarly;
        private TimeSpan _now = TimeSpan.FromSeconds(1);
        private int _order;

        public Run(int seed, Link link, int queries, bool removesEarly = false)
        {
            (_random, _link, _queries, _removesEarly) = (new Random(seed), link, queries, removesEarly);
            _client = MakeHost("10.0.0.1:0");
            _server = MakeHost("10.0.0.2:0");
        }

        public int Agreed { get; private set; }

        public int Unmapped { get; private set; }

        public int RemovedEarly { get; private set; }

        public void Play()
        {
            Ask(_server, KernelOperation.AddMapping, 1, _server.Address.WithPort(7174), default);
            for (uint number = 1; number <= _queries; number++)
            {
                InetEndpoint local = _client.Address.WithPort((ushort)(5000 + number));
                _waiting[number] = local;
                Ask(_client, KernelOperation.QueryMapping, number, local, _server.Address.WithPort(7174));
                Pass(TimeSpan.FromMilliseconds(_random.Next(0, 50)));
                if (_removesEarly && _random.Next(4) == 0 && _waiting.Remove(number))
                {
                    Ask(_client, KernelOperation.RemoveMapping, 0, local, default);
                    RemovedEarly++;
                }
            }
            Pass(s_deadline);
            Assert.Empty(_waiting); // each was answered within the deadline
            End();
        }

        /// <summary>Everything is removed and every conversation lapses: nothing may be left on either host.</summary>
        private void End()
        {
            for (uint number = 1; number <= _queries; number++)
            {
                Ask(
                    _client, KernelOperation.RemoveMapping, 0, _client.Address.WithPort((ushort)(5000 + number)),
                    default);
            }
            Ask(_server, KernelOperation.RemoveMapping, 0, _server.Address.WithPort(7174), default);
            Pass(TimeSpan.FromSeconds(25));
            foreach (Host host in (Host[])[_client, _server])
            {
                Assert.Equal(
                    (0, 0, 0), (host.Mapper.Mappings.Count, host.Mapper.Conversations.Count, host.Ports.Held.Count));
            }
        }

        private Host MakeHost(string address)
        {
            var state = StateLayout.InMemory(StateCapacity.For(32), World.Identity);
            var ports = new FakePorts();
            var mapper = new PortMapper(
                state, ports, new PortMapperSettings(), () => (ulong)_random.NextInt64(), NullLogger.Instance);
            return new Host(state, ports, mapper, InetEndpoint.Parse(address));
        }

        private void Ask(Host host, KernelOperation operation, uint number, InetEndpoint local, InetEndpoint remote)
        {
            host.Mapper.Handle(
                new KernelRequest
                {
                    Operation = operation,
                    Client = 2,
                    Sequence = number,
                    Local = local,
                    Remote = remote,
                },
                _now, _now);
            Drain(host);
        }

        private void Pass(TimeSpan time)
        {
            TimeSpan end = _now + time;
            while (true)
            {
                TimeSpan next = _flying.Count > 0 ? _flying.Peek().At : TimeSpan.MaxValue;
                next = new[] { next, _client.Mapper.NextDeadline, _server.Mapper.NextDeadline }.Min();
                if (next > end)
                {
                    _now = end;
                    return;
                }
                _now = next > _now ? next : _now;
                while (_flying.Count > 0 && _flying.Peek().At <= _now)
                {
                    Packet packet = _flying.Dequeue();
                    packet.To.Mapper.Handle(packet.Arrival, packet.Message, _now);
                    Drain(packet.To);
                }
                foreach (Host host in (Host[])[_client, _server])
                {
                    host.Mapper.Expire(_now);
                    Drain(host);
                }
            }
        }

        private void Drain(Host host)
        {
            for (; host.Mapper.Outbox.Count > 0; host.Mapper.Outbox.Dequeue())
            {
                Effect effect = host.Mapper.Outbox.Peek();
                if (effect.IsToKernel)
                {
                    ToKernel(host, effect.Reply);
                }
                else
                {
                    Fly(host, effect);
                }
            }
        }

        private void ToKernel(Host host, in KernelReply reply)
        {
            if (reply.Kind == KernelReplyKind.RemoteInfo)
            {
                Assert.False(host.RemoteInfo.ContainsKey(reply.Remote), "sent twice");
                host.RemoteInfo[reply.Remote] = reply.MappedRemote.Port;
            }
            if (reply.Kind != KernelReplyKind.QueryMapping)
            {
                return;
            }
            Assert.True(_waiting.Remove(reply.RequestSequence), "answered twice, or after the removal");
            if (reply.MappedRemote == reply.Remote)
            {
                Unmapped++; // the kernel knows it
                return;
            }
            // The client believes in a mapped port: it must be the server's, and the server's kernel must know the
            // client's.
            Assert.Equal(_server.Mapper.Mappings[0].MappedPort, reply.MappedRemote.Port);
            Assert.Equal(reply.MappedLocal.Port, _server.RemoteInfo[reply.Local]);
            Agreed++;
        }

        private void Fly(Host from, in Effect effect)
        {
            Host to = from == _client ? _server : _client;
            ushort port = effect.Via == PeerSocket.Answering ? PortMapper.Port : (ushort)50000;
            var arrival = new PeerArrival(from.Address.WithPort(port), to.Address.WithPort(effect.To.Port), 2);
            int copies = _random.NextDouble() < _link.Doubled ? 2 : 1;
            for (int i = 0; i < copies; i++)
            {
                if (_random.NextDouble() >= _link.Loss)
                {
                    TimeSpan at = _now + (_link.MaxDelay * _random.NextDouble());
                    _flying.Enqueue(new Packet(at, _order, to, arrival, effect.Message), (at, _order++));
                }
            }
        }
    }
}

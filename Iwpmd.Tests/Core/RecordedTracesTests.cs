// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Core;

/// <summary>
/// Whole traces of C iwpmd on a real kernel, both sides in their order and at their times: what the kernel and the
/// peers sent goes in, and what comes out must be what C sent, field by field. The ports and handles that C chose are
/// handed to ours. Not compared: the number in the header of what we send to the kernel, which is a counter of our own,
/// and the order between kernel and peers (Differs: ours sends REMOTE_INFO first).
/// </summary>
public class RecordedTracesTests
{
    /// <summary>
    /// Differs: families are never mixed. Here C accepts an IPv4 Request for a [::] mapping, and the connection fails;
    /// ours rejects it.
    /// </summary>
    private const string MixedFamilies = "map/s05-v6wild-v4client.b";

    public static TheoryData<string> Traces => [.. Trace.Names];

    [Theory]
    [MemberData(nameof(Traces))]
    public void Ours_sends_what_C_sent(string name)
    {
        Trace trace = Trace.Read(name);
        (List<KernelReply> kernel, List<PeerMessage> peers) = Replay(trace);
        List<KernelReply> expectedKernel = [.. Sent(trace, TraceDirection.DaemonToKernel).Select(
            m => KernelBytes.ToReply(m.Bytes) with { Sequence = 0 })];
        List<PeerMessage> expectedPeers = [.. Sent(trace, TraceDirection.PeerOut).Select(m => Parse(m.Bytes))];
        if (name == MixedFamilies)
        {
            Assert.Equal(expectedKernel.Where(reply => reply.Kind != KernelReplyKind.RemoteInfo), kernel);
            Assert.Equal(
                expectedPeers.Select(
                    m => m with { Type = PeerMessageType.Reject, Accepting = m.Accepting.WithPort(7174) }),
                peers);
            return;
        }
        Assert.Equal(expectedKernel, kernel);
        Assert.Equal(expectedPeers, peers);
    }

    [Fact]
    public void The_kernel_hears_of_a_peer_before_the_peer_hears_of_the_mapping()
    {
        World world = new();
        world.Add("0.0.0.0:7174");
        world.Sent.Clear();
        world.Request("10.0.0.2:40000", "10.0.0.2:5001", "10.0.0.1:7174", mapped: "10.0.0.2:41000");
        Assert.Equal([true, false], world.Sent.Select(effect => effect.IsToKernel));
    }

    private static IEnumerable<TraceMessage> Sent(Trace trace, TraceDirection direction) =>
        trace.Messages.Where(m => m.Direction == direction);

    private static PeerMessage Parse(byte[] bytes) =>
        PeerMessage.TryParse(bytes, out PeerMessage message, out string? reason)
            ? message
            : throw new InvalidDataException(reason);

    private static (List<KernelReply> Kernel, List<PeerMessage> Peers) Replay(Trace trace)
    {
        List<KernelReply> kernel = [];
        List<PeerMessage> peers = [];
        World world = Prepare(trace, new World());
        void Collect()
        {
            kernel.AddRange(world.ToKernel.Select(reply => reply with { Sequence = 0 }));
            peers.AddRange(world.ToPeers.Select(effect => effect.Message));
        }
        TimeSpan start = world.Now;
        foreach (TraceMessage message in trace.Messages)
        {
            TimeSpan at = start + message.Time;
            world.Pass(at > world.Now ? at - world.Now : TimeSpan.Zero);
            switch (message.Direction)
            {
                case TraceDirection.DaemonToKernel when message.Operations[0] == "HELLO":
                    Collect(); // the daemon is started (again), without a state, as C is
                    world = Prepare(trace, new World(handshake: false) { Now = world.Now });
                    world.Start();
                    break;
                case TraceDirection.KernelToDaemon:
                    world.FromKernel(message.Bytes);
                    // whoever registers asks nothing before the answer
                    world.Pass(message.Operations[0] == "REG_PID" ? Registrations.Delay : TimeSpan.Zero);
                    break;
                case TraceDirection.PeerIn:
                    world.FromPeer(message.Peer.ToString(), message.Bytes);
                    break;
            }
        }
        world.Pass(Registrations.Delay);
        Collect();
        return (kernel, peers);
    }

    /// <summary>
    /// Ours chooses the ports and handles that C chose: those of requests that come later in the trace.
    /// </summary>
    private static World Prepare(Trace trace, World world)
    {
        Dictionary<uint, ushort> ports = Sent(trace, TraceDirection.DaemonToKernel).Select(
            m => KernelBytes.ToReply(m.Bytes))
            .Where(reply => reply.Kind is KernelReplyKind.AddMapping or KernelReplyKind.QueryMapping)
            .ToDictionary(reply => reply.RequestSequence, reply => reply.MappedLocal.Port);
        TimeSpan from = world.Now - new World().Now;
        foreach (RawNetlink request in Sent(trace, TraceDirection.KernelToDaemon).Where(m => m.Time >= from).SelectMany(
            m => RawNetlink.Read(m.Bytes)))
        {
            bool asks = request.Type is (2 << 10) + RdmaNetlink.RDMA_NL_IWPM_ADD_MAPPING
                or (2 << 10) + RdmaNetlink.RDMA_NL_IWPM_QUERY_MAPPING;
            if (asks && request.Attributes[^1].UInt32 == 0) // FLAGS
            {
                world.Ports.Chosen.Enqueue(ports[request.Sequence]);
            }
        }
        foreach (TraceMessage message in Sent(trace, TraceDirection.PeerOut).Where(
            m => m.Time >= from && Parse(m.Bytes).Type == PeerMessageType.Request))
        {
            world.Handles.Enqueue(Parse(message.Bytes).Handle);
        }
        return world;
    }
}

// SPDX-License-Identifier: MIT
using System.Text;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Wire;

/// <summary>What a real kernel 6.1 and C iwpmd really sent; see Support/Trace.</summary>
public class RecordedBytesTests
{
    private const int AddressSize = 128, FlowInformationAt = 4;

    public static TheoryData<string> Traces => [.. Trace.Names];

    [Theory]
    [MemberData(nameof(Traces))]
    public Task Every_recorded_message_is_understood(string trace)
    {
        var text = new StringBuilder();
        foreach (TraceMessage message in Trace.Read(trace).Messages.Where(
            message => message.Direction != TraceDirection.DaemonToKernel))
        {
            text.Append(message).Append('\n');
            text.Append(message.IsNetlink ? Annotate.FromKernel(message.Bytes) : Annotate.Peer(message.Bytes));
            text.AppendJoin(
                "",
                (message.IsNetlink ? KernelValues(message.Bytes) : [PeerValue(message.Bytes)]).Select(
                    value => $"= {value}\n")).Append('\n');
        }
        return Golden.VerifyRow(text.ToString(), "trace=" + trace);
    }

    [Fact]
    public void The_traces_hold_every_operation_of_the_kernel_and_every_type_of_peer_message()
    {
        IEnumerable<string> kernel = Trace.All.SelectMany(trace => trace.Messages).Where(
            message => message.Direction == TraceDirection.KernelToDaemon)
            .SelectMany(message => message.Operations).Distinct().Order();
        IEnumerable<int> peer = Trace.All.SelectMany(trace => trace.Messages).Where(
            message => !message.IsNetlink).Select(message => message.Bytes[0] & 0x3f).Distinct().Order();

        Assert.Equal(
            [
                "ADD_MAPPING", "HELLO", "MAPINFO", "MAPINFO_NUM", "NLMSG_DONE", "QUERY_MAPPING", "REG_PID",
                "REMOVE_MAPPING",
            ],
            kernel);
        Assert.Equal([0x04, 0x06, 0x14, 0x16, 0x24, 0x26, 0x34, 0x36], peer);
    }

    [Fact]
    public void What_C_iwpmd_told_the_kernel_is_what_we_write_with_zeros_for_its_stray_bytes()
    {
        var kinds = new HashSet<KernelReplyKind>();
        foreach (TraceMessage message in Trace.All.SelectMany(trace => trace.Messages).Where(
            message => message.Direction == TraceDirection.DaemonToKernel))
        {
            KernelReply reply = KernelBytes.ToReply(message.Bytes);
            byte[] ours = Hex.Dirty(KernelReply.MaxSize);
            int length = reply.Write(ours, RawNetlink.Read(message.Bytes)[0].PortId);

            Assert.Equal(Annotate.ToKernel(WithoutStrays(message.Bytes)), Annotate.ToKernel(ours[..length]));
            Assert.Equal(WithoutStrays(message.Bytes), ours[..length]);
            kinds.Add(reply.Kind);
        }
        Assert.Equal(
            [.. Enum.GetValues<KernelReplyKind>().Where(kind => kind != KernelReplyKind.HandleError)], kinds.Order());
    }

    [Fact]
    public void What_C_iwpmd_told_its_peers_is_what_we_write_with_zeros_for_its_stray_bytes()
    {
        foreach (TraceMessage message in Trace.All.SelectMany(trace => trace.Messages).Where(
            message => !message.IsNetlink))
        {
            Assert.True(PeerMessage.TryParse(message.Bytes, out PeerMessage value, out string? reason), reason);
            byte[] ours = Hex.Dirty(PeerMessage.RequestSize);
            int length = value.Write(ours);

            byte[] theirs = [.. message.Bytes];
            if (value.Connecting.Family == IpFamily.V4)
            {
                int[] v4Ends = theirs.Length == PeerMessage.RequestSize ? [20, 36, 52] : [20, 36];
                Array.ForEach(v4Ends, end => theirs.AsSpan(end, 12).Clear());
            }
            Assert.Equal(Annotate.Peer(theirs), Annotate.Peer(ours[..length]));
            Assert.Equal(theirs, ours[..length]);
        }
    }

    private static IEnumerable<string> KernelValues(byte[] datagram)
    {
        var values = new List<string>();
        var messages = new NetlinkMessages(datagram);
        while (messages.MoveNext())
        {
            values.Add(
                KernelRequest.TryParse(messages.Header, messages.Payload, out KernelRequest request, out string? reason)
                    ? Describe(request)
                    : $"nothing: {reason}");
        }
        Assert.False(messages.IsDamaged);
        return values;
    }

    private static string PeerValue(byte[] datagram) =>
        PeerMessage.TryParse(datagram, out PeerMessage message, out string? reason)
        ? $"{message.Type} handle={message.Handle:x16} connecting={message.Connecting} accepting={message.Accepting}"
            + (message.IsLong ? $" mapped={message.MappedConnecting}" : "")
        : $"nothing: {reason}";

    private static string Describe(in KernelRequest request)
    {
        var text = new StringBuilder($"{request.Operation} client={request.Client} sequence={request.Sequence}");
        Add("local", request.Local);
        Add("remote", request.Remote);
        Add("mapped", request.Mapped);
        text.Append(request.NoPortMap ? " no port map" : "");
        text.Append(
            request.Operation is KernelOperation.Hello or KernelOperation.MapInfoNumber
                ? $" number={request.Number}"
                : "");
        text.Append(request.Operation is KernelOperation.Done ? $" result={request.Result}" : "");
        text.Append(
            request.Operation is KernelOperation.RegisterPid
                ? $" interface={request.Interface} device={request.Device} library={request.Library}"
                : "");
        return text.ToString();

        void Add(string name, InetEndpoint endpoint) =>
            text.Append(endpoint.Family == IpFamily.None ? "" : $" {name}={endpoint}");
    }

    /// <summary>
    /// C iwpmd sends what its stack held behind an address and as flow information of v6; this clears it.
    /// </summary>
    private static byte[] WithoutStrays(byte[] datagram)
    {
        byte[] clean = [.. datagram];
        foreach (RawAttribute attribute in RawNetlink.Read(datagram).SelectMany(message => message.Attributes))
        {
            int used = attribute.Value.Length == AddressSize ? attribute.AddressSize : attribute.Value.Length;
            clean.AsSpan(attribute.At + 4 + used, attribute.Value.Length + attribute.Padding.Length - used).Clear();
            if (attribute.Value.Length == AddressSize && attribute.AddressSize == Sockaddr.In6Size)
            {
                clean.AsSpan(attribute.At + 4 + FlowInformationAt, sizeof(uint)).Clear();
            }
        }
        return clean;
    }
}

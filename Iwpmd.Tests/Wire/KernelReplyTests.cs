// SPDX-License-Identifier: MIT
using System.Text;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Wire;

public class KernelReplyTests
{
    private const uint PortId = 0xaf;

    private static readonly KernelReply[] Samples =
    [
        new() { Kind = KernelReplyKind.Hello, Client = 2, Sequence = 1, Abi = 4 },
        new() { Kind = KernelReplyKind.MapInfo, Client = 3, Sequence = 2, Abi = 3 },
        new()
        {
            Kind = KernelReplyKind.RegisterPid,
            Client = 2,
            Sequence = 3,
            RequestSequence = 7,
            Device = new("siw0"),
            Abi = 4,
        },
        new() { Kind = KernelReplyKind.RegisterPid, Client = 2, Sequence = 3, RequestSequence = 7, Device = new(
            new string('x', 31)), Abi = 3, Error = MappingError.VersionMismatch },
        new() { Kind = KernelReplyKind.AddMapping, Client = 2, Sequence = 4, RequestSequence = 8, Local = At(
            "10.0.0.1:5000"), MappedLocal = At("10.0.0.1:41003") },
        new() { Kind = KernelReplyKind.AddMapping, Client = 2, Sequence = 5, RequestSequence = 9, Local = At(
            "[fe80::1%2]:5000"), MappedLocal = At("[fe80::1%2]:41003") },
        new()
        {
            Kind = KernelReplyKind.QueryMapping, Client = 2, Sequence = 6, RequestSequence = 10,
            Error = MappingError.RejectedByPeer,
            Local = At("10.0.0.1:5000"), Remote = At("10.0.0.2:7174"), MappedLocal = At("10.0.0.1:41003"),
            MappedRemote = At("10.0.0.2:7174"),
        },
        new()
        {
            Kind = KernelReplyKind.RemoteInfo, Client = 2, Sequence = 7,
            Local = At("[::]:5000"), Remote = At("[fd00::2]:7174"), MappedLocal = At("[::]:41003"),
            MappedRemote = At("[fd00::2]:48307"),
        },
        new()
        {
            Kind = KernelReplyKind.HandleError,
            Client = 2,
            Sequence = 8,
            RequestSequence = 11,
            Error = MappingError.Duplicate,
        },
        new()
        {
            Kind = KernelReplyKind.MapInfoNumber,
            Client = 2,
            Sequence = 9,
            RequestSequence = 12,
            Sent = 228,
            Accepted = 227,
        },
    ];

    public static TheoryData<int> SampleNumbers => [.. Enumerable.Range(0, Samples.Length)];

    [Fact]
    public Task Every_kind_has_these_bytes()
    {
        var text = new StringBuilder();
        foreach (KernelReply reply in Samples)
        {
            text.Append(reply.Kind).Append('\n').Append(Annotate.ToKernel(Write(reply))).Append('\n');
        }
        return Golden.Verify(text.ToString());
    }

    [Theory]
    [MemberData(nameof(SampleNumbers))]
    public void The_kernel_reads_what_was_meant(int sample) =>
        Assert.Equal(Samples[sample], KernelBytes.ToReply(Write(Samples[sample])));

    [Theory]
    [MemberData(nameof(SampleNumbers))]
    public void No_byte_depends_on_what_the_buffer_held_before(int sample)
    {
        byte[] zeros = new byte[KernelReply.MaxSize];
        int length = Samples[sample].Write(zeros, PortId);

        Assert.Equal(zeros[..length], Write(Samples[sample]));
    }

    [Theory]
    [MemberData(nameof(SampleNumbers))]
    public void Nothing_is_written_behind_the_message(int sample)
    {
        byte[] buffer = Hex.Dirty(KernelReply.MaxSize + 64);
        int length = Samples[sample].Write(buffer, PortId);

        Assert.Equal(-1, buffer.AsSpan(length).IndexOfAnyExcept((byte)0xa5));
    }

    [Fact]
    public void The_scope_is_given_back_as_received()
    {
        KernelReply reply = Samples[5] with { Local = At("[fd00::1]:1").WithScope(7) };

        Assert.Equal(7u, BitConverter.ToUInt32(Assert.Single(RawNetlink.Read(Write(reply)))[2].Value, 24));
    }

    [Fact]
    public void The_longest_message_takes_what_is_promised() =>
        Assert.Equal(KernelReply.MaxSize, Samples.Max(reply => Write(reply).Length));

    [Fact]
    public void Every_kind_is_among_the_samples() =>
        Assert.Equal(Enum.GetValues<KernelReplyKind>(), Samples.Select(reply => reply.Kind).Distinct().Order());

    private static byte[] Write(in KernelReply reply)
    {
        byte[] buffer = Hex.Dirty(KernelReply.MaxSize);
        return buffer[..reply.Write(buffer, PortId)];
    }

    private static InetEndpoint At(string text) => InetEndpoint.Parse(text);
}

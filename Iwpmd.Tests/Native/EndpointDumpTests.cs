// SPDX-License-Identifier: MIT
using System.Diagnostics;
using System.Text;
using Iwpmd.Tests.Support;
using Iwpmd.Tests.Wire;
using Iwpmd.Wire;
using Xunit;
using static Iwpmd.Wire.RdmaNetlink;

namespace Iwpmd.Tests.Native;

/// <summary>
/// The requests for the host's endpoints after a registration hijack, when messages went to another process, and the
/// audit by the answers. Each count is made ten seconds after the last.
/// </summary>
public sealed class EndpointDumpTests : IDisposable
{
    private const uint Device = 3;

    private readonly Scene _scene = new Scene().Ready();

    public void Dispose() => _scene.Dispose();

    [Fact]
    public void A_mapping_whose_REMOVE_another_process_got_ends_and_the_others_stay()
    {
        ushort ended = _scene.AddMapping("10.0.0.1:5000"), kept = _scene.AddMapping("10.0.0.1:5001");
        List<string> asked = [];
        _scene.Kernel.AnswerDevices(question =>
        {
            asked.Add(
                question.Operation
                    + (question.Attributes.Count > 0 ? $" of {question[RDMA_NLDEV_ATTR_DEV_INDEX].UInt32}" : ""));
            return Truth(question, 1, "10.0.0.1:5001").Select(datagram => (datagram, 0u));
        });
        HijackRegistration();
        Assert.Contains("1 iWARP devices, 1 endpoints: complete", _scene.Daemon.ExpectLog("kernel: audit"));
        Assert.False(_scene.IsFree(ended)); // one audit is not enough
        Assert.Contains("1 mappings", _scene.Daemon.ExpectLog("mapping: reconciled"));
        Assert.True(_scene.IsFree(ended));
        Assert.False(_scene.IsFree(kept));
        _scene.Kernel.Expect(KernelReplyKind.AddMapping, _scene.Kernel.Send(Scene.Add("10.0.0.1:5000")));
        string[] look =
            [
                $"{RDMA_NLDEV_CMD_SYS_GET}", $"{RDMA_NLDEV_CMD_GET}", $"{RDMA_NLDEV_CMD_RES_GET}",
                $"{RDMA_NLDEV_CMD_RES_CM_ID_GET} of {Device}", $"{RDMA_NLDEV_CMD_RES_GET}",
            ];
        Assert.Equal([.. look, .. look], asked);
    }

    [Fact]
    public void Silence_and_noise_end_nothing()
    {
        ushort port = _scene.AddMapping("10.0.0.1:5000");
        var random = new Random(1);
        bool isSilent = true;
        int noise = 0;
        _scene.Kernel.AnswerDevices(question =>
        {
            (bool wasSilent, isSilent) = (isSilent, false);
            return wasSilent ? [] : Noise(question, random, ref noise);
        });
        HijackRegistration();
        Assert.Contains("ETIMEDOUT", _scene.Daemon.ExpectLog("kernel: audit"));
        _scene.Daemon.ExpectLog("endpoints are shown");
        Assert.True(noise > 500, $"{noise} datagrams");
        Assert.False(_scene.IsFree(port));
        _scene.Kernel.Expect(KernelReplyKind.AddMapping, _scene.Kernel.Send(Scene.Add("10.0.0.1:5001")));
        _scene.Daemon.Stop();
    }

    [Fact]
    public void A_list_that_the_kernel_calls_inconsistent_is_not_believed()
    {
        _scene.AddMapping("10.0.0.1:5000");
        _scene.Kernel.AnswerDevices(question => Truth(question, 1, "10.0.0.1:5001").Select(datagram =>
        {
            datagram[6] |= (byte)(question.Operation == RDMA_NLDEV_CMD_RES_CM_ID_GET ? NLM_F_DUMP_INTR : 0);
            return (datagram, 0u);
        }));
        HijackRegistration();
        Assert.Contains("endpoints came or went while they were listed", _scene.Daemon.ExpectLog("kernel: audit"));
    }

    [Fact]
    public void Requests_do_not_wait_for_a_kernel_that_is_silent_about_its_devices()
    {
        _scene.AddMapping("10.0.0.1:5000");
        int asked = 0;
        _scene.Kernel.AnswerDevices(_ =>
        {
            asked++;
            return [];
        });
        HijackRegistration();
        // Who waits for the answer in the loop serves none before that is given up.
        Assert.InRange(
            AddsMeanwhile(from: () => asked > 0, until: () => Says("endpoints: Connection timed out (ETIMEDOUT)")), 3,
            int.MaxValue);
    }

    [Fact]
    public void Requests_do_not_wait_for_25000_endpoints()
    {
        _scene.AddMapping("10.0.0.1:5000");
        const int Endpoints = 25_000, PerDatagram = 125;
        int asked = 0;
        _scene.Kernel.AnswerDevices(question =>
        {
            byte[][] truth = question.Operation == RDMA_NLDEV_CMD_RES_CM_ID_GET
                ? [.. Enumerable.Range(0, Endpoints / PerDatagram).Select(
                    i => Shown(question, i * PerDatagram, PerDatagram)), Done(question)]
                : Truth(question, Endpoints);
            asked++;
            return truth.Select(datagram => (datagram, 0u));
        });
        HijackRegistration();
        // each is answered; an audit that a busy machine did not end in time comes again
        string complete = $"{Endpoints} endpoints: complete";
        _ = AddsMeanwhile(from: () => asked > 0, until: () => asked >= 5 && Says(complete));
        _scene.Daemon.ExpectLog(complete);
    }

    private bool Says(string text) => _scene.Daemon.Errors.Contains(text, StringComparison.Ordinal);

    /// <summary>
    /// Adds and removes one mapping after the other; how many were asked for and answered in that time.
    /// </summary>
    private int AddsMeanwhile(Func<bool> from, Func<bool> until)
    {
        int count = 0;
        for (var all = Stopwatch.StartNew(); !until() && all.Elapsed < Timeouts.Answer;)
        {
            bool counts = from();
            _scene.AddMapping("10.0.0.1:6000", flags: 1);
            count += counts && !until() ? 1 : 0;
            _scene.Kernel.Send(Scene.Remove("10.0.0.1:6000"));
            Thread.Sleep(5);
        }
        return count;
    }

    private static byte[] Shown(RawNetlink question, int first, int count) => Answer(
        question, NLM_F_MULTI,
        [.. Index, .. KernelBytes.Attribute(RDMA_NLDEV_ATTR_RES_CM_ID, [.. Enumerable.Range(first, count).SelectMany(
            i => Listener($"10.1.0.1:{1024 + i}"))])]);

    /// <summary>As if another process had sent HELLO: the kernel registers again.</summary>
    private void HijackRegistration()
    {
        Thread.Sleep(500); // later than the registrations of one start
        _scene.Drain(); // the daemon dates what comes by when it last saw an empty socket
        _scene.Kernel.Expect(KernelReplyKind.RegisterPid, _scene.Kernel.Send(Scene.Register));
        _scene.Daemon.ExpectLog("another process registered as port mapper");
    }

    /// <summary>What a kernel says whose only device has so many endpoints, and shows these.</summary>
    private static byte[][] Truth(RawNetlink question, int endpoints, params string[] listeners) =>
        question.Operation switch
    {
        RDMA_NLDEV_CMD_SYS_GET => [Answer(question, 0, KernelBytes.Attribute(RDMA_NLDEV_SYS_ATTR_NETNS_MODE, [1]))],
        RDMA_NLDEV_CMD_GET =>
            [
                Answer(question, NLM_F_MULTI, [.. Index, .. KernelBytes.Attribute(RDMA_NLDEV_ATTR_DEV_NODE_TYPE, [4])]),
                Done(question),
            ],
        RDMA_NLDEV_CMD_RES_GET => [Answer(question, NLM_F_MULTI, [.. Index, .. Summary(endpoints)]), Done(question)],
        _ =>
        [
            Answer(
                question, NLM_F_MULTI,
                [.. Index, .. KernelBytes.Attribute(RDMA_NLDEV_ATTR_RES_CM_ID, [.. listeners.SelectMany(Listener)])]),
            Done(question),
        ],
    };

    /// <summary>
    /// Payloads of a real kernel, cut and changed, as answers to this question or to another; then 99 endpoints, none
    /// of which is shown.
    /// </summary>
    private static IEnumerable<(byte[] Datagram, uint Source)> Noise(RawNetlink question, Random random, ref int sent)
    {
        var datagrams = new List<(byte[] Datagram, uint Source)>();
        byte[][] payloads = [.. DeviceResourcesTests.Payloads];
        for (; datagrams.Count < 100; sent++)
        {
            byte[] payload = payloads[random.Next(payloads.Length)];
            payload = payload[..random.Next(1, payload.Length + 1)];
            for (int change = random.Next(6); change > 0; change--)
            {
                payload[random.Next(random.Next(2) == 0 ? payload.Length : Math.Min(32, payload.Length))] =
                    (byte)random.Next(256);
            }
            datagrams.Add((
                Answer(
                    random.Next(4) == 0 ? question with { Sequence = question.Sequence + 1 } : question, NLM_F_MULTI,
                    payload),
                0));
        }
        datagrams.Add((Done(question), 4711)); // of a process
        datagrams.AddRange(Truth(question, 99).Select(datagram => (datagram, 0u)));
        return datagrams;
    }

    private static byte[] Index => KernelBytes.Attribute(RDMA_NLDEV_ATTR_DEV_INDEX, BitConverter.GetBytes(Device));

    private static byte[] Answer(RawNetlink question, int flags, byte[] payload) =>
        KernelBytes.Message(question.Type, flags, question.Sequence, question.PortId, payload);

    private static byte[] Done(RawNetlink question) =>
        KernelBytes.Message(RawNetlink.Done, NLM_F_MULTI, question.Sequence, question.PortId, new byte[4]);

    private static byte[] Summary(int endpoints) =>
        KernelBytes.Attribute(RDMA_NLDEV_ATTR_RES_SUMMARY, KernelBytes.Attribute(RDMA_NLDEV_ATTR_RES_SUMMARY_ENTRY,
    [
        .. KernelBytes.Attribute(RDMA_NLDEV_ATTR_RES_SUMMARY_ENTRY_NAME, Encoding.ASCII.GetBytes("cm_id\0")),
        .. KernelBytes.Attribute(RDMA_NLDEV_ATTR_RES_SUMMARY_ENTRY_CURR, BitConverter.GetBytes((ulong)endpoints)),
    ]));

    private static byte[] Listener(string local) => KernelBytes.Attribute(RDMA_NLDEV_ATTR_RES_CM_ID_ENTRY,
    [
        .. KernelBytes.Attribute(RDMA_NLDEV_ATTR_RES_STATE, [8]),
        .. KernelBytes.Attribute(RDMA_NLDEV_ATTR_RES_SRC_ADDR, KernelBytes.Storage(InetEndpoint.Parse(local))),
    ]);
}

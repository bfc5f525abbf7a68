// SPDX-License-Identifier: MIT
using System.Collections.Concurrent;
using System.Diagnostics;
using Iwpmd.Os;
using Iwpmd.Tests.Os;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Support;

/// <summary>
/// The kernel's end of a socket pair: answers each message with DONE, as the kernel does, HELLO with HELLO, and keeps
/// what it was told.
/// </summary>
internal sealed class FakeKernel : IDisposable
{
    private const uint PortId = 4242;
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(20);

    private readonly NetlinkSocket _end;
    private readonly Thread _thread;
    private readonly BlockingCollection<(KernelReply Reply, long At)> _told = [];
    private volatile bool _ended;

    public FakeKernel()
    {
        (int daemon, int kernel) = TestLibc.DatagramPair();
        Daemon = new NetlinkSocket(daemon, PortId);
        _end = new NetlinkSocket(kernel, 0);
        _thread = new Thread(Serve) { IsBackground = true };
        _thread.Start();
    }

    public NetlinkSocket Daemon { get; }

    /// <summary>What comes back for the next message, in the place of DONE with 0; then the rule holds again.</summary>
    public ConcurrentQueue<KernelRequest> Acks { get; } = new();

    /// <summary>What happens before the ACK of the next message.</summary>
    public ConcurrentQueue<Action> Meanwhile { get; } = new();

    /// <summary>The ACK of the next message is not sent.</summary>
    public volatile bool LosesAck;

    public void Say(params KernelRequest[] requests) =>
        SayBytes([.. requests.SelectMany(r => KernelBytes.Of(r, portId: PortId))]);

    /// <summary>Waits for room, which a socket pair has for a few datagrams only.</summary>
    public void SayBytes(byte[] datagram)
    {
        Errno error;
        while ((error = _end.Send(datagram)) == Errno.EAGAIN && !_ended)
        {
            Thread.Yield();
        }
        // refused: the daemon has ended
        Assert.True(_ended || error is Errno.None or Errno.ECONNREFUSED, error.Text());
    }

    /// <summary>The next message of the daemon; fails when there is none.</summary>
    public KernelReply Next() => NextAt().Reply;

    /// <summary>The same, and when it came, as <see cref="Stopwatch"/> says it.</summary>
    public (KernelReply Reply, long At) NextAt() => _told.TryTake(
        out (KernelReply, long) told,
        s_patience) ? told : throw new TimeoutException("the daemon sent the kernel nothing");

    public bool WasToldNothing => _told.Count == 0;

    /// <summary>Whether or not somebody is there to read it, and has room.</summary>
    public void TrySay(byte[] datagram) => _ = _end.Send(datagram);

    public void Dispose()
    {
        _ended = true;
        _thread.Join();
        _end.Dispose();
        _told.Dispose();
    }

    private void Serve()
    {
        var buffer = new byte[KernelReply.MaxSize];
        while (!_ended)
        {
            if (!_end.WaitReadable(TimeSpan.FromMilliseconds(50))
                || _end.Receive(buffer, out int length, out _) != Errno.None || length == 0)
            {
                continue;
            }
            long at = Stopwatch.GetTimestamp();
            KernelReply reply = KernelBytes.ToReply(buffer[..length]);
            bool other = Acks.TryDequeue(out KernelRequest ack);
            if (reply.Kind == KernelReplyKind.Hello && ack.Operation != KernelOperation.Error)
            {
                Say(new KernelRequest { Operation = KernelOperation.Hello, Client = 2, Sequence = 1, Number = 4 });
            }
            if (Meanwhile.TryDequeue(out Action? meanwhile))
            {
                meanwhile();
            }
            if (!LosesAck)
            {
                Say(
                    (
                        other ? ack : new KernelRequest { Operation = KernelOperation.Done }) with { Sequence =
                            reply.Sequence });
            }
            LosesAck = false;
            _told.Add((reply, at));
        }
    }
}

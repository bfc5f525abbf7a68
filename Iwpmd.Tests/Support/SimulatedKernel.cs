// SPDX-License-Identifier: MIT
using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Iwpmd.Os.Interop;
using Iwpmd.Os;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.Support;

/// <summary>
/// The player of simkernel.h: sends what a kernel would ask, records all that daemons say, and judges it as the kernel
/// would (<see cref="KernelJudge"/>). What the library does by itself: DONE, ERROR, HELLO and the replay.
/// </summary>
internal sealed unsafe partial class SimulatedKernel : IDisposable
{
    /// <summary>What a request is charged for in the receive buffer of the real kernel.</summary>
    public const uint RequestCharge = 1280;

    private const uint Magic = 0x6d697371, Adopt = 0x6d697372;
    private const int ReplayAt = 4096, FileSize = ReplayAt + (1 << 20);
    private const int Held = 1, Silent = 2, Overrun = 3;

    private readonly string _folder = Directory.CreateTempSubdirectory("iwpmd-kernel-").FullName;
    private readonly Memory* _memory;
    private readonly int _listener, _wakeRead, _wakeWrite;
    private readonly Thread _thread;
    private readonly KernelJudge _judge = new();
    private readonly List<SimulatedSocket> _sockets = [];
    private readonly List<DaemonMessage> _messages = [];
    private readonly HashSet<DaemonMessage> _expected = [];
    private readonly object _lock = new();
    private int _added;
    private Func<RawNetlink, IEnumerable<(byte[] Datagram, uint Source)>> _answerDevices = _ => [];

    public SimulatedKernel(int abi = 4)
    {
        File.Copy(Binaries.SimulatedKernel, Library); // a daemon of another user may not reach where it was built
        string file = Path.Combine(_folder, "kernel");
        File.WriteAllBytes(file, new byte[FileSize]);
        int fd = Libc.open(file, Libc.O_RDWR | Libc.O_CLOEXEC, 0);
        _memory = (Memory*)Libc.mmap(0, FileSize, Libc.PROT_READ | Libc.PROT_WRITE, Libc.MAP_SHARED, fd, 0);
        SocketFd.Close(fd);
        *_memory = new Memory
        {
            Magic = Magic,
            NextSequence = 1,
            Abi = (uint)abi,
            Clients = 1 << 2,
            ReplayPerDatagram = 12,
            MaxReceiveBuffer = 212992,
        };
        Abi = abi;
        _listener = Listen(Path.Combine(_folder, "socket"));
        int* pipe = stackalloc int[2];
        NativeCalls.Succeed(Libc.pipe2(pipe, Libc.O_CLOEXEC), "pipe2");
        (_wakeRead, _wakeWrite) = (pipe[0], pipe[1]);
        _thread = new Thread(Serve) { IsBackground = true, Name = "kernel" };
        _thread.Start();
    }

    public int Abi { get; }

    /// <summary>Complaints of the judge do not fail the test: for the C daemon, which deserves some.</summary>
    public bool IsForgiving { get; init; }

    private string Library => Path.Combine(_folder, "simkernel.so");

    /// <summary>What makes a process see this kernel.</summary>
    public IReadOnlyDictionary<string, string> Environment =>
        new Dictionary<string, string> { ["LD_PRELOAD"] = Library, ["SIMKERNEL"] = _folder };

    /// <summary>The socket that was opened last, but for those that only ask about devices.</summary>
    public SimulatedSocket Socket
    {
        get
        {
            lock (_lock)
            {
                return _sockets.FindLast(s => s.Groups != 0) ?? _sockets[^1];
            }
        }
    }

    /// <summary>Processes that opened a socket here.</summary>
    public int[] Processes
    {
        get
        {
            lock (_lock)
            {
                return [.. _sockets.Select(s => s.ProcessId).Distinct()];
            }
        }
    }

    /// <summary>How many ADDs were answered by a mapping.</summary>
    public int Added => Volatile.Read(ref _added);

    /// <summary>All that any daemon sent, in order.</summary>
    public DaemonMessage[] Messages
    {
        get
        {
            lock (_lock)
            {
                return [.. _messages];
            }
        }
    }

    /// <summary>
    /// -errno for every message of a client; -22 for client 2 is a kernel without iw_cm, or one in another network
    /// namespace.
    /// </summary>
    public void RemoveClients() => _memory->Clients = 0;

    /// <summary>One more kernel module that uses the port mapper.</summary>
    public void AddClient(int client) => _memory->Clients |= 1u << client;

    /// <summary>
    /// What is asked about devices gets these datagrams, each with the port id that it comes from. Otherwise nobody can
    /// be asked about devices.
    /// </summary>
    public void AnswerDevices(Func<RawNetlink, IEnumerable<(byte[] Datagram, uint Source)>> answer)
    {
        lock (_lock)
        {
            _answerDevices = answer;
        }
        AddClient(RdmaNetlink.RDMA_NL_NLDEV);
    }

    /// <summary>How many mappings of the replay go into one datagram.</summary>
    public void SetReplayDatagram(int mappings) => _memory->ReplayPerDatagram = (uint)mappings;

    /// <summary>socket() fails, as without ib_core.</summary>
    public void RefuseSockets(Errno error) => _memory->SocketErrno = (int)error;

    /// <summary>Receiving from UDP sockets fails, as when a security module denies it; None ends that.</summary>
    public void RefusePeers(Errno error) => _memory->PeerErrno = (int)error;

    /// <summary>How often it did.</summary>
    public long PeersRefused => Volatile.Read(ref _memory->PeerRefused);

    /// <summary>So many port ids are taken.</summary>
    public void TakePortIds(int count) => _memory->BindsInUse = (uint)count;

    /// <summary>The kernel takes its time: a send of this kind does not return before it is let go.</summary>
    public void Hold(KernelReplyKind kind) => _memory->Action[(int)kind] = Held;

    public void LetGo(KernelReplyKind kind) => _memory->Action[(int)kind] = 0;

    /// <summary>The kernel takes it and says nothing to it.</summary>
    public void BeSilent(KernelReplyKind kind) => _memory->Action[(int)kind] = Silent;

    /// <summary>
    /// What the kernel says to the next message of this kind is lost, since the daemon's receive buffer is full.
    /// </summary>
    public void LoseAnswer(KernelReplyKind kind) => _memory->Action[(int)kind] = Overrun;

    /// <summary>The daemon gets no processor just as it is about to receive; returns when it is there.</summary>
    public void HoldReceive()
    {
        Volatile.Write(ref _memory->HoldReceive, 1);
        for (var waited = Stopwatch.StartNew(); Volatile.Read(ref _memory->HoldReceive) != 2; Thread.Sleep(1))
        {
            Assert.True(waited.Elapsed < Timeouts.Answer, "the daemon does not receive");
        }
    }

    public void LetGoReceive() => Volatile.Write(ref _memory->HoldReceive, 0);

    public void Refuse(KernelReplyKind kind, Errno error) => _memory->Action[(int)kind] = -(int)error;

    /// <summary>A fresh iw_cm counts from 1 again.</summary>
    public void RestartSequence() => _memory->NextSequence = 1;

    /// <summary>What the kernel replays to the next MAPINFO.</summary>
    public void SetReplay(params IEnumerable<KernelRequest> mappings)
    {
        byte[] bytes = [.. mappings.SelectMany(
            mapping => KernelBytes.Of(mapping with { Operation = KernelOperation.MapInfo, Client = 2 }, Abi))];
        bytes.CopyTo(new Span<byte>((byte*)_memory + ReplayAt, FileSize - ReplayAt));
        (_memory->ReplayBytes, _memory->ReplayCount) = ((uint)bytes.Length, (uint)mappings.Count());
    }

    /// <summary>Sends one request the way the kernel delivers it, and returns its sequence number.</summary>
    public uint Send(KernelRequest request)
    {
        uint sequence = NewSequence();
        request = request with { Sequence = sequence, Client = request.Client == 0 ? (byte)2 : request.Client };
        byte[] bytes = KernelBytes.Of(request, Abi);
        lock (_lock)
        {
            _judge.Asked(request, Clock.Now);
        }
        if (request.Operation == KernelOperation.RegisterPid)
        {
            Socket.SendOrDrop(bytes, RequestCharge, 0);
        }
        else
        {
            Assert.True(
                Socket.SendBlocking(bytes, RequestCharge),
                $"no room for {request.Operation} {sequence}: the daemon does not read");
        }
        return sequence;
    }

    public uint NewSequence() => Interlocked.Increment(ref _memory->NextSequence) - 1;

    /// <summary>Any bytes, from any process.</summary>
    public void SendRaw(byte[] datagram, uint source = 0) =>
        Assert.True(Socket.SendOrDrop(datagram, RequestCharge, source), "no room");

    /// <summary>Remembers requests that go out in a datagram of the test's own.</summary>
    public KernelRequest Announce(KernelRequest request)
    {
        request = request with { Sequence = NewSequence(), Client = 2 };
        lock (_lock)
        {
            _judge.Asked(request, Clock.Now);
        }
        return request;
    }

    /// <summary>
    /// The next message of this kind, and to this request, that was not expected before and that the kernel took.
    /// </summary>
    public KernelReply Expect(KernelReplyKind kind, uint? requestSequence = null) =>
        ExpectMessage(kind, requestSequence).Reply;

    public DaemonMessage ExpectMessage(KernelReplyKind kind, uint? requestSequence = null) =>
        ExpectMessage(
            m =>
                m.Verdict == 0 && m.IsRequest && m.Kind == kind
                    && (requestSequence is null || m.Reply.RequestSequence == requestSequence),
            $"{kind} {requestSequence}");

    public DaemonMessage ExpectMessage(Func<DaemonMessage, bool> fits, string what)
    {
        var waited = Stopwatch.StartNew();
        lock (_lock)
        {
            while (true)
            {
                Assert.True(
                    _judge.Complaints.Count == 0 || IsForgiving,
                    $"the kernel complains: {string.Join("; ", _judge.Complaints)}");
                if (_messages.Find(m => !_expected.Contains(m) && fits(m)) is DaemonMessage found)
                {
                    _expected.Add(found);
                    return found;
                }
                TimeSpan left = Timeouts.Answer - waited.Elapsed;
                Assert.True(left > TimeSpan.Zero, $"{what} did not come; came:\n  {string.Join("\n  ", _messages)}");
                Monitor.Wait(_lock, left);
            }
        }
    }

    /// <summary>Whether anything of this kind came that nobody expected.</summary>
    public bool HasUnexpected(KernelReplyKind kind, uint? requestSequence = null)
    {
        lock (_lock)
        {
            return _messages.Exists(
                m =>
                    !_expected.Contains(m) && m.Kind == kind
                        && (requestSequence is null || m.Reply.RequestSequence == requestSequence));
        }
    }

    /// <summary>HELLO and the request for the replay, as every start has them.</summary>
    public void ExpectHandshake()
    {
        Expect(KernelReplyKind.Hello);
        Expect(KernelReplyKind.MapInfo);
    }

    public void Dispose()
    {
        byte any = 0;
        _ = Libc.write(_wakeWrite, &any, 1);
        _thread.Join();
        _sockets.ForEach(s => s.Dispose());
        foreach (int fd in (int[])[_listener, _wakeRead, _wakeWrite])
        {
            SocketFd.Close(fd);
        }
        _ = Libc.munmap((nint)_memory, FileSize);
        Directory.Delete(_folder, recursive: true);
    }

    /// <summary>struct simkernel</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct Memory
    {
        public uint Magic, NextSequence, Abi, Clients;
        public int SocketErrno;
        public uint BindsInUse, ReplayBytes, ReplayCount, ReplayPerDatagram, MaxReceiveBuffer;
        public Actions Action;
        public uint Quiet, HoldReceive, ReplayWhole, OwnEnd;
        public int PeerErrno;
        public uint PeerRefused;
    }

    [InlineArray(16)]
    private struct Actions
    {
        private int _first;
    }
}

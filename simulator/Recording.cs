// SPDX-License-Identifier: MIT
using System.Text.RegularExpressions;
using Iwpmd.Wire;
using static Iwpmd.Wire.RdmaNetlink;

namespace Iwpmd.Simulation;

/// <summary>
/// A recording of a real kernel and a daemon, played to the kernel of the model: it gets what the daemon sent, its
/// programs open and end the endpoints that the recording has, and each of its messages must be the recorded one, byte
/// by byte. Requests and answers are compared each in their own order, since a request may have waited in the socket
/// before the answer that stands before it. Not compared: what SEQ has in a request, a number of the daemon's
/// (doc/protocol.md K1.8), and the order of a replay, which is that of a hash table.
/// </summary>
internal sealed partial class Recording
{
    private static readonly TimeSpan s_aThreadGoesOn = TimeSpan.FromMilliseconds(30), s_most = TimeSpan.FromSeconds(1);

    private readonly World _world = new(0, null);
    private readonly Machine _machine;
    private readonly List<(bool IsFromKernel, byte[] Bytes)> _messages = [];
    private readonly Queue<byte[]> _requests = new(), _answers = new();
    private readonly HashSet<int> _opened = [];
    private NetlinkEnd? _end;
    private int _compared;

    private Recording(IEnumerable<string> lines)
    {
        _machine = new Machine(_world, "recorded", []);
        foreach (string line in lines)
        {
            if (NetlinkLine().Match(line) is { Success: true } match)
            {
                _messages.Add(
                    (match.Groups[1].Value == "kernel->daemon", Convert.FromHexString(match.Groups[2].Value)));
            }
        }
    }

    /// <summary>Lines of JSON, as Iwpmd.Tests/Traces has them; returns how many messages the kernel sent.</summary>
    /// <exception cref="Violation">The kernel of the model says something else.</exception>
    public static int Play(IEnumerable<string> lines)
    {
        var recording = new Recording(lines);
        if (recording._messages.Count > 0)
        {
            recording.Begin();
        }
        for (int i = 0; i < recording._messages.Count; i++)
        {
            (bool isFromKernel, byte[] bytes) = recording._messages[i];
            if (isFromKernel)
            {
                recording.Expect(i, bytes);
            }
            else
            {
                recording.Pass(bytes);
            }
        }
        return recording._compared;
    }

    /// <summary>The state of the kernel in which the recording begins.</summary>
    private void Begin()
    {
        NetlinkHeader first = HeaderOf(_messages[0].Bytes);
        bool isRegistered = first.Operation is not (RDMA_NL_IWPM_HELLO or RDMA_NL_IWPM_REG_PID);
        uint next = _messages.Where(message => message.IsFromKernel && IsNumbered(message.Bytes))
            .Select(message => HeaderOf(message.Bytes).Sequence).DefaultIfEmpty(1u).First();
        uint pid = _messages.Where(message => !message.IsFromKernel)
            .Select(message => HeaderOf(message.Bytes).PortId).DefaultIfEmpty(1u).First();
        Connect(pid);
        foreach ((bool isFromKernel, byte[] bytes) in _messages)
        {
            foreach (KernelRequest mapped in isFromKernel ? Replayed(bytes) : [])
            {
                if (!_messages.Exists(one => Opens(one) && Read(one.Bytes).Local == mapped.Local))
                {
                    Add(mapped).MappedLocal = mapped.Mapped;
                }
            }
        }
        _machine.Kernel.Continue(isRegistered ? Registration.Valid : Registration.Incomplete, pid, next);
    }

    private void Connect(uint pid)
    {
        if (_end?.PortId != pid)
        {
            _end?.Close();
            _end = new NetlinkEnd(_machine, pid, isMember: true, int.MaxValue);
            _machine.OpenForeign(_end);
        }
    }

    private void Pass(byte[] bytes)
    {
        NetlinkHeader header = HeaderOf(bytes);
        Connect(header.PortId);
        _world.RunUntil(_world.Now + (header.Operation == RDMA_NL_IWPM_REG_PID
            ? Core.Registrations.Delay // which others do not wait
            : s_aThreadGoesOn));
        _machine.Kernel.Handle(_end!, bytes);
    }

    private void Expect(int number, byte[] recorded)
    {
        NetlinkHeader header = HeaderOf(recorded);
        bool isRequest = IsRequest(header);
        if (isRequest)
        {
            Cause(number, header, recorded);
        }
        Queue<byte[]> said = isRequest ? _requests : _answers;
        for (TimeSpan end = _world.Now + s_most; said.Count == 0 && _world.Now < end;)
        {
            _world.RunUntil(_world.Now + TimeSpan.FromMilliseconds(1));
            Collect();
        }
        if (!said.TryDequeue(out byte[]? modelled) || !Plain(modelled).SequenceEqual(Plain(recorded)))
        {
            throw new Violation(
                $"message {number}: recorded {Convert.ToHexString(recorded)}, the model says "
                    + (modelled is null ? "nothing" : Convert.ToHexString(modelled)));
        }
        _compared++;
    }

    /// <summary>What a program did, that the kernel sends this.</summary>
    private void Cause(int number, NetlinkHeader header, byte[] recorded)
    {
        if (header.Operation == RDMA_NL_IWPM_REMOVE_MAPPING)
        {
            KernelRequest removed = Read(recorded);
            Endpoint? ended = _machine.Kernel.Endpoints.Find(one => one.Local == removed.Local);
            _machine.Kernel.End(ended ?? Add(removed)); // of before the recording
            return;
        }
        // A registration is of the first endpoint behind it that has not asked yet.
        int asks = header.Operation == RDMA_NL_IWPM_REG_PID
            ? _messages.FindIndex(number, one => Opens(one) && !_opened.Contains(_messages.IndexOf(one)))
            : number;
        if (asks >= 0 && _opened.Add(asks))
        {
            KernelRequest request = Read(_messages[asks].Bytes);
            _machine.Kernel.Open(
                new Endpoint(request.Local, request.Remote, request.NoPortMap, device: 0));
        }
    }

    private Endpoint Add(in KernelRequest request)
    {
        var endpoint = new Endpoint(request.Local, request.Remote, request.NoPortMap, device: 0)
        {
            State = EndpointState.Up, IsRecorded = true,
        };
        _machine.Kernel.Endpoints.Add(endpoint);
        return endpoint;
    }

    private void Collect()
    {
        byte[] buffer = new byte[8192];
        while (_end!.Receive(buffer, out int length, out _) == Errno.None)
        {
            byte[] bytes = buffer[..length];
            (IsRequest(HeaderOf(bytes)) ? _requests : _answers).Enqueue(bytes);
        }
    }

    private static bool Opens((bool IsFromKernel, byte[] Bytes) message) =>
        message.IsFromKernel && HeaderOf(message.Bytes) is
        {
            Type: >= NLMSG_MIN_TYPE, Operation: RDMA_NL_IWPM_ADD_MAPPING or RDMA_NL_IWPM_QUERY_MAPPING,
        };

    private static bool IsNumbered(byte[] bytes) =>
        HeaderOf(bytes) is { Type: >= NLMSG_MIN_TYPE } header && header.Operation != RDMA_NL_IWPM_MAPINFO;

    private static NetlinkHeader HeaderOf(byte[] bytes) => NetlinkHeader.Read(bytes);

    private static KernelRequest Read(byte[] bytes) =>
        KernelRequest.TryParse(HeaderOf(bytes), bytes.AsSpan(NetlinkHeader.Size), out KernelRequest request, out _)
            ? request
            : throw new Violation("a recorded request cannot be read");

    private static List<KernelRequest> Replayed(byte[] datagram)
    {
        List<KernelRequest> replayed = [];
        var messages = new NetlinkMessages(datagram);
        while (messages.MoveNext())
        {
            if (messages.Header is { Type: >= NLMSG_MIN_TYPE, Operation: RDMA_NL_IWPM_MAPINFO }
                && KernelRequest.TryParse(messages.Header, messages.Payload, out KernelRequest request, out _))
            {
                replayed.Add(request);
            }
        }
        return replayed;
    }

    /// <summary>What is compared.</summary>
    private static byte[] Plain(byte[] bytes)
    {
        const int Echo = NetlinkHeader.Size + NetlinkAttribute.HeaderSize;
        int replayed = Replayed(bytes).Count;
        if (replayed > 0)
        {
            int size = HeaderOf(bytes).Length;
            byte[][] sorted = [.. bytes[..(replayed * size)].Chunk(size).OrderBy(Convert.ToHexString)];
            return [.. sorted.SelectMany(one => one), .. bytes[(replayed * size)..]];
        }
        return IsRequest(HeaderOf(bytes)) ? [.. bytes[..Echo], .. bytes[(Echo + sizeof(uint))..]] : bytes;
    }

    private static bool IsRequest(in NetlinkHeader header) =>
        header.Type >= NLMSG_MIN_TYPE && header.Operation is RDMA_NL_IWPM_REG_PID or RDMA_NL_IWPM_ADD_MAPPING
            or RDMA_NL_IWPM_QUERY_MAPPING or RDMA_NL_IWPM_REMOVE_MAPPING;

    [GeneratedRegex("\"dir\": \"([a-z>-]+)\", \"proto\": \"netlink\".*\"hex\": \"([0-9a-f]+)\"")]
    private static partial Regex NetlinkLine();
}

// SPDX-License-Identifier: MIT
using Iwpmd.Os;
using Iwpmd.Wire;
using static Iwpmd.Wire.RdmaNetlink;

namespace Iwpmd.Simulation;

// What processes send to the kernel.
internal sealed partial class Kernel
{
    private const int MostDatagrams = 19;

    /// <summary>How many mappings a datagram of a replay has.</summary>
    public int ReplayedAtOnce { get; init; } = 12;

    public void Handle(NetlinkEnd from, byte[] bytes)
    {
        NetlinkHeader header = NetlinkHeader.Read(bytes);
        ReadOnlySpan<byte> payload = bytes.AsSpan(NetlinkHeader.Size);
        if (header.Client == RDMA_NL_NLDEV)
        {
            AnswerEndpoints(from, header, payload);
            return;
        }
        bool isHello = header.Operation == RDMA_NL_IWPM_HELLO;
        bool isKnown = header.Client == RDMA_NL_IWCM && IsLoaded && !(IsOld && isHello);
        _isHelloRefused = isHello ? !isKnown : _isHelloRefused;
        if (!isKnown)
        {
            Refuse(from, bytes, Errno.EINVAL);
            return;
        }
        if (header.PortId != from.PortId)
        {
            throw World.Fail(machine, $"a message has port id {header.PortId} in its header, its socket {from.PortId}");
        }
        int result = header.Operation switch
        {
            RDMA_NL_IWPM_HELLO => OnHello(from, payload),
            RDMA_NL_IWPM_MAPINFO => OnMapInfo(from, payload),
            RDMA_NL_IWPM_REG_PID => OnRegistered(from, payload),
            RDMA_NL_IWPM_ADD_MAPPING or RDMA_NL_IWPM_QUERY_MAPPING => OnMapping(header.Operation, payload),
            RDMA_NL_IWPM_REMOTE_INFO => OnRemoteInfo(payload),
            RDMA_NL_IWPM_HANDLE_ERR => OnError(payload),
            RDMA_NL_IWPM_MAPINFO_NUM => 0,
            _ => -(int)Errno.EINVAL,
        };
        _ = from.TryEnqueue(WriteOutcome(NLMSG_DONE, header, from.PortId, result), DoneCost);
    }

    public void Refuse(NetlinkEnd from, byte[] bytes, Errno error) =>
        _ = from.TryEnqueue(WriteOutcome(NLMSG_ERROR, NetlinkHeader.Read(bytes), from.PortId, -(int)error), DoneCost);

    private int OnHello(NetlinkEnd from, ReadOnlySpan<byte> payload)
    {
        (_registration, _pid) = (Registration.Incomplete, from.PortId);
        _abi = Math.Min((ushort)4, new Attributes(payload).Number16(IWPM_NLA_HELLO_ABI_VERSION));
        World.Tell($"{machine.Name} kernel <- HELLO, ABI {_abi}");
        machine.DisturbedAt = World.Now;
        return from.TryEnqueue(WriteHello(_next++), RequestCost) ? 0 : -(int)Errno.EAGAIN;
    }

    private int OnMapInfo(NetlinkEnd from, ReadOnlySpan<byte> payload)
    {
        var attributes = new Attributes(payload);
        if (!IsOurLibrary(attributes.Name(IWPM_NLA_MAPINFO_ULIB_NAME))
            || attributes.Number16(IWPM_NLA_MAPINFO_ULIB_VER) < 3)
        {
            return -(int)Errno.EINVAL;
        }
        (_registration, _pid) = (Registration.Incomplete, from.PortId);
        Endpoint[] recorded = [.. Endpoints.Where(one => one.IsRecorded)];
        int most = Math.Min(recorded.Length, MostDatagrams * ReplayedAtOnce);
        World.Tell($"{machine.Name} kernel <- MAPINFO, replays {most} of {recorded.Length}");
        for (int at = 0; at < most; at += ReplayedAtOnce)
        {
            byte[] datagram = WriteReplay(recorded.AsSpan(at, Math.Min(ReplayedAtOnce, most - at)));
            if (!from.TryEnqueue(datagram, ReplayCost))
            {
                return -(int)Errno.EAGAIN;
            }
        }
        if (most < recorded.Length)
        {
            return -(int)Errno.ENOMEM;
        }
        return most == 0 || from.TryEnqueue(WriteReplayNumber(_next++, (uint)most), RequestCost)
            ? 0
            : -(int)Errno.EAGAIN;
    }

    private int OnRegistered(NetlinkEnd from, ReadOnlySpan<byte> payload)
    {
        var attributes = new Attributes(payload);
        if (!TryFind(attributes.Number32(IWPM_NLA_RREG_PID_SEQ), "REG_PID", out Question question))
        {
            return -(int)Errno.EINVAL;
        }
        if (question.Operation != KernelOperation.RegisterPid)
        {
            throw World.Fail(machine, $"REG_PID is the answer to {question.Operation} {question.Sequence}");
        }
        if (machine.BootTime - question.BootSentAt < s_registrationDelay)
        {
            throw World.Fail(machine, $"REG_PID {question.Sequence} was answered after {World.Now - question.SentAt}");
        }
        if (!IsOurLibrary(attributes.Name(IWPM_NLA_RREG_ULIB_NAME))
            || attributes.Name(IWPM_NLA_RREG_IBDEV_NAME) != "siw0"
            || attributes.Number16(IWPM_NLA_RREG_ULIB_VER) is var version && (version < 3 || (IsOld && version != 3)))
        {
            throw World.Fail(machine, $"REG_PID {question.Sequence} has other names or another version");
        }
        _questions.Remove(question.Sequence);
        (_registration, _pid) = (Registration.Valid, from.PortId);
        World.Tell($"{machine.Name} kernel <- REG_PID {question.Sequence}");
        World.After(World.Dice.TimeOfAnyOrder(TimeSpan.FromMicroseconds(2), TimeSpan.FromMilliseconds(20)), () => Ask(
            question.Endpoint));
        return 0;
    }

    private int OnMapping(int operation, ReadOnlySpan<byte> payload)
    {
        var attributes = new Attributes(payload);
        bool isQuery = operation == RDMA_NL_IWPM_QUERY_MAPPING;
        string name = isQuery ? "QUERY" : "ADD";
        if (!TryFind(attributes.Number32(1), name, out Question question))
        {
            return -(int)Errno.EINVAL;
        }
        Endpoint endpoint = question.Endpoint;
        InetEndpoint mapped = attributes.Endpoint(
            isQuery ? IWPM_NLA_RQUERY_MAPPED_LOC_ADDR : IWPM_NLA_RMANAGE_MAPPED_LOC_ADDR);
        InetEndpoint mappedRemote = isQuery ? attributes.Endpoint(IWPM_NLA_RQUERY_MAPPED_REM_ADDR) : default;
        if (attributes.Endpoint(isQuery ? IWPM_NLA_RQUERY_LOCAL_ADDR : IWPM_NLA_RMANAGE_ADDR) != endpoint.Local
            || mapped.Family != endpoint.Local.Family
            || (isQuery && (attributes.Endpoint(
                IWPM_NLA_RQUERY_REMOTE_ADDR) != endpoint.Remote || mappedRemote.Family != endpoint.Remote.Family)))
        {
            throw World.Fail(
                machine, $"{name} {question.Sequence} is answered for another endpoint than {endpoint.Local}");
        }
        _questions.Remove(question.Sequence);
        bool isRejected = isQuery
            && attributes.Number16(IWPM_NLA_RQUERY_MAPPING_ERR) == (ushort)MappingError.RejectedByPeer;
        World.Tell(
            $"{machine.Name} kernel <- {name} {question.Sequence} {endpoint.Local} is {mapped}"
                + $"{(isQuery ? $", {endpoint.Remote} is {mappedRemote}" : "")}{(isRejected ? ", rejected" : "")}");
        if (isRejected)
        {
            endpoint.IsRejected = true;
            Finish(endpoint, isRecorded: true);
            return 0;
        }
        Checks.OnMapped(machine, question, mapped);
        Finish(endpoint, isRecorded: true, () =>
        {
            endpoint.MappedLocal = mapped;
            endpoint.MappedRemote = isQuery ? mappedRemote : endpoint.Remote;
        });
        return 0;
    }

    private int OnError(ReadOnlySpan<byte> payload)
    {
        var attributes = new Attributes(payload);
        uint sequence = attributes.Number32(IWPM_NLA_ERR_SEQ);
        if (_expired.Contains(sequence))
        {
            throw World.Fail(machine, $"HANDLE_ERR {sequence} comes when the kernel has given up");
        }
        if (!_questions.Remove(sequence, out Question? question))
        {
            return 0;
        }
        CheckAge(question, "HANDLE_ERR");
        World.Tell(
            $"{machine.Name} kernel <- HANDLE_ERR {sequence} {question.Endpoint.Local}: "
                + $"{attributes.Number16(IWPM_NLA_ERR_CODE)}");
        if (Endpoints.FindAll(one => one.Local == question.Endpoint.Local).Count > 1)
        {
            Doubtful.Add(question.Endpoint.Local);
        }
        Checks.OnRefused(machine, question, (MappingError)attributes.Number16(IWPM_NLA_ERR_CODE));
        Finish(question.Endpoint, isRecorded: question.Operation != KernelOperation.RegisterPid);
        return 0;
    }

    private int OnRemoteInfo(ReadOnlySpan<byte> payload)
    {
        var attributes = new Attributes(payload);
        InetEndpoint mapped = attributes.Endpoint(IWPM_NLA_RQUERY_MAPPED_LOC_ADDR),
            mappedRemote = attributes.Endpoint(IWPM_NLA_RQUERY_MAPPED_REM_ADDR);
        InetEndpoint remote = attributes.Endpoint(IWPM_NLA_RQUERY_REMOTE_ADDR);
        World.Tell($"{machine.Name} kernel <- REMOTE_INFO {mapped} from {mappedRemote}, which is {remote}");
        RemoteInfos[(mapped, mappedRemote)] = remote;
        return -(int)Errno.EINVAL;
    }

    private bool TryFind(uint sequence, string name, out Question question)
    {
        if (_questions.TryGetValue(sequence, out question!))
        {
            CheckAge(question, name);
            return true;
        }
        return _expired.Contains(sequence)
            ? throw World.Fail(machine, $"{name} {sequence} comes when the kernel has given up, which crashes it")
            : false;
    }

    private void CheckAge(Question question, string name)
    {
        if (World.Now - question.SentAt > s_answerWithin + TimeSpan.FromMilliseconds(1))
        {
            throw World.Fail(machine, $"{name} {question.Sequence} is answered after {World.Now - question.SentAt}");
        }
    }

    private static bool IsOurLibrary(string name) => name == "iWarpPortMapperUser";
}

// SPDX-License-Identifier: MIT
using Iwpmd.Os;
using Iwpmd.Wire;

namespace Iwpmd.Simulation;

internal enum Registration
{
    Undefined,
    Incomplete,
    Valid,
}

/// <summary>A question that the kernel waits for, 10 s.</summary>
internal sealed record Question(
    KernelOperation Operation, uint Sequence, Endpoint Endpoint, TimeSpan SentAt, TimeSpan BootSentAt, uint To);

/// <summary>
/// The port mapper client of a host's kernel (iw_cm): what it asks when, and what it makes of the answers.
/// </summary>
internal sealed partial class Kernel(Machine machine)
{
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan s_answerWithin = TimeSpan.FromSeconds(9.5),
        s_registrationDelay = TimeSpan.FromMilliseconds(250);

    /// <summary>No port mapper has heard us: nobody is asked until one says hello.</summary>
    private const uint Unavailable = uint.MaxValue;

    private readonly Dictionary<uint, Question> _questions = [];
    private readonly HashSet<uint> _expired = [];
    private Registration _registration;
    private uint _next = 1, _pid;
    private ushort _abi = 3;
    private bool _isHelloRefused;
    private TimeSpan _reloadedAt;

    public List<Endpoint> Endpoints { get; } = [];

    /// <summary>
    /// What the daemon told of peers that no connection has used yet: remote endpoint by mapped local and mapped
    /// remote.
    /// </summary>
    public Dictionary<(InetEndpoint, InetEndpoint), InetEndpoint> RemoteInfos { get; } = [];

    /// <summary>
    /// Addresses of which a question was lost with a process, or refused while another endpoint of the same address was
    /// not: what comes of the REMOVE is a known limit until no endpoint of the address is left.
    /// </summary>
    public HashSet<InetEndpoint> Doubtful { get; } = [];

    /// <summary>Questions for the registration are open.</summary>
    public bool IsRegistering => _questions.Values.Any(question => question.Operation == KernelOperation.RegisterPid);

    public bool IsLoaded { get; private set; } = true;

    /// <summary>Kernels before 5.1 do not know HELLO.</summary>
    public bool IsOld { get; init; }

    /// <summary>A daemon is believed to be there.</summary>
    public bool HasPid => _pid is not (0 or Unavailable);

    public bool IsRegistered => _registration == Registration.Valid;

    /// <summary>
    /// A crash may have lost the first messages of a reloaded iw_cm, by whose numbers it is known; or iw_cm was loaded
    /// just between HELLO, which it refused, and MAPINFO: known limits.
    /// </summary>
    public bool MayBeTakenForOlder(Endpoint endpoint) =>
        endpoint.AskedAbi < 4 && (machine.CrashedAt > _reloadedAt || _isHelloRefused);

    private World World => machine.World;

    /// <summary>A recording begins in the middle of a life.</summary>
    public void Continue(Registration registration, uint pid, uint next) =>
        (_registration, _pid, _next, _abi) = (registration, pid, next, 4);

    public void Open(Endpoint endpoint)
    {
        World.Tell(
            $"{machine.Name} kernel: {(endpoint.IsListening ? "listen" : "connect")} {endpoint.Local} "
                + $"{(endpoint.IsListening ? "" : endpoint.Remote)}");
        Endpoints.Add(endpoint);
        endpoint.AskedAt = World.Now;
        Register(endpoint);
    }

    public void End(Endpoint endpoint)
    {
        if (endpoint.State == EndpointState.Asking)
        {
            endpoint.IsUnwanted = true;
            return;
        }
        World.Tell($"{machine.Name} kernel: end of {endpoint.Local}");
        endpoint.State = EndpointState.Ended;
        endpoint.IsRecorded = false;
        Endpoints.Remove(endpoint);
        if (!Endpoints.Exists(one => one.Local == endpoint.Local))
        {
            World.After(TimeSpan.FromSeconds(60), () => Settle(endpoint.Local));
        }
        if (HasPid && _registration != Registration.Undefined)
        {
            uint sequence = _next++;
            SendBlocking(WriteRequest(KernelOperation.RemoveMapping, sequence, endpoint), () => { });
        }
    }

    /// <summary>Any process can say hello.</summary>
    public void HearForeignHello(NetlinkEnd from)
    {
        World.Tell($"{machine.Name} kernel: hello of another process");
        (_registration, _pid, _abi) = (Registration.Incomplete, from.PortId, 4);
        machine.DisturbedAt = World.Now;
    }

    /// <summary>iw_cm goes, with all that uses it, and a new one comes; false while it is in use.</summary>
    public bool TryReload(TimeSpan pause)
    {
        if (!IsLoaded || _questions.Count > 0 || Endpoints.Exists(one => one.State == EndpointState.Asking))
        {
            return false;
        }
        World.Tell($"{machine.Name} kernel: iw_cm is reloaded");
        foreach (Endpoint endpoint in Endpoints.ToArray())
        {
            End(endpoint);
        }
        IsLoaded = false;
        machine.DisturbedAt = World.Now;
        World.After(pause, () =>
        {
            IsLoaded = true;
            _expired.Clear();
            RemoteInfos.Clear();
            (_registration, _pid, _abi, _next, _reloadedAt) = (Registration.Undefined, 0, 3, 1, World.Now);
            machine.DisturbedAt = World.Now;
        });
        return true;
    }

    private void Settle(InetEndpoint local)
    {
        if (!Endpoints.Exists(one => one.Local == local))
        {
            Doubtful.Remove(local);
        }
    }

    private void Register(Endpoint endpoint)
    {
        if (_registration == Registration.Valid || _pid == Unavailable)
        {
            Ask(endpoint);
            return;
        }
        List<NetlinkEnd> members = [.. machine.Netlink.Values.Where(end => end.IsMember)];
        if (members.Count == 0)
        {
            _pid = Unavailable;
            Finish(endpoint, isRecorded: false);
            return;
        }
        uint sequence = _next++;
        uint to = members[0].PortId;
        Expect(new Question(KernelOperation.RegisterPid, sequence, endpoint, World.Now, machine.BootTime, to));
        if (machine.StopsAtRegistration)
        {
            machine.StopsAtRegistration = false;
            (machine.StopIn, machine.StopFor) =
                (6 + World.Dice.Next(10), World.Dice.Time(TimeSpan.FromSeconds(9), TimeSpan.FromSeconds(12)));
        }
        byte[] bytes = WriteRegistration(sequence);
        foreach (NetlinkEnd member in members)
        {
            _ = member.TryEnqueue(bytes, RequestCost);
        }
    }

    private void Ask(Endpoint endpoint)
    {
        if (!HasPid)
        {
            Finish(endpoint, isRecorded: false);
            return;
        }
        if (_registration != Registration.Valid)
        {
            Doubtful.Add(endpoint.Local); // nobody counted it, and its REMOVE comes
            Finish(endpoint, isRecorded: true);
            return;
        }
        KernelOperation operation = endpoint.IsListening ? KernelOperation.AddMapping : KernelOperation.QueryMapping;
        uint sequence = _next++, to = _pid;
        (endpoint.IsAsked, endpoint.AskedAbi) = (true, _abi);
        SendBlocking(
            WriteRequest(operation, sequence, endpoint),
            () => Expect(new Question(operation, sequence, endpoint, World.Now, machine.BootTime, to)),
            () =>
            {
                Doubtful.Add(endpoint.Local); // nobody counted it, and its REMOVE comes
                Finish(endpoint, isRecorded: true);
            },
            forgets: endpoint.IsListening);
    }

    private void Expect(Question question)
    {
        _questions[question.Sequence] = question;
        World.After(Patience, () =>
        {
            if (_questions.TryGetValue(question.Sequence, out Question? now) && ReferenceEquals(now, question))
            {
                _questions.Remove(question.Sequence);
                _expired.Add(question.Sequence);
                World.Tell(
                    $"{machine.Name} kernel: nobody answered {question.Operation} {question.Sequence} "
                        + $"{question.Endpoint.Local}");
                bool isHeard = machine.Netlink.ContainsKey(question.To); // by some process, now or later
                if (!isHeard || ((machine.CrashedAt > question.SentAt || machine.Daemon is null)
                    && !question.Endpoint.Local.IsWildcard)) // whose listeners an audit counts
                {
                    Doubtful.Add(question.Endpoint.Local);
                }
                question.Endpoint.IsUnanswered = true;
                Checks.OnUnanswered(machine, question);
                Finish(question.Endpoint, isRecorded: question.Operation != KernelOperation.RegisterPid);
            }
        });
    }

    /// <summary>The thread that waited goes on, a little later.</summary>
    private void Finish(Endpoint endpoint, bool isRecorded, Action? before = null)
    {
        World.After(World.Dice.TimeOfAnyOrder(TimeSpan.FromMicroseconds(2), TimeSpan.FromMilliseconds(20)), () =>
        {
            before?.Invoke();
            endpoint.State = EndpointState.Up;
            endpoint.UpAt = World.Now;
            (endpoint.IsRecorded, endpoint.RecordedFlags) =
                (isRecorded, _abi >= 4 && endpoint.NoPortMap ? RdmaNetlink.IWPM_FLAGS_NO_PORT_MAP : 0);
            if (endpoint.IsUnwanted)
            {
                End(endpoint);
            }
            else if (!endpoint.IsListening)
            {
                World.Network.Connect(machine, endpoint);
            }
        });
    }

    private void SendBlocking(byte[] bytes, Action sent, Action? failed = null, bool forgets = true)
    {
        Errno error = Errno.ECONNREFUSED;
        if (machine.Netlink.TryGetValue(_pid, out NetlinkEnd? end))
        {
            end.EnqueueWhenPossible(bytes, RequestCost, outcome => Outcome(outcome));
            return;
        }
        Outcome(error);

        void Outcome(Errno outcome)
        {
            if (outcome == Errno.None)
            {
                sent();
                return;
            }
            World.Tell($"{machine.Name} kernel: cannot send: {outcome}");
            if (forgets)
            {
                _pid = 0;
            }
            machine.DisturbedAt = World.Now;
            failed?.Invoke();
        }
    }
}

// SPDX-License-Identifier: MIT
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;

namespace Iwpmd;

/// <summary>
/// Every log line of the daemon, <c>subject: event: detail</c>. Information is the daemon's life, Debug each message. The sinks are not known here.
/// Event ids: 1xx the kernel, 2xx mappings, 3xx peers, 4xx the host, 5xx the daemon's life, 6xx configuration and state.
/// </summary>
internal static partial class Log
{
    [LoggerMessage(101, LogLevel.Information, "kernel: registered: device {Device} ({Interface}), client {Client}, ABI {Abi}")]
    public static partial void KernelRegistered(ILogger log, FixedName device, FixedName @interface, int client, int abi);

    [LoggerMessage(102, LogLevel.Information, "kernel: hello: ABI {Abi}")]
    public static partial void KernelHello(ILogger log, int abi);

    [LoggerMessage(103, LogLevel.Information, "kernel: hello: refused ({Result}): trying the protocol of kernels before 5.1 (ABI 3)")]
    public static partial void KernelHelloRefused(ILogger log, int result);

    [LoggerMessage(104, LogLevel.Information, "kernel: replay: {Received} mappings of client {Client}, {Accepted} taken over, {Released} released")]
    public static partial void KernelReplayed(ILogger log, int received, int client, int accepted, int released);

    [LoggerMessage(105, LogLevel.Warning, "kernel: replay: incomplete: {Received} mappings of client {Client} came, the kernel knows more, of which it can name {Most}: those that are not in the state file are unprotected until they end")]
    public static partial void KernelReplayIncomplete(ILogger log, int received, int client, int most);

    [LoggerMessage(106, LogLevel.Information, "kernel: iw_cm was reloaded: saying hello again")]
    public static partial void KernelReloaded(ILogger log);

    [LoggerMessage(107, LogLevel.Warning, "kernel: messages were lost (receive buffer full): saying hello again; raise nl_sock_rbuf_size if this happens often{Suppressed}")]
    public static partial void KernelOverrun(ILogger log, string suppressed);

    [LoggerMessage(108, LogLevel.Warning, "kernel: client {Client} registers library {Library}, but it registered {Registered} before: refused")]
    public static partial void KernelLibraryChanged(ILogger log, int client, FixedName library, FixedName registered);

    [LoggerMessage(109, LogLevel.Debug, "kernel: {Operation} {Sequence}: local {Local} remote {Remote} flags {Flags}")]
    public static partial void KernelAsked(ILogger log, Wire.KernelOperation operation, uint sequence, InetEndpoint local, InetEndpoint remote, uint flags);

    [LoggerMessage(110, LogLevel.Debug, "kernel: refused: {Operation} {Sequence}: code {Code}: {Reason}")]
    public static partial void KernelRefused(ILogger log, Wire.KernelOperation operation, uint sequence, MappingError code, string reason);

    [LoggerMessage(111, LogLevel.Warning, "kernel: {Operation} not answered: it may have waited longer than the kernel does, and an answer after that can crash it{Suppressed}")]
    public static partial void KernelTooOld(ILogger log, Wire.KernelOperation operation, string suppressed);

    [LoggerMessage(112, LogLevel.Warning, "kernel: {Kind} for request {Sequence} was not taken ({Result}): {Local} goes on unmapped{Suppressed}")]
    public static partial void KernelUndelivered(ILogger log, KernelReplyKind kind, uint sequence, int result, InetEndpoint local, string suppressed);

    [LoggerMessage(117, LogLevel.Warning, "kernel: another process said hello in our place: taken back; ask who is local and uses NETLINK_RDMA (ss -f netlink){Suppressed}")]
    public static partial void KernelUsurped(ILogger log, string suppressed);

    [LoggerMessage(201, LogLevel.Debug, "mapping: added: {Local} -> {Mapped} (client {Client}, {State})")]
    public static partial void MappingAdded(ILogger log, InetEndpoint local, InetEndpoint mapped, int client, State.MappingState state);

    [LoggerMessage(202, LogLevel.Debug, "mapping: removed: {Local} -> {Mapped}")]
    public static partial void MappingRemoved(ILogger log, InetEndpoint local, InetEndpoint mapped);

    [LoggerMessage(203, LogLevel.Error, "mapping: unprotected: {Local} -> {Mapped}: TCP port {Port} is in use by another program, which may receive RDMA traffic: it is claimed as soon as it is free{Suppressed}")]
    public static partial void MappingUnprotected(ILogger log, InetEndpoint local, InetEndpoint mapped, int port, string suppressed);

    [LoggerMessage(204, LogLevel.Information, "mapping: protected again: {Local} -> {Mapped}{Suppressed}")]
    public static partial void MappingProtected(ILogger log, InetEndpoint local, InetEndpoint mapped, string suppressed);

    [LoggerMessage(205, LogLevel.Information, "mapping: {Number}: {Local} -> {Mapped} (client {Client}, references {References}, flags {Flags}, {State})")]
    public static partial void MappingDumped(ILogger log, int number, InetEndpoint local, InetEndpoint mapped, int client, int references, uint flags, State.MappingState state);

    [LoggerMessage(206, LogLevel.Information, "mapping: {Count} mappings")]
    public static partial void MappingsCounted(ILogger log, int count);

    [LoggerMessage(207, LogLevel.Information, "mapping: restored: {Held} ports claimed again, {Unprotected} taken by others, {Unbound} without a port")]
    public static partial void MappingsRestored(ILogger log, int held, int unprotected, int unbound);

    [LoggerMessage(208, LogLevel.Error, "mapping: table full: {Local} is not mapped: raise max_mappings (now {Capacity}){Suppressed}")]
    public static partial void MappingTableFull(ILogger log, InetEndpoint local, int capacity, string suppressed);

    [LoggerMessage(209, LogLevel.Warning, "mapping: shared: {Local} -> {Mapped} is that of a device with ports mapped and of one without: hosts reach only the one that listened first: listen on addresses, not on the wildcard{Suppressed}")]
    public static partial void MappingOfTwoClasses(ILogger log, InetEndpoint local, InetEndpoint mapped, string suppressed);

    [LoggerMessage(211, LogLevel.Warning, "mapping: not kept: {Local} -> {Mapped}: TCP port {Port} {Reason}: hosts without a port mapper cannot reach it: see who has the port (ss -tlnp){Suppressed}")]
    public static partial void MappingNotKept(ILogger log, InetEndpoint local, InetEndpoint mapped, int port, string reason, string suppressed);

    [LoggerMessage(301, LogLevel.Warning, "query: fallback: {Local} -> {Remote} goes on without the peer's port mapper: {Cause}{Suppressed}")]
    public static partial void QueryFellBack(ILogger log, InetEndpoint local, InetEndpoint remote, string cause, string suppressed);

    [LoggerMessage(302, LogLevel.Debug, "peer: {Type} from {Peer}: connecting {Connecting} accepting {Accepting} handle {Handle:x16}{Suppressed}")]
    public static partial void PeerSaid(ILogger log, PeerMessageType type, InetEndpoint peer, InetEndpoint connecting, InetEndpoint accepting, ulong handle, string suppressed);

    [LoggerMessage(303, LogLevel.Debug, "peer: dropped: message from {Peer}: {Reason}{Suppressed}")]
    public static partial void PeerDropped(ILogger log, InetEndpoint peer, string? reason, string suppressed);

    [LoggerMessage(304, LogLevel.Warning, "peer: flood: {Refused} Requests were not served in the last {Seconds} s: {OverAll} beyond request_rate, {OverSource} beyond the source_rate of their host, {Denied} of hosts or by interfaces from which none are taken")]
    public static partial void RequestsRefused(ILogger log, long refused, long seconds, long overAll, long overSource, long denied);

    [LoggerMessage(306, LogLevel.Warning, "peer: flood: most of what unknown hosts send is dropped unread until it is less; hosts that proved themselves are served{Suppressed}")]
    public static partial void Flood(ILogger log, string suppressed);

    [LoggerMessage(307, LogLevel.Warning, "peer: flood: the kernel takes no filter ({Error}): raise net.core.optmem_max, or known hosts suffer from it too")]
    public static partial void FloodNotFiltered(ILogger log, Os.Errno error);

    [LoggerMessage(113, LogLevel.Warning, "kernel: {Kind} not sent: the kernel may have given up waiting, and an answer after that can crash it{Suppressed}")]
    public static partial void AnswerTooLate(ILogger log, KernelReplyKind kind, string suppressed);

    [LoggerMessage(121, LogLevel.Warning, "kernel: {Kind} for request {Sequence}: whether it was taken is not known ({Result}): {Local} keeps its port until the devices tell{Suppressed}")]
    public static partial void KernelOutcomeUnknown(ILogger log, KernelReplyKind kind, uint sequence, int result, InetEndpoint local, string suppressed);

    [LoggerMessage(122, LogLevel.Warning, "kernel: no answer to hello ({Result}): it is said again in 10 s")]
    public static partial void KernelUnanswered(ILogger log, int result);

    [LoggerMessage(114, LogLevel.Debug, "kernel: dropped: {Reason}")]
    public static partial void KernelDropped(ILogger log, string? reason);

    [LoggerMessage(115, LogLevel.Debug, "kernel: dropped: a netlink message of process {Source}: only the kernel is listened to")]
    public static partial void KernelForeign(ILogger log, uint source);

    [LoggerMessage(116, LogLevel.Warning, "kernel: receive failed: {Error}: restart the daemon if this repeats")]
    public static partial void KernelReceiveFailed(ILogger log, Os.Errno error);

    [LoggerMessage(120, LogLevel.Debug, "kernel: census: {Devices} iWARP devices, {Endpoints} endpoints: {Result}")]
    public static partial void CensusTaken(ILogger log, int devices, ulong endpoints, string result);

    [LoggerMessage(118, LogLevel.Information, "kernel: census: {Count} mappings missed what the kernel said while nobody listened: set right")]
    public static partial void CensusSettled(ILogger log, int count);

    [LoggerMessage(119, LogLevel.Information, "kernel: census: not possible ({Reason}): mappings that ended while nobody listened keep their ports")]
    public static partial void CensusGivenUp(ILogger log, string reason);

    [LoggerMessage(308, LogLevel.Warning, "peer: answer dropped: {Type} from {Source}, where {Asked} was asked: {Reason}{Suppressed}")]
    public static partial void AnswerDropped(ILogger log, PeerMessageType type, InetEndpoint source, InetEndpoint asked, string reason, string suppressed);

    [LoggerMessage(305, LogLevel.Warning, "peer: send failed: {Type} to {Peer}: {Error}{Suppressed}")]
    public static partial void PeerSendFailed(ILogger log, PeerMessageType type, InetEndpoint peer, Os.Errno error, string suppressed);

    [LoggerMessage(401, LogLevel.Warning, "host: no TCP port claimed: {Reason}: {Remedy}{Suppressed}")]
    public static partial void ClaimFailed(ILogger log, string reason, string remedy, string suppressed);

    [LoggerMessage(406, LogLevel.Information, "host: TCP ports are {Low} to {High} now, {Reserved} of them reserved")]
    public static partial void PortsChanged(ILogger log, int low, int high, int reserved);

    [LoggerMessage(402, LogLevel.Information, "host: {Family} is not available ({Error}): going on without it")]
    public static partial void FamilyMissing(ILogger log, IpFamily family, Os.Errno error);

    [LoggerMessage(403, LogLevel.Warning, "host: only {Limit} descriptors are allowed, max_mappings={Wanted} needs one for each mapping: raise LimitNOFILE")]
    public static partial void DescriptorLimit(ILogger log, ulong limit, int wanted);

    [LoggerMessage(405, LogLevel.Warning, "host: /proc is not there: which ports the host maps to and reserves is not known, nor whether mappings are from before the last boot: mount it")]
    public static partial void ProcMissing(ILogger log);

    [LoggerMessage(407, LogLevel.Warning, "privileges: CAP_NET_ADMIN: {Error}: going on with it")]
    public static partial void NetAdminKept(ILogger log, Os.Errno error);

    [LoggerMessage(404, LogLevel.Warning, "host: the netlink receive buffer has {Actual} bytes instead of {Wanted}: raise net.core.rmem_max or grant CAP_NET_ADMIN")]
    public static partial void BufferLimit(ILogger log, int actual, int wanted);

    [LoggerMessage(501, LogLevel.Information, "daemon: starting: iwpmd {Version}, process {Process}")]
    public static partial void Starting(ILogger log, string version, int process);

    [LoggerMessage(502, LogLevel.Information, "daemon: ready: {Count} mappings, TCP ports {Low} to {High}, netlink port {PortId}")]
    public static partial void Ready(ILogger log, int count, int low, int high, uint portId);

    [LoggerMessage(503, LogLevel.Information, "daemon: ending: {Signal}")]
    public static partial void Ending(ILogger log, string signal);

    [LoggerMessage(504, LogLevel.Critical, "{Message}")]
    public static partial void SetupFailed(ILogger log, string message);

    [LoggerMessage(511, LogLevel.Critical, "daemon: failed: {Fault}")]
    public static partial void Failed(ILogger log, string fault);

    [LoggerMessage(505, LogLevel.Warning, "daemon: notify failed: {Error}")]
    public static partial void NotifyFailed(ILogger log, Os.Errno error);

    [LoggerMessage(506, LogLevel.Information, "daemon: taking over: netlink port {PortId}, {Udp} UDP sockets and {Ports} TCP ports of the daemon before; the kernel is told nothing")]
    public static partial void TakingOver(ILogger log, uint portId, int udp, int ports);

    [LoggerMessage(507, LogLevel.Warning, "daemon: a descriptor that was handed over is of no use and is closed: {Kind}")]
    public static partial void HandedOverUseless(ILogger log, string kind);

    [LoggerMessage(508, LogLevel.Information, "daemon: handed over: {Ports} TCP ports to {Receiver}")]
    public static partial void HandedOver(ILogger log, int ports, string receiver);

    [LoggerMessage(509, LogLevel.Warning, "daemon: hand-over failed: {Step}: {Error}: {Consequence}")]
    public static partial void HandOverFailed(ILogger log, string step, Os.Errno error, string consequence);

    [LoggerMessage(512, LogLevel.Warning, "daemon: a request of user {User} is refused: {Reason}")]
    public static partial void RequestRefused(ILogger log, uint user, string reason);

    [LoggerMessage(513, LogLevel.Warning, "daemon: a request cannot be accepted: {Error}: tried again every 2 s")]
    public static partial void RequestNotAccepted(ILogger log, Os.Errno error);

    [LoggerMessage(510, LogLevel.Warning, "daemon: no sandbox: seccomp: {Error}: going on without it")]
    public static partial void NoSandbox(ILogger log, Os.Errno error);

    [LoggerMessage(601, LogLevel.Warning, "configuration: {Path}:{Complaint}")]
    public static partial void ConfigurationComplaint(ILogger log, string path, string complaint);

    [LoggerMessage(607, LogLevel.Information, "configuration: {Path}: in force from now on")]
    public static partial void ConfigurationInForce(ILogger log, string path);

    [LoggerMessage(608, LogLevel.Error, "configuration: {Path}: refused: the one before stays in force")]
    public static partial void ConfigurationRefused(ILogger log, string path);

    [LoggerMessage(609, LogLevel.Warning, "configuration: {Path}: {Key} takes effect at the next start")]
    public static partial void ConfigurationLater(ILogger log, string path, string key);

    [LoggerMessage(602, LogLevel.Information, "state: {Path}: starting anew: {Reason}")]
    public static partial void StateFresh(ILogger log, string path, string reason);

    [LoggerMessage(603, LogLevel.Information, "state: {Path}: read back, as iwpmd {Build} left it")]
    public static partial void StateRestored(ILogger log, string path, FixedName build);

    [LoggerMessage(604, LogLevel.Warning, "state: {Path}: {Operation}: {Error}: going on without it; what is mapped now will be lost at the next restart")]
    public static partial void StateUnavailable(ILogger log, string path, string operation, Os.Errno error);

    [LoggerMessage(606, LogLevel.Information, "state: {Path}: converted from that of iwpmd {Build}: {Count} mappings")]
    public static partial void StateConverted(ILogger log, string path, FixedName build, int count);

    [LoggerMessage(605, LogLevel.Warning, "state: {Count} rows were damaged and are dropped")]
    public static partial void StateRowsDropped(ILogger log, int count);
}

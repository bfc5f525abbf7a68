// SPDX-License-Identifier: MIT
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;

namespace Iwpmd;

/// <summary>
/// Every log line of the daemon, <c>subject: event: detail</c>. Information is the daemon's life, Debug each message.
/// The sinks are not known here. Event ids: 1xx the kernel, 2xx mappings, 3xx peers, 4xx the host, 5xx the daemon's
/// life, 6xx configuration and state.
/// </summary>
internal static partial class Log
{
    [LoggerMessage(101, LogLevel.Information,
        "kernel: registered: device {Device} ({Interface}), client {Client}, ABI {Abi}")]
    public static partial void KernelRegistered(
        ILogger log, FixedName device, FixedName @interface, int client, int abi);

    [LoggerMessage(102, LogLevel.Information, "kernel: hello: ABI {Abi}")]
    public static partial void KernelHello(ILogger log, int abi);

    [LoggerMessage(103, LogLevel.Information,
        "kernel: hello: refused ({Error}): trying the protocol of kernels before 5.1 (ABI 3)")]
    private static partial void KernelHelloRefused(ILogger log, string error);

    [LoggerMessage(104, LogLevel.Information,
        "kernel: replay: {Received} mappings of client {Client}, {Accepted} applied, {Released} released")]
    public static partial void KernelReplayed(ILogger log, int received, int client, int accepted, int released);

    [LoggerMessage(105, LogLevel.Warning,
        "kernel: replay incomplete: {Received} mappings of client {Client} received, of which the kernel can "
        + "send {Most}: mappings missing from the state file stay unprotected until closed")]
    public static partial void KernelReplayIncomplete(ILogger log, int received, int client, int most);

    [LoggerMessage(106, LogLevel.Information, "kernel: iw_cm was reloaded: registering again")]
    public static partial void KernelReloaded(ILogger log);

    [LoggerMessage(107, LogLevel.Warning,
        "kernel: messages lost (receive buffer overflow): registering again; raise nl_sock_rbuf_size if this recurs")]
    public static partial void KernelOverrun(ILogger log);

    [LoggerMessage(108, LogLevel.Warning,
        "kernel: client {Client} registers library {Library}, but it registered {Registered} before: refused: restart "
        + "the daemon, which forgets that one")]
    public static partial void KernelLibraryChanged(ILogger log, int client, FixedName library, FixedName registered);

    [LoggerMessage(109, LogLevel.Debug, "kernel: {Operation} {Sequence}: local {Local} remote {Remote} flags {Flags}")]
    public static partial void KernelAsked(
        ILogger log, KernelOperation operation, uint sequence, InetEndpoint local, InetEndpoint remote, uint flags);

    [LoggerMessage(110, LogLevel.Debug, "kernel: refused: {Operation} {Sequence}: code {Code}: {Reason}")]
    public static partial void KernelRefused(
        ILogger log, KernelOperation operation, uint sequence, MappingError code, string reason);

    [LoggerMessage(111, LogLevel.Warning,
        "kernel: {Operation} not answered: it may have waited longer than the kernel does, and an answer after "
        + "that can crash it: see what keeps the daemon from running (host overloaded, suspended)")]
    public static partial void KernelTooOld(ILogger log, KernelOperation operation);

    [LoggerMessage(112, LogLevel.Warning,
        "kernel: {Kind} to request {Sequence} rejected ({Error}): {Local} continues unmapped: see dmesg")]
    private static partial void KernelUndelivered(
        ILogger log, KernelReplyKind kind, uint sequence, string error, InetEndpoint local);

    [LoggerMessage(117, LogLevel.Warning,
        "kernel: another process registered as port mapper; registration reclaimed: find it with ss -f netlink")]
    public static partial void RegistrationHijacked(ILogger log);

    [LoggerMessage(201, LogLevel.Debug, "mapping: added: {Local} -> {Mapped} (client {Client}, {State})")]
    public static partial void MappingAdded(
        ILogger log, InetEndpoint local, InetEndpoint mapped, int client, State.MappingState state);

    [LoggerMessage(202, LogLevel.Debug, "mapping: removed: {Local} -> {Mapped}")]
    public static partial void MappingRemoved(ILogger log, InetEndpoint local, InetEndpoint mapped);

    [LoggerMessage(203, LogLevel.Error,
        "mapping: unprotected: {Local} -> {Mapped}: TCP port {Port} is in use by another program, which may "
        + "receive RDMA traffic: it is claimed as soon as it is free")]
    public static partial void MappingUnprotected(ILogger log, InetEndpoint local, InetEndpoint mapped, int port);

    [LoggerMessage(204, LogLevel.Information, "mapping: protected again: {Local} -> {Mapped}")]
    public static partial void MappingProtected(ILogger log, InetEndpoint local, InetEndpoint mapped);

    [LoggerMessage(205, LogLevel.Information,
        "mapping: {Number}: {Local} -> {Mapped} (client {Client}, references {References}, flags {Flags}, "
        + "{State})")]
    public static partial void MappingDumped(
        ILogger log, int number, InetEndpoint local, InetEndpoint mapped, int client, int references, uint flags,
        State.MappingState state);

    [LoggerMessage(206, LogLevel.Information, "mapping: {Count} mappings")]
    public static partial void MappingsCounted(ILogger log, int count);

    [LoggerMessage(207, LogLevel.Information,
        "mapping: restored: {Held} ports claimed again, {Unprotected} in use by other programs, {Unbound} "
        + "without a port")]
    public static partial void MappingsRestored(ILogger log, int held, int unprotected, int unbound);

    [LoggerMessage(208, LogLevel.Error,
        "mapping: table full: {Local} is not mapped: raise max_mappings (now {Capacity})")]
    public static partial void MappingTableFull(ILogger log, InetEndpoint local, int capacity);

    [LoggerMessage(209, LogLevel.Warning,
        "mapping: shared: {Local} -> {Mapped} belongs to a device with mapped ports and to one without: peers "
        + "reach only the one that listened first: listen on addresses, not on the wildcard")]
    public static partial void MappingOfTwoClasses(ILogger log, InetEndpoint local, InetEndpoint mapped);

    [LoggerMessage(211, LogLevel.Warning,
        "mapping: not kept: {Local} -> {Mapped}: TCP port {Port} {Reason}: hosts without a port mapper cannot "
        + "reach it: see who has the port (ss -tlnp)")]
    public static partial void MappingNotKept(
        ILogger log, InetEndpoint local, InetEndpoint mapped, int port, string reason);

    [LoggerMessage(301, LogLevel.Warning,
        "query: fallback: {Local} -> {Remote} continues without the peer's port mapper: {Cause}")]
    public static partial void QueryFellBack(
        ILogger log, InetEndpoint local, InetEndpoint remote, State.FallbackReport cause);

    [LoggerMessage(302, LogLevel.Debug,
        "peer: {Type} from {Peer}: connecting {Connecting} accepting {Accepting} handle {Handle:x16}")]
    public static partial void PeerSaid(
        ILogger log, PeerMessageType type, InetEndpoint peer, InetEndpoint connecting, InetEndpoint accepting,
        ulong handle);

    [LoggerMessage(303, LogLevel.Debug, "peer: dropped: message from {Peer}: {Reason}")]
    public static partial void PeerDropped(ILogger log, InetEndpoint peer, string? reason);

    [LoggerMessage(304, LogLevel.Warning,
        "peer: rate limit: {Refused} Requests dropped in {Seconds} s (request_rate {OverAll}, source_rate "
        + "{OverSource}, access list {Denied}): see who sends (tcpdump udp port 3935)")]
    public static partial void RequestsRefused(
        ILogger log, long refused, long seconds, long overAll, long overSource, long denied);

    [LoggerMessage(306, LogLevel.Warning,
        "peer: rate limit: reading 1 in {OneIn} datagrams from unvalidated hosts; validated hosts are not affected: "
        + "see who sends (tcpdump udp port 3935)")]
    public static partial void Flood(ILogger log, int oneIn);

    [LoggerMessage(307, LogLevel.Warning,
        "peer: rate limit: no socket filter ({Error}): validated hosts are affected too: raise "
        + "net.core.optmem_max")]
    public static partial void FloodNotFiltered(ILogger log, string error);

    [LoggerMessage(113, LogLevel.Warning,
        "kernel: {Kind} not sent: the kernel may have given up waiting, and a later answer can crash it: see what "
        + "keeps the daemon from running (host overloaded, suspended)")]
    public static partial void AnswerTooLate(ILogger log, KernelReplyKind kind);

    [LoggerMessage(121, LogLevel.Warning,
        "kernel: {Kind} to request {Sequence} not acknowledged ({Error}): {Local} keeps its port until reconciled")]
    private static partial void KernelAckUnknown(
        ILogger log, KernelReplyKind kind, uint sequence, string error, InetEndpoint local);

    [LoggerMessage(122, LogLevel.Warning, "kernel: HELLO not answered ({Error}): sent again in 10 s")]
    private static partial void KernelUnanswered(ILogger log, string error);

    [LoggerMessage(114, LogLevel.Debug, "kernel: dropped: {Reason}")]
    public static partial void KernelDropped(ILogger log, string? reason);

    [LoggerMessage(115, LogLevel.Debug,
        "kernel: dropped: netlink message of process {Source}: only the kernel is listened to")]
    public static partial void KernelForeign(ILogger log, uint source);

    [LoggerMessage(116, LogLevel.Warning, "kernel: receive failed: {Error}: restart the daemon if this repeats")]
    public static partial void KernelReceiveFailed(ILogger log, string error);

    [LoggerMessage(120, LogLevel.Debug, "kernel: audit: {Devices} iWARP devices, {Endpoints} endpoints: {Result}")]
    public static partial void AuditTaken(ILogger log, int devices, ulong endpoints, string result);

    [LoggerMessage(118, LogLevel.Information,
        "mapping: reconciled: {Count} mappings corrected after kernel messages were lost")]
    public static partial void MappingsReconciled(ILogger log, int count);

    [LoggerMessage(119, LogLevel.Information,
        "mapping: reconciliation not possible ({Reason}): mappings that ended in the meantime keep their ports")]
    public static partial void ReconciliationNotPossible(ILogger log, string reason);

    [LoggerMessage(308, LogLevel.Warning,
        "peer: answer dropped: {Type} from {Source}, for a query to {Asked}: {Reason}")]
    public static partial void AnswerDropped(
        ILogger log, PeerMessageType type, InetEndpoint source, InetEndpoint asked, string reason);

    [LoggerMessage(305, LogLevel.Warning, "peer: send failed: {Type} to {Peer}: {Failure}")]
    public static partial void PeerSendFailed(
        ILogger log, PeerMessageType type, InetEndpoint peer, State.SendFailure failure);

    [LoggerMessage(309, LogLevel.Warning,
        "peer: receive on UDP port {Port} failed: {Error}: no peer is heard: see what denies it (security policy); "
        + "retrying every 2 s")]
    public static partial void PeerReceiveFailed(ILogger log, int port, string error);

    [LoggerMessage(401, LogLevel.Warning,
        "host: no TCP port claimed: none of the ports {Low} to {High} is free{Reserved}: {Remedy}")]
    public static partial void NoPortFree(ILogger log, int low, int high, string reserved, string remedy);

    [LoggerMessage(408, LogLevel.Warning, "host: no TCP port claimed: {Failed}: {Remedy}")]
    public static partial void PortNotBound(ILogger log, string failed, string remedy);

    [LoggerMessage(409, LogLevel.Warning, "host: no TCP port claimed: {Failed}: {Remedy}")]
    public static partial void NoPortSocket(ILogger log, string failed, string remedy);

    [LoggerMessage(406, LogLevel.Information,
        "host: TCP port range changed: {Low} to {High}, {Reserved} of them reserved")]
    public static partial void PortsChanged(ILogger log, int low, int high, int reserved);

    [LoggerMessage(402, LogLevel.Information, "host: {Family} is not available ({Error}): continuing without it")]
    public static partial void FamilyMissing(ILogger log, IpFamily family, string error);

    [LoggerMessage(403, LogLevel.Warning,
        "host: only {Limit} descriptors are allowed, and each of {Wanted} ports needs one: raise LimitNOFILE "
        + "(ulimit -n)")]
    public static partial void DescriptorLimit(ILogger log, ulong limit, int wanted);

    [LoggerMessage(405, LogLevel.Warning,
        "host: /proc is not mounted: port range, reserved ports and boot id are unknown: mount it")]
    public static partial void ProcMissing(ILogger log);

    [LoggerMessage(407, LogLevel.Warning, "privileges: CAP_NET_ADMIN: {Error}: continuing with it")]
    public static partial void NetAdminKept(ILogger log, string error);

    [LoggerMessage(404, LogLevel.Warning,
        "host: the netlink receive buffer has {Actual} bytes instead of {Wanted}: raise net.core.rmem_max or "
        + "grant CAP_NET_ADMIN")]
    public static partial void BufferLimit(ILogger log, int actual, int wanted);

    [LoggerMessage(501, LogLevel.Information, "daemon: starting: iwpmd {Version}, process {Process}")]
    public static partial void Starting(ILogger log, string version, int process);

    [LoggerMessage(502, LogLevel.Information,
        "daemon: ready: {Count} mappings, TCP ports {Low} to {High}, netlink port {PortId}")]
    public static partial void Ready(ILogger log, int count, int low, int high, uint portId);

    [LoggerMessage(503, LogLevel.Information, "daemon: stopping: {Signal}")]
    public static partial void Ending(ILogger log, string signal);

    [LoggerMessage(504, LogLevel.Critical, "{Message}")]
    public static partial void SetupFailed(ILogger log, string message);

    [LoggerMessage(511, LogLevel.Critical, "daemon: failed: {Fault}")]
    public static partial void Failed(ILogger log, string fault);

    [LoggerMessage(505, LogLevel.Warning, "daemon: notify failed: {Error}")]
    public static partial void NotifyFailed(ILogger log, string error);

    [LoggerMessage(506, LogLevel.Information,
        "daemon: taking over: netlink port {PortId}, {Udp} UDP sockets and {Ports} TCP ports of the previous "
        + "daemon; the kernel is told nothing")]
    public static partial void TakingOver(ILogger log, uint portId, int udp, int ports);

    [LoggerMessage(507, LogLevel.Warning, "daemon: closed an unexpected inherited descriptor: {Kind}")]
    public static partial void HandedOverUseless(ILogger log, string kind);

    [LoggerMessage(508, LogLevel.Information, "daemon: handed over: {Ports} TCP ports to {Receiver}")]
    public static partial void HandedOver(ILogger log, int ports, string receiver);

    [LoggerMessage(509, LogLevel.Warning, "daemon: handover failed: {Step}: {Error}: {Consequence}")]
    public static partial void HandOverFailed(ILogger log, string step, string error, string consequence);

    [LoggerMessage(512, LogLevel.Warning, "daemon: request of user {User} refused: {Reason}")]
    public static partial void RequestRefused(ILogger log, uint user, string reason);

    [LoggerMessage(513, LogLevel.Warning, "daemon: request not accepted: {Error}: retrying every 2 s")]
    public static partial void RequestNotAccepted(ILogger log, string error);

    /// <param name="level">That of the suppressed lines.</param>
    [LoggerMessage(EventId = 514, Message = "log: suppressed: {Count} more lines of event {Event}")]
    public static partial void LinesSuppressed(ILogger log, LogLevel level, int count, int @event);

    [LoggerMessage(510, LogLevel.Warning, "daemon: no sandbox: seccomp: {Error}: continuing without it")]
    public static partial void NoSandbox(ILogger log, string error);

    [LoggerMessage(601, LogLevel.Warning, "configuration: {Path}:{Complaint}")]
    public static partial void ConfigurationComplaint(ILogger log, string path, string complaint);

    [LoggerMessage(607, LogLevel.Information, "configuration: {Path}: in force from now on")]
    public static partial void ConfigurationInForce(ILogger log, string path);

    [LoggerMessage(608, LogLevel.Error, "configuration: {Path}: refused: the previous configuration stays in force")]
    public static partial void ConfigurationRefused(ILogger log, string path);

    [LoggerMessage(609, LogLevel.Warning, "configuration: {Path}: {Key} takes effect at the next start")]
    public static partial void ConfigurationLater(ILogger log, string path, string key);

    [LoggerMessage(602, LogLevel.Information, "state: {Path}: starting with an empty table: {Reason}")]
    public static partial void StateFresh(ILogger log, string path, string reason);

    [LoggerMessage(603, LogLevel.Information, "state: {Path}: restored (written by iwpmd {Build})")]
    public static partial void StateRestored(ILogger log, string path, FixedName build);

    [LoggerMessage(604, LogLevel.Warning,
        "state: {Path}: {Operation}: {Error}: continuing without it: mappings made from now on are lost at the "
        + "next restart, and reload does not work: {Remedy}")]
    public static partial void StateUnavailable(
        ILogger log, string path, string operation, string error, string remedy);

    [LoggerMessage(606, LogLevel.Information, "state: {Path}: migrated from iwpmd {Build}: {Count} mappings")]
    public static partial void StateConverted(ILogger log, string path, FixedName build, int count);

    [LoggerMessage(605, LogLevel.Warning, "state: {Count} damaged rows dropped")]
    public static partial void StateRowsDropped(ILogger log, int count);

    /// <param name="result">The kernel's: 0 or -errno, here and below.</param>
    public static void KernelHelloRefused(ILogger log, int result) => KernelHelloRefused(log, ErrorOf(result));

    public static void KernelUnanswered(ILogger log, int result) => KernelUnanswered(log, ErrorOf(result));

    public static void KernelUndelivered(
        ILogger log, KernelReplyKind kind, uint sequence, int result, InetEndpoint local) =>
        KernelUndelivered(log, kind, sequence, result == 0 ? "not sent" : ErrorOf(result), local);

    public static void KernelAckUnknown(
        ILogger log, KernelReplyKind kind, uint sequence, int result, InetEndpoint local) =>
        KernelAckUnknown(log, kind, sequence, ErrorOf(result), local);

    /// <summary>
    /// How many lines of an event are logged in 10 seconds (<see cref="LogLimiter"/>); null: all.
    /// </summary>
    public static int? BurstOf(int eventId) => eventId switch
    {
        107 or 111 or 113 or 117 or 208 or 209 or 306 or 307 => 1,
        401 or 408 or 409 => 3,
        116 or 305 or 308 or 512 => 5,
        112 or 121 or 211 or 301 => 20,
        114 or 115 or 203 or 204 or 303 => 100,
        302 => 5000,
        _ => null,
    };

    private static string ErrorOf(int result) => ((Errno)(-result)).Text();
}

// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.State;

namespace Iwpmd.Cli;

/// <summary>
/// A counter's name in JSON, its name and label among the metrics, and what it counts. Metrics of one name stand
/// together, and the first says what all are.
/// </summary>
internal readonly record struct CounterName(Counter Counter, string Json, string Metric, string Label, string Help);

/// <summary>What is counted, by name. The names are promises: one may be added, none may change.</summary>
internal static class Counters
{
    private const string Asked = "kernel_requests", AskedHelp = "Requests of the kernel.";
    private const string Received = "peer_messages_received", ReceivedHelp = "Messages of other port mappers.";
    private const string Refused =
        "peer_requests_not_served", RefusedHelp = "Requests of other hosts that got no answer.";
    private const string Sent = "peer_messages_sent", SentHelp = "Messages to other port mappers.";
    private const string FallbacksHelp =
        "Connections that continued without their peer's port mapper, by cause, those to remembered peers included.";
    private const string Queries =
        "queries", QueriesHelp =
        "Queries to other port mappers by result; all but accepted and rejected continued unmapped.";

    public static readonly CounterName[] All =
    [
        new(Counter.Adds, "adds", Asked, "operation=\"add\"", AskedHelp),
        new(Counter.Queries, "queries", Asked, "operation=\"query\"", AskedHelp),
        new(Counter.Removes, "removes", Asked, "operation=\"remove\"", AskedHelp),
        new(Counter.Refused, "refused", "kernel_requests_refused", "", "Requests of the kernel that were refused."),
        new(
            Counter.Malformed, "malformed", "kernel_messages_malformed", "",
            "Messages of the kernel that were damaged."),
        new(
            Counter.TooOld, "too_old", "kernel_requests_too_old", "",
            "Requests not answered since they may have waited longer than the kernel does."),
        new(
            Counter.Undelivered, "undelivered", "kernel_answers_undelivered", "",
            "Answers that the kernel rejected or that were too late to be sent."),
        new(
            Counter.KernelOverruns, "kernel_overruns", "kernel_overruns", "",
            "Times that the netlink receive buffer overflowed."),
        new(
            Counter.DeferredDropped, "deferred_dropped", "kernel_requests_dropped", "",
            "Requests that did not wait for the replay's end, since too many did or the daemon ended: mostly refused."),
        new(
            Counter.ForeignNetlink, "foreign_netlink", "netlink_foreign", "",
            "Netlink messages of processes that are not the kernel."),
        new(
            Counter.RegistrationHijacks, "registration_hijacks", "registration_hijacks", "",
            "Times that another process registered as port mapper."),
        new(Counter.Replayed, "replayed", "mappings_replayed", "", "Mappings that the kernel replayed."),
        new(Counter.ClaimsFailed, "claims_failed", "port_claims_failed", "", "TCP ports that could not be claimed."),
        new(Counter.TableFull, "table_full", "table_full", "", "Mappings for which there was no row."),
        new(Counter.PeerRequests, "requests_received", Received, "type=\"request\"", ReceivedHelp),
        new(Counter.PeerAccepts, "accepts_received", Received, "type=\"accept\"", ReceivedHelp),
        new(Counter.PeerRejects, "rejects_received", Received, "type=\"reject\"", ReceivedHelp),
        new(Counter.PeerAcks, "acks_received", Received, "type=\"ack\"", ReceivedHelp),
        new(Counter.RequestsOverRate, "requests_over_rate", Refused, "reason=\"rate\"", RefusedHelp),
        new(
            Counter.RequestsOverSourceRate, "requests_over_source_rate", Refused, "reason=\"source_rate\"",
            RefusedHelp),
        new(Counter.RequestsDenied, "requests_denied", Refused, "reason=\"denied\"", RefusedHelp),
        new(
            Counter.RequestCopies, "request_copies", "peer_request_copies", "",
            "Copies of Requests received too soon after the one that was answered."),
        new(
            Counter.RemoteInfosDeferred, "remote_infos_deferred", "remote_infos_deferred", "",
            "Peers that are reported to the kernel only after their Ack."),
        new(
            Counter.RemoteInfosDropped, "remote_infos_dropped", "remote_infos_dropped", "",
            "Peers that are not reported to the kernel."),
        new(
            Counter.PeerDropped, "peer_dropped", "peer_messages_dropped", "",
            "Messages of other hosts that were invalid or unexpected."),
        new(Counter.RequestsSent, "requests_sent", Sent, "type=\"request\"", SentHelp),
        new(Counter.RequestsResent, "requests_resent", Sent, "type=\"request_again\"", SentHelp),
        new(Counter.AcceptsSent, "accepts_sent", Sent, "type=\"accept\"", SentHelp),
        new(Counter.RejectsSent, "rejects_sent", Sent, "type=\"reject\"", SentHelp),
        new(Counter.QueriesAccepted, "queries_accepted", Queries, "result=\"accepted\"", QueriesHelp),
        new(Counter.QueriesRejected, "queries_rejected", Queries, "result=\"rejected\"", QueriesHelp),
        new(Counter.QueriesUnreachable, "queries_unreachable", Queries, "result=\"unreachable\"", QueriesHelp),
        new(Counter.QueriesUnanswered, "queries_unanswered", Queries, "result=\"unanswered\"", QueriesHelp),
        new(Counter.QueriesRemembered, "queries_remembered", Queries, "result=\"remembered\"", QueriesHelp),
        .. Array.ConvertAll(FallbackWords.Reasons, OfFallback),
        new(
            Counter.ConversationsRefused, "conversations_refused", "conversations_refused", "",
            "Queries refused since too many were in flight."),
    ];

    private static CounterName OfFallback(FallbackCause cause)
    {
        string name = FallbackWords.NameOf(cause);
        Counter counter = Counter.FallbacksUnreachable + Array.IndexOf(FallbackWords.Reasons, cause);
        return new CounterName(counter, $"fallbacks_{name}", "fallbacks", $"cause=\"{name}\"", FallbacksHelp);
    }
}

namespace Iwpmd.Core;

/// <summary>What is counted, in the order of the state file: a new one goes to the end.</summary>
internal enum Counter
{
    Adds,
    Queries,
    Removes,
    Refused,
    Malformed,
    TooOld,
    Replayed,
    PeerRequests,
    PeerAccepts,
    PeerRejects,
    PeerAcks,
    PeerDropped,
    RequestsSent,
    RequestsResent,
    AcceptsSent,
    RejectsSent,
    QueriesAccepted,
    QueriesRejected,
    QueriesUnreachable,
    QueriesUnanswered,
    QueriesRemembered,
    Undelivered,
    KernelOverruns,
    ForeignNetlink,
    ConversationsRefused,
    ClaimsFailed,
    HeldDropped,
}

// SPDX-License-Identifier: MIT
namespace Iwpmd.State;

/// <summary>
/// Why a connection continued without the peer's port mapper, in the order of the state file: a new one is appended.
/// </summary>
internal enum FallbackCause : byte
{
    None = 0,

    /// <summary>ICMP port unreachable, or another ICMP error without a more precise cause.</summary>
    Unreachable = 1,
    NoAnswer = 2,

    /// <summary>Not asked again, since it did not answer shortly before.</summary>
    Remembered = 3,
    Undelivered = 4,

    /// <summary>ICMP: administratively prohibited.</summary>
    Prohibited = 5,

    /// <summary>A rule of this host drops the Request.</summary>
    LocalRule = 6,
    NoRoute = 7,
    HostUnreachable = 8,

    /// <summary>An answer came from an address from which none is accepted, or names another address.</summary>
    AnswerDropped = 9,
}

/// <summary>The text of each cause: a name for programs, a description, and the remedy.</summary>
internal static class FallbackWords
{
    public static readonly FallbackCause[] Reasons =
    [
        FallbackCause.Unreachable, FallbackCause.NoAnswer, FallbackCause.Prohibited, FallbackCause.LocalRule,
        FallbackCause.NoRoute, FallbackCause.HostUnreachable, FallbackCause.AnswerDropped,
    ];

    public static string NameOf(FallbackCause cause) => cause switch
    {
        FallbackCause.Unreachable => "unreachable",
        FallbackCause.NoAnswer => "no_answer",
        FallbackCause.Prohibited => "prohibited",
        FallbackCause.LocalRule => "local_rule",
        FallbackCause.NoRoute => "no_route",
        FallbackCause.HostUnreachable => "host_unreachable",
        FallbackCause.AnswerDropped => "answer_dropped",
        _ => "remembered",
    };

    /// <summary>Completes "HOST ...".</summary>
    public static string Describe(FallbackCause cause) => cause switch
    {
        FallbackCause.Unreachable => "has no port mapper (ICMP)",
        FallbackCause.NoAnswer => "did not answer (no port mapper there, or a firewall)",
        FallbackCause.Prohibited => "is behind a firewall that rejects it (ICMP: administratively prohibited)",
        FallbackCause.LocalRule => "could not be asked, since a rule of this host forbids it",
        FallbackCause.NoRoute => "could not be asked, since there is no route to it",
        FallbackCause.HostUnreachable => "cannot be reached (host unreachable)",
        FallbackCause.AnswerDropped =>
            "sent an answer from or for another address than that of the query, which was dropped",
        _ => "did not answer a moment before",
    };

    /// <summary>To end a line with: a colon and the remedy, if there is one.</summary>
    public static string AndRemedy(FallbackCause cause) => Remedy(cause) is { Length: > 0 } remedy ? $": {remedy}" : "";

    public static string Remedy(FallbackCause cause) => cause switch
    {
        FallbackCause.Unreachable => "start iwpmd there",
        FallbackCause.NoAnswer => "start iwpmd there, and let UDP port 3935 pass on the way",
        FallbackCause.Prohibited => "let UDP port 3935 pass there and on the way",
        FallbackCause.LocalRule => "let UDP port 3935 out (nft list ruleset; IPAddressAllow= of the unit)",
        FallbackCause.NoRoute =>
            "see whether the interface is up and has an address (ip addr), or add a route (ip route)",
        FallbackCause.HostUnreachable => "see whether it is up and on this network (ip neigh)",
        FallbackCause.AnswerDropped =>
            "see the log, event 308: set answers_from=any, connect to the address that it answers from, or update the "
                + "port mapper there",
        _ => "",
    };
}

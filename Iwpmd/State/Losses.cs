// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Iwpmd.State;

/// <summary>
/// The causes of losses for users of this host, in the order of the state file: a new one is appended.
/// </summary>
internal enum LossCause
{
    NoFreePort,
    NoDescriptor,

    /// <summary>The host refused a socket or a port for another reason.</summary>
    NoSocket,
    TableFull,
    TooManyQueries,
    Deferred,
    TooOld,
    Undelivered,
    Overrun,
    RegistrationHijack,
    Malformed,
    PeersNotServed,
    PeersNotTold,
    NotProtected,
    PeersNotAnswered,
    NotKept,
}

/// <summary>
/// Losses of one cause since they began; after <see cref="Memory"/> without one the count begins again. 24 bytes. Times
/// are as everywhere in the state, zero is never.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
internal struct LossRow
{
    /// <summary>How long health is degraded after the last one.</summary>
    public static readonly TimeSpan Memory = TimeSpan.FromMinutes(1);

    public TimeSpan Since, LastAt;
    public ulong Count;

    public readonly bool IsRecent(TimeSpan now) => LastAt != TimeSpan.Zero && LastAt > now - Memory;

    public void Add(ulong count, TimeSpan now)
    {
        if (!IsRecent(now))
        {
            (Since, Count) = (now, 0);
        }
        LastAt = now;
        Count += count;
    }
}

/// <summary>By <see cref="LossCause"/>, with room for later causes.</summary>
[InlineArray(16)]
internal struct LossRows
{
    private LossRow _first;
}

/// <summary>
/// The text of a cause: its name in JSON and metrics, what is counted (a noun and its continuation), the reason, and
/// the remedy.
/// </summary>
internal sealed record LossWords(LossCause Cause, string Name, string Noun, string Fate, string Reason, string Remedy)
{
    private const string Request = "request", OfKernel = "of the kernel refused";

    public static readonly LossWords[] All =
    [
        new(LossCause.NoFreePort, "no_free_port", Request, OfKernel, "no TCP port was free", "widen port_range"),
        new(
            LossCause.NoDescriptor, "no_descriptor", Request, OfKernel, "no descriptor was free",
            "raise the limit of open files (LimitNOFILE)"),
        new(
            LossCause.NoSocket, "no_socket", Request, OfKernel, "the host refused a TCP socket",
            "see its log for the error"),
        new(LossCause.TableFull, "table_full", Request, OfKernel, "no row was free", "raise max_mappings"),
        new(
            LossCause.TooManyQueries, "too_many_queries", "query", "of the kernel refused",
            "too many waited for other hosts", "see which do not answer (iwpmd peers)"),
        new(
            LossCause.Deferred, "deferred", Request, OfKernel,
            "too many waited for the replay, or the daemon ended meanwhile", "see dmesg"),
        new(
            LossCause.TooOld, "too_old", Request, "of the kernel not answered", "the kernel may have given up",
            "see what keeps the daemon from running"),
        new(
            LossCause.Undelivered, "undelivered", "answer", "to the kernel lost",
            "rejected by the kernel, or too late", "see dmesg"),
        new(
            LossCause.Overrun, "overrun", "time", "that messages of the kernel were lost",
            "the receive buffer was full", "raise nl_sock_rbuf_size"),
        new(
            LossCause.RegistrationHijack, "registration_hijack", "time", "that messages of the kernel were lost",
            "another process registered as port mapper", "end it (ss -f netlink)"),
        new(LossCause.Malformed, "malformed", Request, OfKernel, "it was malformed", "log_level=debug shows it"),
        new(
            LossCause.PeersNotServed, "peers_not_served", "Request", "of other hosts not served",
            "more came than request_rate or source_rate allows", "raise it, or see who sends (tcpdump udp port 3935)"),
        new(
            LossCause.PeersNotTold, "peers_not_told", "peer", "that the kernel was not told of",
            "more came than remote_info_rate allows", "raise it"),
        new(
            LossCause.NotProtected, "not_protected", "time", "that an unprotected port was not claimed",
            "the host refused a TCP socket", "see its log for the error"),
        new(
            LossCause.PeersNotAnswered, "peers_not_answered", "answer", "to other hosts not sent",
            "the host refused to send", "let UDP port 3935 out (nft list ruleset), or see its log for the error"),
        new(
            LossCause.NotKept, "not_kept", "listener", "of keep_ports mapped to another port",
            "hosts without a port mapper cannot reach it", "see who has its port (ss -tlnp)"),
    ];

    public string Describe(ulong count) =>
        $"{count} {(count == 1 ? Noun : Noun == "query" ? "queries" : Noun + "s")} {Fate}";
}

// SPDX-License-Identifier: MIT
using System.Text.RegularExpressions;
using Iwpmd.State;
using Iwpmd.Tests.Support;
using Iwpmd.Wire;
using Xunit;

namespace Iwpmd.Tests.State;

/// <summary>
/// What log, status, doctor and the status line of the unit say of losses and of hosts without an answer.
/// </summary>
public partial class WordsTests
{
    private static readonly InetEndpoint Peer = InetEndpoint.Parse("10.0.0.2:3935");

    [Fact]
    public Task Each_loss_reads_as_a_sentence_with_its_reason_and_remedy() => Golden.Verify(string.Join(
        '\n', LossWords.All.Select(
            words => $"{words.Name}: {words.Describe(1)}: {words.Reason}: {words.Remedy}\n{words.Describe(2)}")));

    [Fact]
    public Task Each_fallback_reads_as_a_sentence_with_its_remedy() => Golden.Verify(string.Join(
        '\n', FallbackWords.Reasons.Select(
            cause => $"{FallbackWords.NameOf(cause)}: {Report(cause, cause)}")));

    [Fact]
    public void A_message_that_was_not_sent_has_the_error_and_the_remedy_if_there_is_one()
    {
        Assert.Equal(
            "Operation not permitted (EPERM): let UDP port 3935 out (nft list ruleset; IPAddressAllow= of the unit)",
            new SendFailure(Errno.EPERM, FallbackCause.LocalRule).ToString());
        Assert.Equal(
            "No buffer space available (ENOBUFS)", new SendFailure(Errno.ENOBUFS, FallbackCause.None).ToString());
    }

    [Fact]
    public void A_fallback_says_who_reported_it_unless_the_peer_did()
    {
        FallbackReport report = Report(FallbackCause.HostUnreachable, FallbackCause.HostUnreachable);
        string plain = report.ToString();

        Assert.Equal(plain, (report with { Source = Peer }).ToString());
        Assert.Equal(
            plain.Replace("(host unreachable)", "(host unreachable), says 10.0.0.254"),
            (report with { Source = InetEndpoint.Parse("10.0.0.254:0") }).ToString());
    }

    [Fact]
    public void A_remembered_host_has_the_reason_of_the_time_before() => Assert.Equal(
        "10.0.0.2 has no port mapper (ICMP) (a moment before; it is not asked again yet): start iwpmd there",
        Report(FallbackCause.Remembered, FallbackCause.Unreachable).ToString());

    /// <summary>As a state of an earlier version has it.</summary>
    [Fact]
    public void A_host_that_is_remembered_without_a_reason_has_no_remedy()
    {
        Assert.Equal("remembered", FallbackWords.NameOf(FallbackCause.Remembered));
        Assert.Equal(
            "10.0.0.2 did not answer a moment before (a moment before; it is not asked again yet)",
            Report(FallbackCause.Remembered, FallbackCause.None).ToString());
    }

    [Fact]
    public void The_manual_has_each_name_that_JSON_and_metrics_use()
    {
        string manual = File.ReadAllText(Repository.PathOf("iwpmd.8"));
        string[] losses = [.. LossItem().Matches(manual[manual.IndexOf(".Ss Health", StringComparison.Ordinal)..])
            .SelectMany(item => item.Groups[1].Value.Split(" , "))];

        Assert.Empty(LossWords.All.Select(words => words.Name).Except(losses));
        Assert.All(FallbackWords.Reasons, cause => Assert.Contains($"\"{FallbackWords.NameOf(cause)}\"", manual));
    }

    private static FallbackReport Report(FallbackCause cause, FallbackCause reason) =>
        new(Peer, cause, reason, default, TimeSpan.FromMilliseconds(1500));

    [GeneratedRegex(@"(?m)^\.It Cm (.*)$")]
    private static partial Regex LossItem();
}

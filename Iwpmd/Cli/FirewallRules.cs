// SPDX-License-Identifier: MIT
using System.Globalization;
using Iwpmd.Os;

namespace Iwpmd.Cli;

/// <summary>Packets from any of these ports to any of those.</summary>
/// <param name="Protocol">"udp" or "tcp".</param>
/// <param name="IsAnswer">Connection tracking knows their flow; else each is the first of it.</param>
internal readonly record struct Packets(string Protocol, PortRange Source, PortRange Target, bool IsAnswer = false)
{
    public string ProtocolNumber => Protocol == "udp" ? "17" : "6";
}

/// <summary>What becomes of a packet.</summary>
internal enum FirewallVerdict
{
    Passes,

    /// <summary>It depends on something that is not known here, such as who sends it.</summary>
    Depends,
    Dropped,
}

/// <summary>
/// What <c>nft list ruleset</c> prints, asked about packets of one kind, from any host by any interface but the
/// loopback. What it does not understand it takes for something that may or may not fit.
/// </summary>
internal sealed class FirewallRules
{
    private const int MaxDepth = 16; // of jumps, as in the kernel
    private const string UnknownMap = "vmap @";

    private readonly List<Chain> _chains = [];

    public FirewallRules(string ruleset) => Read(ruleset);

    private sealed record Chain(string Table, string Name)
    {
        public string Hook { get; set; } = "";

        public bool DropsByDefault { get; set; }

        public List<string> Rules { get; } = [];
    }

    /// <summary>The worst that can happen on a hook; <paramref name="rule"/> is what does it.</summary>
    public FirewallVerdict Judge(string hook, in Packets packets, out string rule)
    {
        FirewallVerdict worst = FirewallVerdict.Passes;
        rule = "";
        foreach (Chain chain in _chains)
        {
            if (chain.Hook != hook)
            {
                continue;
            }
            FirewallVerdict verdict = Walk(chain, packets, 0, out string by)
                ?? (chain.DropsByDefault ? FirewallVerdict.Dropped : FirewallVerdict.Passes);
            if (verdict > worst)
            {
                worst = verdict;
                rule = $"{chain.Table}, chain {chain.Name}: {(by.Length == 0 ? "policy drop" : by)}";
            }
        }
        return worst;
    }

    /// <summary>
    /// "table inet x {", "chain in {", "type filter hook input priority filter; policy drop;", a rule a line; sets and
    /// maps are left out.
    /// </summary>
    private void Read(string ruleset)
    {
        string table = "";
        Chain? chain = null;
        int depth = 0;
        foreach (string raw in ruleset.Split('\n'))
        {
            string line = raw.Trim();
            string[] words = line.Split(' ');
            if (depth == 0 && words[0] == "table")
            {
                table = line.TrimEnd('{').TrimEnd();
            }
            else if (depth == 1 && words[0] == "chain")
            {
                _chains.Add(chain = new Chain(table, words[1]));
            }
            else if (depth == 2 && chain is not null && words[0] == "type")
            {
                chain.Hook = words[Array.IndexOf(words, "hook") + 1];
                chain.DropsByDefault = line.Contains("policy drop", StringComparison.Ordinal);
            }
            else if (depth == 2 && line.Length > 1 && line[0] != '#')
            {
                chain?.Rules.AddRange(Expand(line));
            }
            depth += line.AsSpan().Count('{') - line.AsSpan().Count('}');
            chain = depth < 2 && words[0] != "chain" ? null : chain;
        }
    }

    /// <summary>"A vmap { k : v, ... }" is a rule "A k v" for each of them.</summary>
    private static IEnumerable<string> Expand(string rule)
    {
        const string Map = " vmap {";
        int at = rule.IndexOf(Map, StringComparison.Ordinal), end = rule.LastIndexOf('}');
        return at < 0 || end < at ? [rule]
            : rule[(at + Map.Length)..end].Split(',').Select(
                entry => $"{rule[..at]} {entry.Replace(" : ", " ", StringComparison.Ordinal).Trim()}");
    }

    /// <summary>Null when the packet comes out at the end of the chain.</summary>
    private FirewallVerdict? Walk(Chain chain, in Packets packets, int depth, out string by)
    {
        by = "";
        bool mayHavePassed = false, mayBeDropped = false;
        foreach (string rule in chain.Rules)
        {
            bool? fits = Fits(rule, packets, out string verdict, out string target);
            if (fits == true && verdict == "return")
            {
                break;
            }
            FirewallVerdict? result = fits == false ? null : verdict switch
            {
                "accept" => FirewallVerdict.Passes,
                "drop" or "reject" => FirewallVerdict.Dropped,
                UnknownMap => FirewallVerdict.Depends,
                "jump" or "goto" when depth < MaxDepth
                    && _chains.Find(c => c.Table == chain.Table && c.Name == target) is Chain next =>
                    Walk(next, packets, depth + 1, out _),
                _ => null,
            };
            if (result is null)
            {
                continue;
            }
            by = by.Length == 0 || fits == true ? rule : by;
            if (fits == true && result != FirewallVerdict.Depends)
            {
                bool mayDiffer = result == FirewallVerdict.Dropped ? mayHavePassed : mayBeDropped;
                return mayDiffer ? FirewallVerdict.Depends : result;
            }
            mayHavePassed |= result != FirewallVerdict.Dropped;
            mayBeDropped |= result != FirewallVerdict.Passes;
        }
        bool drops = chain.DropsByDefault;
        return drops && mayHavePassed || !drops && mayBeDropped ? FirewallVerdict.Depends : null;
    }

    /// <summary>Whether our packets fit all conditions of a rule: null when that is not known.</summary>
    private static bool? Fits(string rule, in Packets packets, out string verdict, out string target)
    {
        var words = new NftTokenizer(rule);
        bool isKnown = true, isOfSeveral = rule.Contains(" . ", StringComparison.Ordinal); // "ip saddr . udp dport"
        (verdict, target) = ("", "");
        if (rule.Contains(UnknownMap, StringComparison.Ordinal))
        {
            verdict = UnknownMap;
            return null;
        }
        while (words.TryTake(out string word))
        {
            if (word is "accept" or "drop" or "reject" or "return" or "jump" or "goto")
            {
                verdict = word;
                _ = words.TryTake(out target);
                break;
            }
            bool? fits = isOfSeveral ? null : FitsCondition(word, packets, ref words);
            if (fits == false)
            {
                return false;
            }
            isKnown &= fits is not null;
        }
        return isKnown ? true : null;
    }

    private static bool? FitsCondition(string word, in Packets packets, ref NftTokenizer words)
    {
        switch (word)
        {
            case "counter":
                words.SkipCounter();
                return true;
            case "comment" or "log":
                words.SkipTexts();
                return true;
            case "udp" or "tcp" or "icmp" or "icmpv6" or "sctp" or "dccp" when word != packets.Protocol:
                return false;
            case "udp" or "tcp" or "th" when words.TryTakeAfter("dport", out string ports):
                return Contains(ports, packets.Target);
            case "udp" or "tcp" or "th" when words.TryTakeAfter("sport", out string ports):
                return Contains(ports, packets.Source);
            case "meta" when words.TryTakeAfter("l4proto", out string protocols):
                return Names(protocols, packets.Protocol, packets.ProtocolNumber);
            case "ip" when words.TryTakeAfter("protocol", out string protocols):
                return Names(protocols, packets.Protocol, packets.ProtocolNumber);
            case "ct" when words.TryTakeAfter("state", out string states):
                return packets.IsAnswer ? Names(states, "established", "0x2", "untracked", "0x40")
                    : Names(states, "new", "0x8", "untracked", "0x40"); // numbers with nft -n
            case "iif" or "iifname" when words.TryTake(out string interfaces):
                return interfaces.Trim('"') == "lo" ? false : interfaces == "!= \"lo\"" ? true : null;
            default:
                return null;
        }
    }

    /// <summary>Null when it has some of the range, or that is not known.</summary>
    private static bool? Contains(string ports, PortRange range)
    {
        bool isNegated = ports.StartsWith("!= ", StringComparison.Ordinal);
        string list = isNegated ? ports[3..] : ports;
        bool hasAll = false, hasSome = false;
        foreach (string item in list.Trim('{', '}', ' ').Split(',', StringSplitOptions.TrimEntries))
        {
            string[] ends = item.Split('-');
            if (!ushort.TryParse(ends[0], NumberStyles.None, CultureInfo.InvariantCulture, out ushort low)
                || !ushort.TryParse(ends[^1], NumberStyles.None, CultureInfo.InvariantCulture, out ushort high))
            {
                return null; // a named set, or a service by name
            }
            hasAll |= low <= range.Low && high >= range.High;
            hasSome |= low <= range.High && high >= range.Low;
        }
        return hasAll != hasSome ? null : hasAll != isNegated;
    }

    private static bool? Names(string list, params string[] names)
    {
        bool isNegated = list.StartsWith("!= ", StringComparison.Ordinal);
        string[] items = (isNegated ? list[3..] : list).Trim('{', '}', ' ').Split(',', StringSplitOptions.TrimEntries);
        return Array.Exists(items, item => item.StartsWith('@'))
            ? null
            : Array.Exists(items, item => names.Contains(item)) != isNegated;
    }
}

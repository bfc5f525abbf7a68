// SPDX-License-Identifier: MIT
using System.Globalization;

namespace Iwpmd.Cli;

/// <summary>What becomes of a datagram.</summary>
internal enum FirewallVerdict
{
    Passes,

    /// <summary>It depends on something that is not known here, such as who sends it.</summary>
    Depends,
    Dropped,
}

/// <summary>
/// What <c>nft list ruleset</c> prints, asked about one datagram: UDP to a given port, the first of its flow, from any
/// host by any interface but the loopback. What it does not understand it takes for something that may or may not fit.
/// </summary>
internal sealed class FirewallRules
{
    private const int MaxDepth = 16; // of jumps, as in the kernel

    private readonly List<Chain> _chains = [];
    private readonly ushort _port;

    private FirewallRules(ushort port) => _port = port;

    private sealed record Chain(string Table, string Name)
    {
        public string Hook { get; set; } = "";

        public bool DropsByDefault { get; set; }

        public List<string> Rules { get; } = [];
    }

    /// <summary>The worst that can happen on a hook; <paramref name="rule"/> is what does it.</summary>
    public static FirewallVerdict Judge(string ruleset, string hook, ushort port, out string rule)
    {
        var rules = new FirewallRules(port);
        rules.Read(ruleset);
        FirewallVerdict worst = FirewallVerdict.Passes;
        rule = "";
        foreach (Chain chain in rules._chains)
        {
            if (chain.Hook != hook)
            {
                continue;
            }
            FirewallVerdict verdict = rules.Walk(chain, 0, out string by)
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
                chain?.Rules.Add(line);
            }
            depth += line.AsSpan().Count('{') - line.AsSpan().Count('}');
            chain = depth < 2 && words[0] != "chain" ? null : chain;
        }
    }

    /// <summary>Null when the datagram comes out at the end of the chain.</summary>
    private FirewallVerdict? Walk(Chain chain, int depth, out string by)
    {
        by = "";
        bool mayHavePassed = false, mayBeDropped = false;
        foreach (string rule in chain.Rules)
        {
            bool? fits = Fits(rule, out string verdict, out string target);
            if (fits == true && verdict == "return")
            {
                break;
            }
            FirewallVerdict? result = fits == false ? null : verdict switch
            {
                "accept" => FirewallVerdict.Passes,
                "drop" or "reject" => FirewallVerdict.Dropped,
                "jump" or "goto" when depth < MaxDepth
                    && _chains.Find(c => c.Table == chain.Table && c.Name == target) is Chain next =>
                    Walk(next, depth + 1, out _),
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

    /// <summary>Whether our datagram fits all conditions of a rule: null when that is not known.</summary>
    private bool? Fits(string rule, out string verdict, out string target)
    {
        var words = new NftTokenizer(rule);
        bool isKnown = true;
        (verdict, target) = ("", "");
        while (words.TryTake(out string word))
        {
            if (word is "accept" or "drop" or "reject" or "return" or "jump" or "goto")
            {
                verdict = word;
                _ = words.TryTake(out target);
                break;
            }
            bool? fits = FitsCondition(word, ref words);
            if (fits == false)
            {
                return false;
            }
            isKnown &= fits is not null;
        }
        return isKnown ? true : null;
    }

    private bool? FitsCondition(string word, ref NftTokenizer words)
    {
        switch (word)
        {
            case "counter":
                words.SkipCounter();
                return true;
            case "comment" or "log":
                words.SkipTexts();
                return true;
            case "udp" or "th" when words.TryTakeAfter("dport", out string ports):
                return Contains(ports, _port);
            case "tcp" or "icmp" or "icmpv6" or "sctp" or "dccp":
                return false;
            case "meta" when words.TryTakeAfter("l4proto", out string protocols):
                return Names(protocols, "udp", "17");
            case "ip" when words.TryTakeAfter("protocol", out string protocols):
                return Names(protocols, "udp", "17");
            case "ct" when words.TryTakeAfter("state", out string states):
                return Names(states, "new", "untracked");
            case "iif" or "iifname" when words.TryTake(out string interfaces):
                return interfaces.Trim('"') == "lo" ? false : interfaces == "!= \"lo\"" ? true : null;
            default:
                return null;
        }
    }

    private static bool? Contains(string ports, ushort port)
    {
        bool isNegated = ports.StartsWith("!= ", StringComparison.Ordinal);
        string list = isNegated ? ports[3..] : ports;
        bool found = false;
        foreach (string item in list.Trim('{', '}', ' ').Split(',', StringSplitOptions.TrimEntries))
        {
            string[] ends = item.Split('-');
            if (!ushort.TryParse(ends[0], NumberStyles.None, CultureInfo.InvariantCulture, out ushort low)
                || !ushort.TryParse(ends[^1], NumberStyles.None, CultureInfo.InvariantCulture, out ushort high))
            {
                return null; // a named set, or a service by name
            }
            found |= port >= low && port <= high;
        }
        return found != isNegated;
    }

    private static bool? Names(string list, string one, string other)
    {
        if (list == "vmap")
        {
            return null;
        }
        bool isNegated = list.StartsWith("!= ", StringComparison.Ordinal);
        string[] items = (isNegated ? list[3..] : list).Trim('{', '}', ' ').Split(',', StringSplitOptions.TrimEntries);
        return Array.Exists(items, item => item.StartsWith('@'))
            ? null
            : Array.Exists(items, item => item == one || item == other) != isNegated;
    }
}

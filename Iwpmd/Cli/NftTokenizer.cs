// SPDX-License-Identifier: MIT
namespace Iwpmd.Cli;

/// <summary>
/// A firewall rule word by word; a set in braces is one word, a quoted text is one, and "!=" belongs to what follows
/// it.
/// </summary>
internal ref struct NftTokenizer(string rule)
{
    private ReadOnlySpan<char> _left = rule;

    public bool TryTake(out string word)
    {
        _left = _left.TrimStart();
        if (_left.IsEmpty)
        {
            word = "";
            return false;
        }
        int negation = _left.StartsWith("!= ") ? "!= ".Length : 0;
        ReadOnlySpan<char> rest = _left[negation..];
        int end = rest[0] switch
        {
            '{' => rest.IndexOf('}') + 1,
            '"' => rest[1..].IndexOf('"') + 2,
            _ => rest.IndexOf(' '),
        };
        end = end <= 0 ? rest.Length : end;
        word = _left[..(negation + end)].ToString();
        _left = rest[end..];
        return true;
    }

    /// <summary>The word behind this one, when this one is next.</summary>
    public bool TryTakeAfter(string name, out string word)
    {
        NftTokenizer before = this;
        if (TryTake(out string next) && next == name && TryTake(out word))
        {
            return true;
        }
        this = before;
        word = "";
        return false;
    }

    /// <summary>"packets 5 bytes 300", which may be missing.</summary>
    public void SkipCounter()
    {
        _ = TryTakeAfter("packets", out _);
        _ = TryTakeAfter("bytes", out _);
    }

    /// <summary>What a log or comment says and how.</summary>
    public void SkipTexts()
    {
        while (TryTakeAfter("prefix", out _) || TryTakeAfter("level", out _) || TryTakeAfter("flags", out _)
            || TryTakeAfter("group", out _) || TrySkipText())
        {
        }
    }

    private bool TrySkipText() => _left.TrimStart().StartsWith("\"") && TryTake(out _);
}

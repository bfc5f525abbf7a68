// SPDX-License-Identifier: MIT
using System.Text.RegularExpressions;

namespace Iwpmd.Tests.Support;

/// <summary>One C# source without its comments and texts: blanks stand in their place, so that every line and column stays where it was. The code inside interpolated texts stays.</summary>
internal sealed partial class SourceText
{
    private readonly string _text;
    private readonly char[] _code;
    private int _at;

    private SourceText(string text)
    {
        _text = text;
        _code = text.ToCharArray();
    }

    public static string CodeOf(string text)
    {
        var source = new SourceText(text);
        source.Code(interpolationBraces: 0);
        return new string(source._code);
    }

    /// <summary>The methods and accessors that have a block, with the number of lines between its braces.</summary>
    public static IEnumerable<(string Name, int Line, int Length)> Methods(string code)
    {
        var blocks = new Stack<(string Kind, string Name, int Line)>();
        int headerAt = 0;
        for (int i = 0; i < code.Length; i++)
        {
            if (code[i] == '{')
            {
                string header = LeadingAttributes().Replace(code[headerAt..i], "").Trim();
                blocks.Push((KindOf(header, blocks.Count == 0 ? "file" : blocks.Peek().Kind), header, LineOf(code, i)));
            }
            else if (code[i] == '}' && blocks.TryPop(out (string Kind, string Name, int Line) block) && block.Kind == "method")
            {
                yield return (MethodName().Match(block.Name) is { Success: true } match ? match.Groups[1].Value : block.Name, block.Line, LineOf(code, i) - block.Line - 1);
            }
            headerAt = code[i] is '{' or '}' or ';' ? i + 1 : headerAt;
        }
    }

    public static int LineOf(string text, int at) => 1 + text.AsSpan(0, at).Count('\n');

    private static string KindOf(string header, string parent) => parent switch
    {
        "file" or "type" when TypeHeader().IsMatch(header) => "type",
        "type" when FieldHeader().IsMatch(header) => "field",
        "type" => header.Contains('(') ? "method" : "property",
        "property" when header.EndsWith("get") || header.EndsWith("set") || header.EndsWith("init") => "method",
        _ => "inner",
    };

    private void Code(int interpolationBraces)
    {
        for (int depth = 0; _at < _text.Length;)
        {
            char c = _text[_at];
            if (interpolationBraces > 0 && depth == 0 && c == '}')
            {
                Blank(interpolationBraces);
                return;
            }
            depth += interpolationBraces == 0 ? 0 : c == '{' ? 1 : c == '}' ? -1 : 0;
            if (Literal().Match(_text, _at) is { Success: true } literal)
            {
                Text(literal.Groups["prefix"].Value, literal.Groups["quotes"].Length);
            }
            else if (Comment().Match(_text, _at) is { Success: true } comment)
            {
                Blank(comment.Length);
            }
            else
            {
                _at++;
            }
        }
    }

    private void Text(string prefix, int quotes)
    {
        bool verbatim = prefix.Contains('@'), raw = quotes >= 3 && !verbatim;
        int dollars = prefix.Count(c => c == '$'), braces = raw ? dollars : Math.Min(dollars, 1);
        Blank(prefix.Length + (raw ? quotes : 1));
        while (_at < _text.Length)
        {
            int run = RunOf(_text[_at]);
            switch (_text[_at])
            {
                case '"' when raw ? run >= quotes : !verbatim || run % 2 == 1:
                    Blank(raw || verbatim ? run : 1);
                    return;
                case '"' when raw || verbatim:
                    Blank(run);
                    break;
                case '\\' when !raw && !verbatim:
                    Blank(2);
                    break;
                case '{' when braces > 0 && (raw ? run >= braces : run % 2 == 1):
                    Blank(run);
                    Code(braces);
                    break;
                case '{' when braces > 0:
                    Blank(run);
                    break;
                default:
                    Blank(1);
                    break;
            }
        }
    }

    private int RunOf(char c)
    {
        int end = _at;
        while (end < _text.Length && _text[end] == c)
        {
            end++;
        }
        return end - _at;
    }

    private void Blank(int count)
    {
        for (int end = Math.Min(_at + count, _text.Length); _at < end; _at++)
        {
            _code[_at] = _text[_at] == '\n' ? '\n' : ' ';
        }
    }

    [GeneratedRegex("""\G(?<prefix>[$@]*)(?<quotes>"+)""")]
    private static partial Regex Literal();

    [GeneratedRegex("""\G(//[^\n]*|/\*[\s\S]*?\*/|'(\\.[^']*|[^'\\])')""")]
    private static partial Regex Comment();

    [GeneratedRegex("""^(\s*\[[^\[\]]*(\[[^\[\]]*\][^\[\]]*)*\])+""")]
    private static partial Regex LeadingAttributes();

    [GeneratedRegex("""\b(class|struct|interface|enum|record|namespace)\s+\w+""")]
    private static partial Regex TypeHeader();

    [GeneratedRegex("""^[^(]*[^=!<>]=(?![=>])""")]
    private static partial Regex FieldHeader();

    [GeneratedRegex("""(\w+)\s*(<[^()]*>)?\s*\(""")]
    private static partial Regex MethodName();
}

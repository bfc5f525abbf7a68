// SPDX-License-Identifier: MIT
using System.Text.RegularExpressions;

namespace Iwpmd.Tests.Support;

/// <summary>
/// One C# source without its comments and texts: blanks stand in their place, so that every line and column stays where
/// it was. The code inside interpolated texts stays.
/// </summary>
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

    public static int LineOf(string text, int at) => 1 + text.AsSpan(0, at).Count('\n');

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
}

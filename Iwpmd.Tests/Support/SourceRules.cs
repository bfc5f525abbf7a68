// SPDX-License-Identifier: MIT
using System.Text.RegularExpressions;
using Iwpmd.Os.Interop;
using Iwpmd.State;
using Iwpmd.Wire;

namespace Iwpmd.Tests.Support;

/// <summary>
/// The rules of the house that a text can be asked about. Each takes a path below the root and what the file holds, and
/// returns what is wrong, as "path:line: what".
/// </summary>
internal static partial class SourceRules
{
    // A diamond: Core and Os never meet. Log.cs and what stands beside it are leaves that all but Wire and State may
    // use.
    private static readonly Dictionary<string, string[]> MayUse = new()
    {
        ["Wire"] = [],
        ["State"] = ["Wire"],
        ["Core"] = ["Wire", "State", "Log"],
        ["Os"] = ["Wire", "Log"],
        ["Daemon"] = ["Wire", "State", "Core", "Os", "Log"],
        ["Cli"] = ["Wire", "State", "Core", "Os", "Daemon", "Log"],
        ["Log"] = ["Wire", "State.MappingState"], // values that it prints, by name and no others
        ["Program"] = ["Wire", "State", "Core", "Os", "Daemon", "Cli", "Log"],
    };

    private static readonly string[] StandardFolders =
        [
            "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/media", "/mnt", "/opt", "/proc", "/root", "/run",
            "/sbin", "/srv", "/sys", "/tmp", "/usr", "/var", "/src",
        ];

    public static IEnumerable<string> Dependencies(string path, string text)
    {
        string code = SourceText.CodeOf(text), room = RoomOf(path);
        string expected = Path.GetDirectoryName(path)!.Replace('/', '.');
        if (Namespace().Match(code) is { Success: true } declared && declared.Groups[1].Value != expected)
        {
            yield return $"{path}: namespace {declared.Groups[1].Value}, where its folder says {expected}";
        }
        foreach (Match use in RoomUse().Matches(code))
        {
            string used = use.Groups["room"].Value;
            if (used != room && !MayUse[room].Contains(used) && !MayUse[room].Contains(used + use.Groups["type"].Value))
            {
                yield return At(path, code, use, $"{room} must not know {used}");
            }
        }
        foreach (string violation in Find(path, code, GlobalUsing(), "a using for all files hides who depends on whom"))
        {
            yield return violation;
        }
    }

    public static IEnumerable<string> UnsafeCode(string path, string text) =>
        path.StartsWith("Iwpmd/Os/") || IsPartOf(path, "Iwpmd/State/StateLayout")
            ? []
            : Find(path, SourceText.CodeOf(text), UnsafeWord(), "unsafe");

    public static IEnumerable<string> NativeImports(string path, string text) =>
        path.StartsWith("Iwpmd/Os/") ? [] : Find(path, SourceText.CodeOf(text), NativeImport(), "native import");

    public static IEnumerable<string> Reflection(string path, string text) =>
        Find(path, SourceText.CodeOf(text), ReflectionUse(), "reflection");

    public static IEnumerable<string> TypeNames(string path, string text) =>
        Find(path, SourceText.CodeOf(text), EmptyName(), "a name that says nothing");

    public static IEnumerable<string> Clocks(string path, string text) =>
        path.StartsWith("Iwpmd/Core/") || path.StartsWith("Iwpmd/State/") || path.StartsWith("Iwpmd/Wire/")
            ? Find(path, SourceText.CodeOf(text), ClockOrChance(), "time and chance come in as arguments")
            : [];

    /// <summary>Wire and Os may use C's names, but only the files that mirror a header may define them.</summary>
    public static IEnumerable<string> CNames(string path, string text)
    {
        bool mirror = IsPartOf(path, "Iwpmd/Os/Interop/Libc") || path == "Iwpmd/Wire/RdmaNetlink.cs";
        bool guest = path.StartsWith("Iwpmd/Os/") || path.StartsWith("Iwpmd/Wire/");
        return mirror
            ? []
            : Find(
                path, SourceText.CodeOf(text), guest ? CDefinition() : CName(),
                guest ? "C's names are defined in Libc.* and RdmaNetlink.cs" : "C's names are for Wire and Os");
    }

    public static IEnumerable<string> LogLines(string path, string text) => IsPartOf(
        path, "Iwpmd/Log") ? [] : Find(path, SourceText.CodeOf(text), LogAttribute(), "log lines stand in Log.cs");

    /// <summary>
    /// Any text file: no path of the machine it was made on, be it somebody's home or the folder that holds
    /// <paramref name="root"/>, the checkout.
    /// </summary>
    public static IEnumerable<string> BuildMachine(string path, string text, string root)
    {
        string top = "/" + root.Split('/')[1];
        string own = Regex.Escape(StandardFolders.Contains(top) ? root : top);
        return Find(
            path, text, new Regex($@"(?<![\w.$}}~-])({own}|/home/\w+|/Users/\w+)(?![\w.-])"),
            "a path of the machine it was made on");
    }

    /// <summary>
    /// Each Kept: and Differs: note of the sources has its item of the same kind in doc/deviations.md, and the other
    /// way round: "- Differs: what and why (`Core/PortMapper.cs`; a test)", one item for each note of the file that it
    /// names.
    /// </summary>
    public static IEnumerable<string> Deviations(IEnumerable<(string Path, string Text)> sources, string list)
    {
        string[] items = [.. DeviationItem().Matches(list).Select(item => item.Value.TrimEnd())];
        foreach ((string path, string text) in sources)
        {
            string name = path["Iwpmd/".Length..];
            foreach (string kind in (string[])["Differs", "Kept"])
            {
                int notes = Regex.Count(text, $@"\b{kind}: "),
                    told = items.Count(item => item.StartsWith($"- {kind}: ") && item.Contains($"`{name}`"));
                if (notes != told)
                {
                    yield return $"{name}: {notes} x {kind}, doc/deviations.md: {told}";
                }
            }
        }
        foreach (string item in items.Where(
            item => !sources.Any(source => item.Contains($"`{source.Path["Iwpmd/".Length..]}`"))))
        {
            yield return $"doc/deviations.md: no source named: {item}";
        }
    }

    /// <summary>The names of options in Cli/CommandLine.cs, long and short.</summary>
    public static string[] Options(string commandLine) =>
        [.. OptionName().Matches(commandLine).Select(name => name.Groups[1].Value).Distinct()];

    /// <summary>The names of keys in Daemon/Configuration.cs.</summary>
    public static string[] Keys(string configuration) =>
        [.. KeyName().Matches(configuration).Select(name => name.Groups[1].Value).Distinct()];

    /// <summary>The names that a man page, in mdoc or in man macros, does not have.</summary>
    public static IEnumerable<string> Undocumented(IEnumerable<string> names, string page)
    {
        string text = page.Replace("\\", "").Replace("Fl ", "-");
        return names.Where(name => !Regex.IsMatch(text, $@"(?<![\w-]){name}(?![\w-])"));
    }

    private static string RoomOf(string path)
    {
        string[] parts = path.Split('/');
        return parts.Length > 2 ? parts[1] : parts[1] == "Program.cs" ? "Program" : "Log";
    }

    /// <summary>The type's file, or one of its partials.</summary>
    private static bool IsPartOf(string path, string stem) =>
        path == stem + ".cs" || path.StartsWith(stem + ".", StringComparison.Ordinal);

    private static IEnumerable<string> Find(string path, string code, Regex pattern, string what) =>
        pattern.Matches(code).Select(match => At(path, code, match, what));

    private static string At(string path, string code, Match match, string what) =>
        $"{path}:{SourceText.LineOf(code, match.Index)}: {match.Value.Trim()}: {what}";

    [GeneratedRegex(@"\bnamespace\s+([\w.]+)")]
    private static partial Regex Namespace();

    [GeneratedRegex(
        @"\bIwpmd\.(?<room>Wire|State|Core|Os|Daemon|Cli|Log)\b(?=[.;])(?<!namespace\s+[\w.]+)(?<type>\.\w+)?"
            + @"|(?<![\w.])(?<room>Wire|State(?=\.[A-Z]\w*State)|Core|Os|Daemon|Cli|Log)(?<type>\.[A-Z]\w*)")]
    private static partial Regex RoomUse();

    [GeneratedRegex(@"\bglobal\s+using\b[^;]*")]
    private static partial Regex GlobalUsing();

    [GeneratedRegex(@"\bunsafe\b")]
    private static partial Regex UnsafeWord();

    [GeneratedRegex(@"\b(LibraryImport|DllImport|NativeLibrary)\b")]
    private static partial Regex NativeImport();

    [GeneratedRegex(
        @"\b(System\.Reflection|Activator|Assembly|dynamic)\b|\.GetType\(\)\s*\.|\bType\.GetType\b"
            + @"|\.(GetMethods?|GetPropert(y|ies)|GetFields?|GetConstructors?|GetMembers?|GetCustomAttributes?"
            + @"|MakeGeneric(Type|Method)|InvokeMember|GetDelegateForFunctionPointer)\b")]
    private static partial Regex ReflectionUse();

    [GeneratedRegex(@"\b(class|struct|record|interface|enum)\s+\w*(Manager|Helper|Util|Common)\w*")]
    private static partial Regex EmptyName();

    [GeneratedRegex(
        @"\b(DateTime|DateTimeOffset)\.(Utc)?(Now|Today)\b"
            + @"|\b(Stopwatch|TickCount(64)?|TimeProvider|RandomNumberGenerator|NewGuid)\b"
            + @"|\bRandom\.Shared\b|\bnew\s+Random\b")]
    private static partial Regex ClockOrChance();

    [GeneratedRegex(@"\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b")]
    private static partial Regex CName();

    [GeneratedRegex(@"(?<![.\w])[A-Z][A-Z0-9]*_[A-Z0-9_]+\s*=(?![=>])")]
    private static partial Regex CDefinition();

    [GeneratedRegex("""
        "(--?[a-z][a-z-]*)"
        """, RegexOptions.IgnorePatternWhitespace)]
    private static partial Regex OptionName();

    [GeneratedRegex("""
        \b(?:new|Number|Milliseconds)\(\s*"([a-z_]+)"
        """, RegexOptions.IgnorePatternWhitespace)]
    private static partial Regex KeyName();

    [GeneratedRegex(@"^- (Kept|Differs): .*(\n  .*)*", RegexOptions.Multiline)]
    private static partial Regex DeviationItem();

    [GeneratedRegex(@"\[\s*LoggerMessage\b")]
    private static partial Regex LogAttribute();
}

// SPDX-License-Identifier: MIT
using Iwpmd.Os;
using Iwpmd.Wire;

namespace Iwpmd.Daemon;

/// <summary>A fault of the configuration; <paramref name="Line"/> is 0 when it concerns the whole file.</summary>
internal sealed record Complaint(int Line, string Text, bool IsFatal)
{
    /// <summary>Follows the file's name and a colon.</summary>
    public override string ToString() => Line == 0 ? $" {Text}" : $"{Line}: {Text}";
}

/// <summary>The values of a file, and its faults. With a fatal one it must not be applied.</summary>
internal sealed record LoadedConfiguration(Configuration Configuration, Complaint[] Complaints)
{
    /// <exception cref="SetupException">There is a fatal fault.</exception>
    public void Refuse(string path)
    {
        Complaint[] fatal = Array.FindAll(Complaints, complaint => complaint.IsFatal);
        if (fatal.Length > 0)
        {
            string more = fatal.Length == 1 ? "" : $" (and {fatal.Length - 1} more like this: iwpmd --check-config)";
            throw new SetupException(ExitStatus.Configuration, $"configuration: {path}:{fatal[0]}{more}");
        }
    }
}

/// <summary>
/// Reads the lines of iwpmd.conf. Each key reads its own value; several keys together are checked here.
/// </summary>
internal sealed class ConfigurationParser
{
    private static readonly char[] NameEnds = [' ', '\t', ':'];

    private readonly List<Complaint> _complaints = [];
    private readonly Dictionary<string, (int Line, string Text)> _set = [];
    private Configuration _configuration = new();

    private ConfigurationParser()
    {
    }

    public static LoadedConfiguration Parse(IEnumerable<string> lines)
    {
        var parser = new ConfigurationParser();
        int number = 0;
        foreach (string line in lines)
        {
            parser.Read(++number, line.Split('#', 2)[0].Trim());
        }
        parser.Judge();
        return new LoadedConfiguration(parser._configuration, [.. parser._complaints]);
    }

    private void Read(int number, string line)
    {
        if (line.Length == 0)
        {
            return;
        }
        string[] parts = line.Split('=', 2, StringSplitOptions.TrimEntries);
        string name = parts.Length == 2 ? parts[0] : line.Split(NameEnds, 2)[0];
        ConfigurationKey? key = Array.Find(Configuration.Keys, one => one.Name == name) ?? FindNearest(name);
        // A network under a name that nobody knows was meant to restrict as well.
        bool restricts = key is { Restricts: true } || (key is null && parts.Length == 2 && HasNetwork(parts[1]));
        if (parts.Length == 1)
        {
            Complain(number, $"'{line}' has no '='", "the line is ignored", restricts);
        }
        else if (key?.Name != name)
        {
            string hint = key is null ? "" : $", perhaps {key.Name}";
            Complain(number, $"unknown name '{name}'{hint}", "the line is ignored", restricts);
        }
        else
        {
            Apply(number, key, parts[1]);
        }
    }

    private void Apply(int number, ConfigurationKey key, string text)
    {
        bool isRepeated = _set.TryGetValue(key.Name, out (int Line, string Text) earlier);
        if (key.Apply(_configuration, text) is not Configuration changed)
        {
            string inForce = isRepeated ? $"'{earlier.Text}' of line {earlier.Line}" : $"the default, {key.Default},";
            string meant = key.FindMeant(text) is string value ? $", perhaps {value}" : "";
            Complain(
                number, $"{key.Name} must be {key.Expected}, not '{text}'{meant}", $"{inForce} stands", key.Restricts);
            return;
        }
        if (isRepeated)
        {
            string fault = $"{key.Name} is set in line {earlier.Line} already";
            Complain(number, fault, $"'{text}' of this line is used", key.Restricts);
        }
        _configuration = changed;
        _set[key.Name] = (number, text);
    }

    private void Judge()
    {
        foreach (Contradiction found in Contradictions.Of(_configuration))
        {
            int line = found.Keys.Max(key => _set.GetValueOrDefault(key).Line); // the later one of those that are set
            Complain(line, found.Fault, found.Consequence, isFatal: false);
        }
    }

    private void Complain(int line, string fault, string consequence, bool isFatal)
    {
        string end = isFatal ? "the daemon does not start, since this restricts who is served or heard" : consequence;
        _complaints.Add(new Complaint(line, $"{fault}: {end}", isFatal));
    }

    private static bool HasNetwork(string text) => Array.Exists(
        Configuration.Items(text),
        one => one.AsSpan().ContainsAny('.', ':')
            && (InetNetwork.TryParse(one, out InetNetwork meant) || meant != default));

    /// <summary>The intended key, if the name is misspelt or a synonym.</summary>
    private static ConfigurationKey? FindNearest(string name)
    {
        string? nearest = Spelling.FindNearest(name, Configuration.Keys.Select(key => key.Name));
        return Array.Find(Configuration.Keys, key => key.Name == nearest)
            ?? Array.Find(Configuration.Keys, key => key.OtherWords.Any(Stands));

        bool Stands(string word) => name.Contains(word, StringComparison.OrdinalIgnoreCase);
    }
}

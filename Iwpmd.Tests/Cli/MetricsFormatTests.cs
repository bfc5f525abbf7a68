// SPDX-License-Identifier: MIT
using System.Text.RegularExpressions;
using Iwpmd.Cli;
using Iwpmd.Tests.Support;
using Xunit;

namespace Iwpmd.Tests.Cli;

/// <summary>
/// The rules of Prometheus for its text format (version 0.0.4) and for names, as its own checker has them.
/// </summary>
public partial class MetricsFormatTests
{
    private static string Text(StateReading reading)
    {
        var text = new StringWriter();
        Metrics.Write(reading, DateTime.UnixEpoch.AddDays(20000), text);
        return text.ToString();
    }

    /// <summary>What breaks the rules, one line each.</summary>
    private static IEnumerable<string> Faults(string text)
    {
        if (!text.EndsWith('\n'))
        {
            yield return "the last line does not end";
        }
        var types = new Dictionary<string, string>();
        var samples = new HashSet<string>();
        string help = "", current = "";
        foreach (string line in text.TrimEnd('\n').Split('\n'))
        {
            if (Help().Match(line) is { Success: true } described)
            {
                help = described.Groups[1].Value;
            }
            else if (Type().Match(line) is { Success: true } typed)
            {
                current = typed.Groups[1].Value;
                string type = typed.Groups[2].Value;
                if (current != help || !types.TryAdd(current, type))
                {
                    yield return $"HELP and TYPE once each, in this order: {line}";
                }
                if (type == "counter" != current.EndsWith("_total", StringComparison.Ordinal) || Unit().IsMatch(current)
                    || !current.StartsWith("iwpmd_", StringComparison.Ordinal))
                {
                    yield return $"a name against the conventions: {line}";
                }
            }
            else if (Sample().Match(line) is not { Success: true } sample || sample.Groups["name"].Value != current
                || !double.TryParse(
                    sample.Groups["value"].Value, System.Globalization.NumberStyles.Float,
                    System.Globalization.CultureInfo.InvariantCulture, out _))
            {
                yield return $"no sample of {current}: {line}";
            }
            else if (!samples.Add(sample.Groups["name"].Value + sample.Groups["labels"].Value))
            {
                yield return $"twice: {line}";
            }
        }
    }

    [Fact]
    public void The_metrics_keep_the_rules()
    {
        Assert.Empty(Faults(Text(Stage.Read(Stage.Busy()))));
        Assert.Empty(Faults(Text(Stage.Read(Stage.Busy(), DaemonCondition.Crashed))));
    }

    [Theory]
    [InlineData("# HELP iwpmd_x X.\n# TYPE iwpmd_x counter\niwpmd_x 1\n")]
    [InlineData("# HELP iwpmd_x X.\n# TYPE iwpmd_x gauge\niwpmd_x 1\niwpmd_x 2\n")]
    [InlineData("# HELP iwpmd_x X.\n# TYPE iwpmd_x gauge\niwpmd_y 1\n")]
    [InlineData("# TYPE iwpmd_x gauge\niwpmd_x 1\n")]
    [InlineData("# HELP iwpmd_x X.\n# TYPE iwpmd_x gauge\niwpmd_x{a=\"\"\"} 1\n")]
    [InlineData("# HELP iwpmd_x X.\n# TYPE iwpmd_x gauge\niwpmd_x 1,5\n")]
    [InlineData("# HELP iwpmd_x_ms X.\n# TYPE iwpmd_x_ms gauge\niwpmd_x_ms 1\n")]
    [InlineData("# HELP iwpmd_x X.\n# TYPE iwpmd_x gauge\niwpmd_x 1")]
    public void A_broken_rule_is_seen(string text) => Assert.NotEmpty(Faults(text));

    [Fact]
    public void Up_is_told_whatever_the_daemon_does()
    {
        Assert.Contains("\niwpmd_up 1\n", Text(Stage.Read(Stage.Busy())));
        Assert.Contains("\niwpmd_up 0\n", Text(Stage.Read(Stage.Busy(), DaemonCondition.Hung)));
        Assert.Contains("\niwpmd_up 0\n", Text(Stage.Missing(DaemonCondition.Absent, "x")));
    }

    [GeneratedRegex(@"^# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) [^\\]+$")]
    private static partial Regex Help();

    [GeneratedRegex(@"^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge)$")]
    private static partial Regex Type();

    [GeneratedRegex("""
        ^(?<name>[a-zA-Z_:][a-zA-Z0-9_:]*)
        (?<labels>\{[a-z_]+="(?:[^"\\\n]|\\[\\"n])*"(?:,[a-z_]+="(?:[^"\\\n]|\\[\\"n])*")*\})?[ ](?<value>\S+)$
        """, RegexOptions.IgnorePatternWhitespace)]
    private static partial Regex Sample();

    [GeneratedRegex("_(ms|us|ns|milliseconds|microseconds|minutes|hours|kb|mb|count|sum|bucket)(_total)?$")]
    private static partial Regex Unit();
}

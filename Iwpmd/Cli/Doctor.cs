using System.Text.Json;
using Iwpmd.Daemon;

namespace Iwpmd.Cli;

internal enum DoctorFormat
{
    Text,
    Json,
}

/// <summary><c>iwpmd doctor</c>: checks in order, from the kernel up, one line each, with what to do. It changes nothing, sends nothing, and holds nothing that the daemon needs.</summary>
internal static class Doctor
{
    /// <summary>0 when nothing is a failure.</summary>
    public static int Execute(string? configPath, DoctorFormat format)
    {
        Finding[] findings = Examine(configPath);
        if (format == DoctorFormat.Json)
        {
            using Stream stdout = Console.OpenStandardOutput();
            using (var json = new Utf8JsonWriter(stdout))
            {
                Write(json, findings);
            }
            stdout.WriteByte((byte)'\n');
        }
        else
        {
            Page page = Page.OfStdout();
            Write(page, findings);
            page.Text.Flush();
        }
        return Array.Exists(findings, finding => finding.Outcome == Outcome.Failure) ? ExitStatus.Failure : ExitStatus.Ended;
    }

    public static void Write(Page page, Finding[] findings)
    {
        foreach (Finding finding in findings)
        {
            Colour colour = finding.Outcome switch { Outcome.Ok => Colour.Green, Outcome.Warning => Colour.Yellow, _ => Colour.Red };
            page.Line($"{page.Paint(finding.OutcomeText.PadRight(9), colour)}{finding.Check.PadRight(15)}{finding.Text}{(finding.Remedy.Length == 0 ? "" : $": {finding.Remedy}")}");
        }
    }

    public static void Write(Utf8JsonWriter json, Finding[] findings)
    {
        json.WriteStartObject();
        json.WriteNumber("schema"u8, Json.Schema);
        json.WriteStartArray("checks"u8);
        foreach (Finding finding in findings)
        {
            json.WriteStartObject();
            json.WriteString("check"u8, finding.Check);
            json.WriteString("result"u8, finding.OutcomeText);
            json.WriteString("text"u8, finding.Text);
            json.WriteString("remedy"u8, finding.Remedy);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static Finding[] Examine(string? configPath)
    {
        List<Finding> findings = [];
        Configuration configuration;
        string path = configPath ?? Configuration.DefaultPath;
        try
        {
            (configuration, Complaint[] complaints) = Configuration.Load(path, configPath is not null);
            findings.AddRange(Array.ConvertAll(complaints, complaint => Finding.Bad("configuration", $"{path}:{complaint}", "correct the line")));
        }
        catch (SetupException e)
        {
            configuration = new Configuration();
            findings.Add(Finding.Bad("configuration", e.Message, "what follows assumes the defaults"));
        }
        if (findings.Count == 0)
        {
            findings.Add(Finding.Good("configuration", File.Exists(path) ? $"{path} has no faults" : $"there is no {path}: the defaults stand"));
        }
        StateReading reading = new StateReader(configuration.StateDirectory).Read();
        new HostChecks(configuration, reading).AddTo(findings);
        new DaemonChecks(configuration, reading).AddTo(findings);
        return [.. findings];
    }
}

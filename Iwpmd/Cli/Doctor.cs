// SPDX-License-Identifier: MIT
using System.Text.Json;
using Iwpmd.Daemon;
using Iwpmd.Os;

namespace Iwpmd.Cli;

internal enum DoctorFormat
{
    Text,
    Json,
}

/// <summary>
/// <c>iwpmd doctor</c>: checks in order, from the kernel up, one line each, with what to do. It changes nothing, sends
/// nothing, and holds nothing that the daemon needs.
/// </summary>
internal static class Doctor
{
    /// <summary>0 when nothing is a failure, and everything could be looked at.</summary>
    public static int Execute(string? configPath, DoctorFormat format)
    {
        Finding[] findings = Examine(configPath, out bool isPermitted);
        if (format == DoctorFormat.Json)
        {
            using var stdout = new StandardOutput();
            using (var json = new Utf8JsonWriter(stdout))
            {
                Write(json, findings);
            }
            stdout.WriteByte((byte)'\n');
        }
        else
        {
            TextOutput page = TextOutput.OfStdout();
            Write(page, findings);
            page.Text.Flush();
        }
        return Array.Exists(findings, finding => finding.Result == CheckResult.Failure) ? ExitStatus.Failure
            : isPermitted ? ExitStatus.Ended
            : ExitStatus.NotPermitted;
    }

    public static void Write(TextOutput page, Finding[] findings)
    {
        foreach (Finding finding in findings)
        {
            Colour colour = finding.Result switch
            {
                CheckResult.Ok => Colour.Green,
                CheckResult.Warning => Colour.Yellow,
                _ => Colour.Red,
            };
            page.Write(finding.ResultText.PadRight(9), colour);
            string remedy = finding.Remedy.Length == 0 ? "" : $": {finding.Remedy}";
            page.Line($"{finding.Check.PadRight(15)}{finding.Text}{remedy}");
        }
        page.Line("");
        page.Line(Sum(findings));
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
            json.WriteString("result"u8, finding.ResultText);
            json.WriteString("text"u8, finding.Text);
            json.WriteString("remedy"u8, finding.Remedy);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteString("summary"u8, Sum(findings));
        json.WriteEndObject();
    }

    /// <summary>
    /// How many faults there are, and what to do first: the first failure, or else the first warning; without a device
    /// nothing.
    /// </summary>
    public static string Sum(Finding[] findings)
    {
        int failures = Array.FindAll(findings, finding => finding.Result == CheckResult.Failure).Length;
        int warnings = Array.FindAll(findings, finding => finding.Result == CheckResult.Warning).Length;
        if (failures + warnings == 0)
        {
            return $"no fault found in {Format.Count(findings.Length, "check")}";
        }
        CheckResult worst = failures > 0 ? CheckResult.Failure : CheckResult.Warning;
        // Without rights, or without a device, nothing else matters.
        Finding first = Array.Find(
            findings, finding => failures == 0
                && (finding is { Check: HostChecks.Devices, Result: not CheckResult.Ok } || finding.NeedsRoot));
        first = first.Check is null ? Array.Find(findings, finding => finding.Result == worst) : first;
        string counts = $"{Format.Count(failures, "failure")} and {Format.Count(warnings, "warning")}";
        return $"{counts} in {Format.Count(findings.Length, "check")}; "
            + $"first {first.Check}: {(first.Remedy.Length == 0 ? first.Text : first.Remedy)}";
    }

    private static Finding[] Examine(string? configPath, out bool isPermitted)
    {
        List<Finding> findings = [];
        Configuration configuration = ConfigurationChecks.Load(configPath, findings);
        StateReading reading = new StateReader(configuration.StateDirectory).Read();
        isPermitted = reading.Condition != DaemonCondition.NotPermitted;
        new HostChecks(configuration, reading).AddTo(findings);
        new DaemonChecks(configuration, reading).AddTo(findings);
        if (Limits.UserId != 0)
        {
            string omitted = isPermitted ? "buffer and state" : "buffer, udp, listeners, state, peers and keep_ports";
            findings.Add(Finding.Ok("user", $"without root the checks {omitted} are left out"));
        }
        Finding devices = findings.Find(finding => finding.Check == HostChecks.Devices);
        bool needsNothing = devices.Result != CheckResult.Ok
            && reading.Condition is DaemonCondition.Absent or DaemonCondition.Stopped;
        if (needsNothing)
        {
            _ = findings.Remove(devices);
            findings = [devices, .. findings.ConvertAll(Excuse)];
        }
        return [.. findings];
    }

    /// <summary>A host without a device and without a daemon lacks nothing.</summary>
    private static Finding Excuse(Finding finding) => finding switch
    {
        { Check: "firewall", Result: CheckResult.Failure } => finding,
        { Check: "modules" or "netlink" or "namespace" or "descriptors" or "firewall" or "daemon" or "unit"
            or "udev rule" } => Finding.Ok(finding.Check, finding.Text),
        _ => finding,
    };
}

// SPDX-License-Identifier: MIT
namespace Iwpmd.Cli;

internal enum Outcome
{
    Ok,
    Warning,
    Failure,
}

/// <summary>What one check of the doctor came to, and what to do about it.</summary>
internal readonly record struct Finding(Outcome Outcome, string Check, string Text, string Remedy)
{
    public string OutcomeText => Outcome switch
    {
        Outcome.Ok => "ok",
        Outcome.Warning => "warning",
        _ => "failure",
    };

    public static Finding Good(string check, string text) => new(Outcome.Ok, check, text, "");

    public static Finding Doubtful(string check, string text, string remedy) => new(Outcome.Warning, check, text, remedy);

    public static Finding Bad(string check, string text, string remedy) => new(Outcome.Failure, check, text, remedy);
}

// SPDX-License-Identifier: MIT
namespace Iwpmd.Cli;

internal enum CheckResult
{
    Ok,
    Warning,
    Failure,
}

/// <summary>The result of one check of the doctor, and what to do about it.</summary>
internal readonly record struct Finding(CheckResult Result, string Check, string Text, string Remedy)
{
    public const string AsRoot = "run this as root";

    public bool NeedsRoot => Remedy == AsRoot;

    public string ResultText => Result switch
    {
        CheckResult.Ok => "ok",
        CheckResult.Warning => "warning",
        _ => "failure",
    };

    public static Finding Ok(string check, string text) => new(CheckResult.Ok, check, text, "");

    public static Finding Warning(string check, string text, string remedy) =>
        new(CheckResult.Warning, check, text, remedy);

    public static Finding Failure(string check, string text, string remedy) =>
        new(CheckResult.Failure, check, text, remedy);
}

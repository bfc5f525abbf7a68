// SPDX-License-Identifier: MIT
namespace Iwpmd.Cli;

/// <summary>An exception that nothing was prepared for: a fault of this program, told in one line.</summary>
internal static class Fault
{
    /// <summary>Where it happened is the first line of the trace, without the runtime's "   at ".</summary>
    public static string Describe(Exception e)
    {
        string place = e.StackTrace is string trace ? $" ({trace.Trim().Split('\n')[0].TrimEnd()})" : "";
        return $"a fault of iwpmd, please report it: {e.GetType()}: {e.Message}{place}";
    }
}

// SPDX-License-Identifier: MIT
namespace Iwpmd.Core;

/// <summary>Functions of points in time.</summary>
internal static class Times
{
    public static TimeSpan Earlier(TimeSpan one, TimeSpan other) => one < other ? one : other;

    public static TimeSpan Later(TimeSpan one, TimeSpan other) => one > other ? one : other;
}

// SPDX-License-Identifier: MIT
namespace Iwpmd.State;

/// <summary>Times of the state, since boot: of another process, perhaps of another version.</summary>
internal static class StateTime
{
    /// <summary>How long ago; zero for a time that cannot be.</summary>
    public static TimeSpan Since(TimeSpan then, TimeSpan now) =>
        then < TimeSpan.Zero || then > now ? TimeSpan.Zero : now - then;
}

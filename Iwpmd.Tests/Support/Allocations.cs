// SPDX-License-Identifier: MIT
using Xunit;

namespace Iwpmd.Tests.Support;

internal static class Allocations
{
    /// <summary>Runs the action often enough to be compiled for good, then measures.</summary>
    public static void AssertNone(Action action)
    {
        for (int i = 0; i < 100; i++)
        {
            action();
        }
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 100; i++)
        {
            action();
        }
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }
}

// SPDX-License-Identifier: MIT
using Iwpmd.Tests.Core;
using Iwpmd.Tests.Native;
using Xunit;
using Xunit.Abstractions;

[assembly: TestCollectionOrderer("Iwpmd.Tests.Support.LongestFirst", "Iwpmd.Tests")]

namespace Iwpmd.Tests.Support;

/// <summary>
/// Classes run beside each other, the tests of one class one after the other. One that takes minutes and comes last is
/// waited for alone.
/// </summary>
public sealed class LongestFirst : ITestCollectionOrderer
{
    private static readonly Type[] s_long =
    [
        typeof(FuzzTests), typeof(EndpointDumpTests), typeof(HandOverTests),
        typeof(CaptureTests), typeof(SimulatorTests), typeof(PairTests),
    ];

    public IEnumerable<ITestCollection> OrderTestCollections(IEnumerable<ITestCollection> testCollections) =>
        testCollections.OrderByDescending(IsLong);

    private static bool IsLong(ITestCollection collection) =>
        s_long.Any(test => collection.DisplayName.EndsWith($" {test.FullName}", StringComparison.Ordinal));
}

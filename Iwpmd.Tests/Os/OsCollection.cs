// SPDX-License-Identifier: MIT
using Xunit;

namespace Iwpmd.Tests.Os;

/// <summary>
/// These tests use what the process has only one of (signals, descriptors, the processes it starts): one after the
/// other.
/// </summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class OsCollection
{
    public const string Name = "Os";
}

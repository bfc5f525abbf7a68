// SPDX-License-Identifier: MIT
using Iwpmd.Wire;

namespace Iwpmd.Core;

/// <summary>The settings of the core, as configured.</summary>
internal sealed record PortMapperSettings
{
    public TimeSpan QueryDeadline { get; init; } = TimeSpan.FromMilliseconds(3000);

    public TimeSpan QueryRetry { get; init; } = TimeSpan.FromMilliseconds(500);

    public TimeSpan UnreachableMemory { get; init; } = TimeSpan.FromMilliseconds(5000);

    /// <summary>A listener on one of these is mapped to the same number, if that is free.</summary>
    public PortSet KeptPorts { get; init; } = PortSet.None;

    public AnswerSource AnswersFrom { get; init; } = AnswerSource.Any;

    public AdmissionSettings Admission { get; init; } = new();

    /// <summary>How many mappings the kernel of this host can replay.</summary>
    public int MaxReplayed { get; init; } = KernelProtocol.MaxReplayed(4096);
}

/// <summary>From which source address an answer to a query is accepted.</summary>
internal enum AnswerSource
{
    Any,

    /// <summary>The one that was asked.</summary>
    Asked,
}

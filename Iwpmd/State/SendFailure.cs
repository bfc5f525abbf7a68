// SPDX-License-Identifier: MIT
using Iwpmd.Wire;

namespace Iwpmd.State;

/// <summary>
/// Why a message to a peer was not sent, and what to do, in words; they are made where they are logged.
/// </summary>
internal readonly record struct SendFailure(Errno Error, FallbackCause Cause)
{
    public override string ToString() => $"{Error.Text()}{FallbackWords.AndRemedy(Cause)}";
}

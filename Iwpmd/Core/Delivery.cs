// SPDX-License-Identifier: MIT
namespace Iwpmd.Core;

/// <summary>How a message to the kernel fared. What is not known is no refusal: the kernel may have taken it.</summary>
internal enum Delivery
{
    Taken,

    /// <summary>The kernel says no.</summary>
    Refused,

    /// <summary>It did not leave, or was too late for it.</summary>
    Unsent,

    /// <summary>The kernel's ACK did not come, or was lost.</summary>
    Unknown,

    /// <summary>Its ACK is left to the next process on the socket.</summary>
    AckLeft,
}

/// <summary>What became of a message to the kernel.</summary>
/// <param name="Code">0 or -errno: the kernel's, or why there is none; 0 also where it was too late to send.</param>
internal readonly record struct SendResult(Delivery Delivery, int Code = 0);

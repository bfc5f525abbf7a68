// SPDX-License-Identifier: MIT
namespace Iwpmd.Core;

/// <summary>What became of a message to the kernel. Unknown is not refused: the kernel may have taken it.</summary>
internal enum Delivery
{
    Taken,

    /// <summary>The kernel rejected it.</summary>
    Refused,

    /// <summary>It was not sent: the send failed, or it was too late.</summary>
    Unsent,

    /// <summary>Its ACK did not come, or was lost.</summary>
    Unknown,

    /// <summary>Its ACK is left to the next process on the socket.</summary>
    AckLeft,
}

/// <summary>What became of a message to the kernel.</summary>
/// <param name="Code">0 or -errno: the kernel's, or why there is none; 0 also when it was too late to send.</param>
internal readonly record struct SendResult(Delivery Delivery, int Code = 0);

// SPDX-License-Identifier: MIT
namespace Iwpmd.Core;

/// <summary>What became of a message to the kernel. What is not known is no refusal: the kernel may have taken it.</summary>
internal enum Delivery
{
    Taken,

    /// <summary>The kernel says no.</summary>
    Refused,

    /// <summary>It did not leave, or was too late for it.</summary>
    Unsent,

    /// <summary>The kernel's word did not come, or was lost.</summary>
    Unknown,
}

// SPDX-License-Identifier: MIT
using Iwpmd.Tests.Support;
using Iwpmd.Wire;

namespace Iwpmd.Tests.Support;

/// <summary>
/// One netlink message of a daemon, when it was sent (CLOCK_BOOTTIME) and what the kernel said: 0 taken, -errno
/// refused, 1 skipped without a word.
/// </summary>
internal sealed record DaemonMessage(TimeSpan At, int Verdict, byte[] Bytes)
{
    public RawNetlink Raw { get; } = Bytes.Length == 0 ? null! : RawNetlink.Read(Bytes).Single();

    /// <summary>As the kernel reads it.</summary>
    public KernelReply Reply => KernelBytes.ToReply(Bytes);

    public KernelReplyKind Kind => (KernelReplyKind)Raw.Operation;

    public bool IsRequest => (Raw.Flags & 1) != 0;

    public override string ToString() => Verdict switch
    {
        0 => $"{Raw.Name} {Hex.Text(Raw.Payload)}",
        1 => $"{Raw.Name} (skipped)",
        _ => $"{Raw.Name} (refused: {Verdict})",
    };
}

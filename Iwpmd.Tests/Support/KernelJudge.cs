// SPDX-License-Identifier: MIT
using Iwpmd.Wire;

namespace Iwpmd.Tests.Support;

/// <summary>
/// What the kernel checks in the daemon's messages, and what would crash it: a message that it would not take, or take
/// badly, is a complaint.
/// </summary>
internal sealed class KernelJudge
{
    private const int NoBufferSpace = -105;

    private static readonly TimeSpan KernelTimeout = TimeSpan.FromSeconds(10);
    /// <summary>Within this the asking thread of a busy host may still be on its way back from the multicast.</summary>
    private static readonly TimeSpan MulticastTime = TimeSpan.FromMilliseconds(250);

    private readonly Dictionary<uint, (KernelRequest Request, TimeSpan At)> _asked = [];

    /// <summary>
    /// Refused for want of room and nevertheless run later: the daemon cannot know, and its second try does no harm.
    /// </summary>
    private readonly HashSet<(KernelReplyKind Kind, uint Sequence)> _deferred = [];

    public List<string> Complaints { get; } = [];

    public void Asked(in KernelRequest request, TimeSpan at) => _asked[request.Sequence] = (request, at);

    public void Answered(DaemonMessage message, uint portId)
    {
        try
        {
            if (message.Raw.PortId != portId)
            {
                Complaints.Add($"{message}: nlmsg_pid {message.Raw.PortId}, bound to {portId}");
            }
            if (message.Verdict == 0)
            {
                Judge(message, message.Reply);
            }
            else if (message.Verdict == NoBufferSpace)
            {
                _deferred.Add((message.Kind, message.Reply.RequestSequence));
            }
        }
        catch (Exception e)
        {
            Complaints.Add($"{message}: {e.Message}");
        }
    }

    private void Judge(DaemonMessage message, in KernelReply reply)
    {
        if (reply.Kind is not (
            KernelReplyKind.RegisterPid or KernelReplyKind.AddMapping or KernelReplyKind.QueryMapping
                or KernelReplyKind.HandleError))
        {
            return;
        }
        if (!_asked.Remove(reply.RequestSequence, out (KernelRequest Request, TimeSpan At) asked))
        {
            if (reply.Kind != KernelReplyKind.HandleError && !_deferred.Contains((reply.Kind, reply.RequestSequence)))
            {
                Complaints.Add($"{message}: answers nothing, or once more");
            }
            return;
        }
        KernelRequest request = asked.Request;
        string? fault = message.At - asked.At > KernelTimeout ? "too late: this crashes the kernel"
            : reply.Client != request.Client ? "names another client"
            : reply.Kind == KernelReplyKind.HandleError ? null
            : (int)reply.Kind != (int)request.Operation && request.Operation != KernelOperation.Malformed
                ? $"answers a {request.Operation}"
            : reply.Kind == KernelReplyKind.RegisterPid
                ? (message.At - asked.At < MulticastTime ? "came before the kernel expects it" : reply.Device.Equals(
                    request.Device) ? null : "names another device")
            : reply.Local != request.Local || reply.MappedLocal.Family != request.Local.Family
                ? "local address is not the one asked about"
            : reply.Kind == KernelReplyKind.QueryMapping
                && (reply.Remote != request.Remote || reply.MappedRemote.Family != request.Remote.Family)
                ? "remote address is not the one asked about"
            : null;
        if (fault is not null)
        {
            Complaints.Add($"{message}: {fault}");
        }
    }
}

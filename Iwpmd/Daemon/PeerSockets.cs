// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.Os;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;

namespace Iwpmd.Daemon;

/// <summary>
/// The four UDP sockets: per family one on the well-known port, for answers, and one on an ephemeral port, for
/// Requests. A family that the host lacks has none.
/// </summary>
internal sealed class PeerSockets : IDisposable
{
    private readonly UdpSocket?[] _sockets = new UdpSocket?[4];

    /// <param name="inherited">Those of an earlier process, which are used first; useless ones are closed.</param>
    /// <exception cref="SetupException">The port is busy, or the host has neither family.</exception>
    public static PeerSockets Open(ushort port, IEnumerable<UdpSocket> inherited, ILogger log)
    {
        var result = new PeerSockets();
        foreach (UdpSocket socket in inherited)
        {
            PeerSocket use = socket.Port == port ? PeerSocket.Answering : PeerSocket.Asking;
            ref UdpSocket? place = ref result._sockets[Index(socket.Family, use)];
            (place is null ? null : socket)?.Dispose();
            place ??= socket;
        }
        foreach (IpFamily family in (ReadOnlySpan<IpFamily>)[IpFamily.V4, IpFamily.V6])
        {
            OpError? busy = result.OpenMissing(family, PeerSocket.Answering, port);
            OpError? failed = busy ?? result.OpenMissing(family, PeerSocket.Asking, 0);
            if (failed is { Errno: Errno.EAFNOSUPPORT or Errno.EADDRNOTAVAIL } missing)
            {
                Log.FamilyMissing(log, family, missing.Errno.Text());
            }
            else if (failed is OpError error)
            {
                throw new SetupException(ExitStatus.Failure, error.Errno != Errno.EADDRINUSE
                    ? $"udp: {error.Operation} of port {port} failed: {error.Errno.Text()}"
                    : busy is null ? "udp: no port of net.ipv4.ip_local_port_range is free: widen it, or reserve less "
                        + "of it (net.ipv4.ip_local_reserved_ports)"
                    : $"udp: port {port} is in use: another port mapper runs on this host: stop it first (ss -ulpn "
                        + $"'sport = {port}' shows it)");
            }
        }
        return result.All.IsEmpty
            ? throw new SetupException(
                ExitStatus.Failure, "udp: this host has neither IPv4 nor IPv6: enable one of them")
            : result;
    }

    /// <summary>All that are open.</summary>
    public ReadOnlySpan<UdpSocket> All => Array.FindAll(_sockets, s => s is not null)!;

    public UdpSocket? Find(IpFamily family, PeerSocket via) => _sockets[Index(family, via)];

    public void Dispose()
    {
        foreach (UdpSocket socket in All)
        {
            socket.Dispose();
        }
    }

    private OpError? OpenMissing(IpFamily family, PeerSocket via, ushort port)
    {
        ref UdpSocket? place = ref _sockets[Index(family, via)];
        return place is not null ? null : UdpSocket.TryOpen(family, port, out place);
    }

    private static int Index(IpFamily family, PeerSocket via) => (family == IpFamily.V4 ? 0 : 2) + (int)via;
}

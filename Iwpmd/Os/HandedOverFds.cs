// SPDX-License-Identifier: MIT
using System.Globalization;
using Iwpmd.Os.Interop;
using Iwpmd.Wire;

namespace Iwpmd.Os;

/// <summary>
/// Descriptors that another process left for us, told apart by what they are, not by what they are called. A carrier
/// among them is emptied: a unix socket with more of them in flight inside. What is of no use is closed and named in
/// <see cref="Useless"/>. Whoever takes one out owns it.
/// </summary>
internal sealed class HandedOverFds
{
    private const int FirstPassed = 3; // SD_LISTEN_FDS_START
    private const string NoSocket = "no socket";

    private readonly int[] _received = new int[PassedFds.MaxFds];

    /// <summary>A netlink socket of the protocol that was asked for; null when there is none.</summary>
    public NetlinkSocket? Netlink { get; private set; }

    public List<UdpSocket> Udp { get; } = [];

    /// <summary>Bound TCP sockets.</summary>
    public List<int> TcpPorts { get; } = [];

    /// <summary>A plain file, which only a takeover has; -1 when there is none.</summary>
    public int File { get; private set; } = -1;

    public List<string> Useless { get; } = [];

    /// <summary>What the service manager passed at the start, if it was for this process.</summary>
    public static HandedOverFds FromEnvironment(int netlinkProtocol)
    {
        var result = new HandedOverFds();
        if (TryReadVariable("LISTEN_PID", out int pid) && pid == Libc.getpid()
            && TryReadVariable("LISTEN_FDS", out int count))
        {
            for (int fd = FirstPassed; fd < FirstPassed + count; fd++)
            {
                _ = Libc.fcntl(fd, Libc.F_SETFD, Libc.FD_CLOEXEC);
                result.Add(fd, netlinkProtocol);
            }
        }
        if (result.File >= 0)
        {
            result.Reject(result.File, NoSocket); // the manager is given none
            result.File = -1;
        }
        return result;
    }

    /// <summary>
    /// Takes what is in flight in a carrier, up to its end or until nothing more comes; the carrier stays open.
    /// </summary>
    public Errno Empty(int carrier, int netlinkProtocol)
    {
        Span<byte> text = stackalloc byte[8];
        while (true)
        {
            Errno error = PassedFds.Receive(carrier, text, _received, out int length, out int count);
            if (error == Errno.EINTR)
            {
                continue;
            }
            int[] fds = _received[..count];
            foreach (int fd in fds)
            {
                Add(fd, netlinkProtocol);
            }
            if (error != Errno.None || length == 0)
            {
                return error == Errno.EAGAIN ? Errno.None : error;
            }
        }
    }

    /// <summary>Sorts one descriptor in.</summary>
    public void Add(int fd, int netlinkProtocol)
    {
        if (SocketFd.ReadOption(fd, Libc.SOL_SOCKET, Libc.SO_DOMAIN, out int domain) != Errno.None)
        {
            AddFile(fd);
            return;
        }
        _ = SocketFd.ReadOption(fd, Libc.SOL_SOCKET, Libc.SO_TYPE, out int type);
        _ = SocketFd.ReadOption(fd, Libc.SOL_SOCKET, Libc.SO_PROTOCOL, out int protocol);
        switch (domain)
        {
            case Libc.AF_NETLINK when protocol == netlinkProtocol && Netlink is null
                && NetlinkSocket.TryAdopt(fd, out NetlinkSocket? netlink) == Errno.None:
                Netlink = netlink;
                break;
            case Libc.AF_NETLINK when protocol == netlinkProtocol:
                Reject(fd, "netlink socket, one too many or without a positive port id");
                break;
            case Libc.AF_INET or Libc.AF_INET6 when type == Libc.SOCK_DGRAM && UdpSocket.Adopt(fd) is UdpSocket udp:
                Udp.Add(udp);
                break;
            case Libc.AF_INET or Libc.AF_INET6 when type == Libc.SOCK_STREAM:
                TcpPorts.Add(fd);
                break;
            case Libc.AF_UNIX when type == Libc.SOCK_SEQPACKET:
                _ = Empty(fd, netlinkProtocol);
                SocketFd.Close(fd);
                break;
            default:
                Reject(fd, $"socket of domain {domain}, type {type}, protocol {protocol}");
                break;
        }
    }

    private void AddFile(int fd)
    {
        if (File < 0 && FileStatus.ReadPlain(fd, out _) is null)
        {
            File = fd;
            return;
        }
        Reject(fd, NoSocket);
    }

    private void Reject(int fd, string kind)
    {
        SocketFd.Close(fd);
        Useless.Add(kind);
    }

    private static bool TryReadVariable(string name, out int number) => int.TryParse(
        Environment.GetEnvironmentVariable(name), NumberStyles.None, CultureInfo.InvariantCulture, out number);
}

// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.Os;
using Iwpmd.Wire;

namespace Iwpmd.Daemon;

// Ports of several mappings, each mapped to itself.
internal sealed partial class TcpPorts
{
    private readonly int[] _sharers = new int[ushort.MaxValue + 1]; // by port: mappings of a shared one, else 0

    /// <summary>These are used for mappings of the same local port only.</summary>
    public PortSet Kept { get; set; } = PortSet.None;

    public ClaimResult TryClaimShared(ushort port)
    {
        if (_sharers[port] == 0)
        {
            ClaimResult result = BindShared(port);
            if (result != ClaimResult.Claimed)
            {
                return result;
            }
        }
        _sharers[port]++;
        return ClaimResult.Claimed;
    }

    /// <summary>One dual-stack socket for mappings of both families; on a host without IPv6 one of IPv4.</summary>
    private ClaimResult BindShared(ushort port)
    {
        if (_fds[port] < 0)
        {
            _fds[port] = -_fds[port];
            _spares--;
            return ClaimResult.Claimed;
        }
        if (_fds[port] > 0)
        {
            return ClaimResult.Taken;
        }
        IpFamily family = IpFamily.V6;
        Errno error = TcpPortSocket.Open(family, out int fd);
        if (error == Errno.EAFNOSUPPORT)
        {
            family = IpFamily.V4;
            error = TcpPortSocket.Open(family, out fd);
        }
        if (error != Errno.None)
        {
            return RefusedSocket(error);
        }
        error = TcpPortSocket.Bind(fd, family, port);
        if (error == Errno.None)
        {
            _fds[port] = fd + 1;
            return ClaimResult.Claimed;
        }
        TcpPortSocket.Close(fd);
        return error == Errno.EADDRINUSE ? ClaimResult.Taken : RefusedBind($"bind of {port}", error);
    }
}

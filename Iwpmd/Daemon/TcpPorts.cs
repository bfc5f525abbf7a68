using Iwpmd.Core;
using Iwpmd.Os;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;

namespace Iwpmd.Daemon;

/// <summary>
/// Claims TCP ports with bound sockets that never listen. Differs: a free port is found by going round the range from where the last one was found, since to let the kernel
/// choose takes milliseconds a port once half of the range is in use; reserved ports are skipped, as the kernel would.
/// </summary>
internal sealed class TcpPorts : ITcpPorts
{
    private readonly int[] _fds = new int[ushort.MaxValue + 1]; // fd + 1 by port, 0 is not ours; negative: taken over, and no mapping's yet
    private readonly PortRange _range;
    private readonly PortRange[] _reserved;
    private readonly ILogger _log;
    private LogGate _gate = new(TimeSpan.FromSeconds(10), burst: 3);
    private int _next, _spares;

    /// <param name="start">Any number: where in the range to begin.</param>
    public TcpPorts(PortRange range, PortRange[] reserved, ulong start, ILogger log)
    {
        (_range, _reserved, _log) = (range, reserved, log);
        _next = range.Low + (int)(start % (ulong)(range.High - range.Low + 1));
    }

    public ClaimResult TryClaimAny(IpFamily family, ushort except, out ushort port)
    {
        port = 0;
        Errno error = TcpPortSocket.Open(family, out int fd);
        if (error != Errno.None)
        {
            Complain("socket", error, "raise the limit of open files (LimitNOFILE)");
            return ClaimResult.Failed;
        }
        for (int tries = _range.High - _range.Low; tries >= 0; tries--)
        {
            ushort candidate = Next();
            if (candidate == except || _fds[candidate] != 0 || IsReserved(candidate))
            {
                continue;
            }
            error = TcpPortSocket.Bind(fd, family, candidate);
            if (error == Errno.None)
            {
                _fds[candidate] = fd + 1;
                port = candidate;
                return ClaimResult.Claimed;
            }
            if (error != Errno.AddressInUse && error != Errno.AccessDenied)
            {
                break;
            }
        }
        TcpPortSocket.Close(fd);
        Complain("bind", error, "widen port_range or net.ipv4.ip_local_port_range");
        return error == Errno.AddressInUse || error == Errno.None ? ClaimResult.NoneFree : ClaimResult.Failed;
    }

    public ClaimResult TryClaim(IpFamily family, ushort port)
    {
        if (_fds[port] < 0)
        {
            if (TcpPortSocket.ReadPort(-_fds[port] - 1, family) == port)
            {
                _fds[port] = -_fds[port];
                _spares--;
                return ClaimResult.Claimed;
            }
            CloseSpare(port); // of the other family
        }
        if (_fds[port] != 0)
        {
            return ClaimResult.Taken;
        }
        Errno error = TcpPortSocket.Open(family, out int fd);
        if (error != Errno.None)
        {
            Complain("socket", error, "raise the limit of open files (LimitNOFILE)");
            return ClaimResult.Failed;
        }
        error = TcpPortSocket.Bind(fd, family, port);
        if (error != Errno.None)
        {
            TcpPortSocket.Close(fd);
            return error == Errno.AddressInUse ? ClaimResult.Taken : ClaimResult.Failed;
        }
        _fds[port] = fd + 1;
        return ClaimResult.Claimed;
    }

    public void Release(ushort port)
    {
        TcpPortSocket.Close(_fds[port] - 1);
        _fds[port] = 0;
    }

    /// <summary>Takes over sockets that another process bound; <see cref="TryClaim"/> gives them to mappings, <see cref="CloseSpares"/> ends the rest.</summary>
    public void Adopt(IEnumerable<int> fds)
    {
        foreach (int fd in fds)
        {
            ushort port = TcpPortSocket.ReadPort(fd, IpFamily.V4);
            port = port != 0 ? port : TcpPortSocket.ReadPort(fd, IpFamily.V6);
            if (port == 0 || _fds[port] != 0)
            {
                TcpPortSocket.Close(fd);
                continue;
            }
            _fds[port] = -(fd + 1);
            _spares++;
        }
    }

    public void CloseSpares()
    {
        for (int port = 0; _spares > 0; port++)
        {
            if (_fds[port] < 0)
            {
                CloseSpare(port);
            }
        }
    }

    /// <summary>The sockets of all claimed ports.</summary>
    public int[] Descriptors() => [.. _fds.Where(fd => fd > 0).Select(fd => fd - 1)];

    private void CloseSpare(int port)
    {
        TcpPortSocket.Close(-_fds[port] - 1);
        _fds[port] = 0;
        _spares--;
    }

    private ushort Next()
    {
        int port = _next;
        _next = port == _range.High ? _range.Low : port + 1;
        return (ushort)port;
    }

    private bool IsReserved(int port)
    {
        foreach (PortRange range in _reserved)
        {
            if (range.Contains(port))
            {
                return true;
            }
        }
        return false;
    }

    private void Complain(string operation, Errno error, string remedy)
    {
        if (_gate.TryPass(Clock.Now, out string suppressed))
        {
            Log.ClaimFailed(_log, operation, error, remedy, suppressed);
        }
    }
}

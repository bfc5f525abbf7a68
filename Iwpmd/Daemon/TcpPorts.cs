// SPDX-License-Identifier: MIT
using System.Collections;
using Iwpmd.Core;
using Iwpmd.Os;
using Iwpmd.Wire;
using Microsoft.Extensions.Logging;

namespace Iwpmd.Daemon;

/// <summary>From which range ports are chosen.</summary>
internal enum RangeOwner
{
    /// <summary>The host's: what it reserves is never chosen.</summary>
    Host,

    /// <summary>
    /// The configuration's: ports of it that the host reserves are not used by ordinary programs, and are chosen last.
    /// </summary>
    Configuration,
}

/// <summary>
/// Claims TCP ports with bound sockets that never listen. Differs: the search for a free port goes round the range from
/// the last one, since the kernel's own choice takes milliseconds per port once half of the range is in use; reserved
/// ports are skipped, as by the kernel.
/// </summary>
internal sealed partial class TcpPorts : ITcpPorts
{
    private const string NoMemory = "the host lacks memory, or the address family";

    // fd + 1 by port, 0 is none; negative: taken over, and not of a mapping yet
    private readonly int[] _fds = new int[ushort.MaxValue + 1];
    private readonly BitArray _isReserved = new(ushort.MaxValue + 1);
    private readonly ILogger _log;
    private PortRange _range;
    private RangeOwner _owner;
    private int _next, _spares;

    /// <param name="start">A random number: where in the range to begin.</param>
    public TcpPorts(PortRange range, RangeOwner owner, PortRange[] reserved, ulong start, ILogger log)
    {
        _log = log;
        Choose(range, owner, reserved);
        _next = range.Low + (int)(start % (ulong)range.Count);
    }

    /// <summary>Ports of the range that the host reserves.</summary>
    public int Reserved { get; private set; }

    /// <summary>Changes the range from which ports are chosen. Claimed ports stay claimed.</summary>
    public void Choose(PortRange range, RangeOwner owner, PortRange[] reserved)
    {
        (_range, _owner) = (range, owner);
        _next = range.Contains(_next) ? _next : range.Low;
        _isReserved.SetAll(false);
        Reserved = 0;
        foreach (PortRange one in reserved)
        {
            for (int port = one.Low; port <= one.High; port++)
            {
                Reserved += range.Contains(port) && !_isReserved[port] ? 1 : 0;
                _isReserved[port] = true;
            }
        }
    }

    public ClaimResult TryClaimAny(IpFamily family, ushort except, out ushort port)
    {
        port = 0;
        Errno error = TcpPortSocket.Open(family, out int fd);
        if (error != Errno.None)
        {
            return RefusedSocket(error);
        }
        // the second for the reserved ones
        int all = _range.Count, rounds = _owner == RangeOwner.Configuration ? 2 : 1;
        for (int tries = all == Reserved ? all : 0; tries < rounds * all; tries++)
        {
            ushort candidate = Next();
            if (candidate == except || _fds[candidate] != 0 || Kept.Contains(candidate)
                || _isReserved[candidate] != tries >= all)
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
            if (error is not (Errno.EADDRINUSE or Errno.EACCES))
            {
                break;
            }
        }
        TcpPortSocket.Close(fd);
        return RefusedPort(error);
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
            return RefusedSocket(error);
        }
        error = TcpPortSocket.Bind(fd, family, port);
        if (error != Errno.None)
        {
            TcpPortSocket.Close(fd);
            return error == Errno.EADDRINUSE ? ClaimResult.Taken : ClaimResult.Failed;
        }
        _fds[port] = fd + 1;
        return ClaimResult.Claimed;
    }

    public void Release(ushort port)
    {
        _sharers[port] = Math.Max(_sharers[port] - 1, 0);
        if (_sharers[port] > 0)
        {
            return;
        }
        TcpPortSocket.Close(_fds[port] - 1);
        _fds[port] = 0;
    }

    /// <summary>
    /// Takes over sockets that another process bound; <see cref="TryClaim"/> gives them to mappings,
    /// <see cref="CloseSpares"/> closes the rest.
    /// </summary>
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
    public int[] Descriptors() => Array.ConvertAll(Array.FindAll(_fds, fd => fd > 0), fd => fd - 1);

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

    private ClaimResult RefusedSocket(Errno error)
    {
        bool isLimit = error is Errno.EMFILE or Errno.ENFILE;
        string remedy = isLimit
            ? "raise the limit of open files (LimitNOFILE)"
            : NoMemory;
        Log.NoPortSocket(_log, $"socket: {error.Text()}", remedy);
        return isLimit ? ClaimResult.NoDescriptor : ClaimResult.Failed;
    }

    /// <param name="error">Of the last port that was tried; none if all were claimed already, or reserved.</param>
    private ClaimResult RefusedPort(Errno error)
    {
        if (error is not (Errno.EADDRINUSE or Errno.None))
        {
            return RefusedBind("bind", error);
        }
        string reserved = Reserved > 0 && _owner == RangeOwner.Host ? $", {Reserved} of them are reserved" : "";
        string remedy = _owner == RangeOwner.Configuration
            ? "widen port_range"
            : "widen net.ipv4.ip_local_port_range, or set port_range";
        Log.NoPortFree(_log, _range.Low, _range.High, reserved, remedy);
        return ClaimResult.NoneFree;
    }

    private ClaimResult RefusedBind(string operation, Errno error)
    {
        string remedy = error == Errno.EACCES
            ? "ports below net.ipv4.ip_unprivileged_port_start need CAP_NET_BIND_SERVICE"
            : NoMemory;
        Log.PortNotBound(_log, $"{operation}: {error.Text()}", remedy);
        return ClaimResult.Failed;
    }
}

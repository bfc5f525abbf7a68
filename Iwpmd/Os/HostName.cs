// SPDX-License-Identifier: MIT
using Iwpmd.Os.Interop;
using Iwpmd.Wire;

namespace Iwpmd.Os;

/// <summary>Names of hosts, as this host resolves them.</summary>
internal static unsafe class HostName
{
    /// <summary>The first address of a name, or an address as text; its port is 0.</summary>
    public static bool TryResolve(string name, out InetEndpoint address)
    {
        address = default;
        var hints = new Libc.addrinfo { ai_socktype = Libc.SOCK_DGRAM };
        Libc.addrinfo* found = null;
        if (Libc.getaddrinfo(name, null, &hints, &found) != 0)
        {
            return false;
        }
        bool isUsable = false;
        for (Libc.addrinfo* one = found; one != null && !isUsable; one = one->ai_next)
        {
            isUsable = Sockaddr.TryRead(new ReadOnlySpan<byte>(one->ai_addr, (int)one->ai_addrlen), out address);
        }
        Libc.freeaddrinfo(found);
        return isUsable;
    }
}

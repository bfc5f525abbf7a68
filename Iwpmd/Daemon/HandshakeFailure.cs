// SPDX-License-Identifier: MIT
using Iwpmd.Core;
using Iwpmd.Os;
using Iwpmd.State;
using Iwpmd.Wire;

namespace Iwpmd.Daemon;

/// <summary>
/// Why the first handshake with the kernel failed. Only after a refusal the daemon cannot run on this host; otherwise
/// the next start may succeed.
/// </summary>
internal static class HandshakeFailure
{
    public static SetupException Of(PortMapper mapper, HostSettings host)
    {
        string error = ((Errno)(-mapper.KernelResult)).Text();
        return mapper.Kernel == HandshakeState.Unusable
            ? new SetupException(ExitStatus.Unavailable, WhyRefused(host, error))
            : new SetupException(
                ExitStatus.Failure,
                $"kernel: HELLO not answered ({error}): start it again; if that does not help its log may say why "
                    + "(dmesg)");
    }

    private static string WhyRefused(HostSettings host, string error) =>
        host.HasIwCmInThisNamespace ? $"kernel: iw_cm refuses the daemon ({error}): its log says why (dmesg)"
        : host.HasIwCm
            ? $"kernel: this is not the initial network namespace ({error}), the only one with RDMA port mapping: run "
                + "iwpmd in the host's (containers: --network host)"
        : host.ShowsModules
            ? $"kernel: iw_cm is not loaded ({error}): load it (modprobe iw_cm), or connect a device whose driver "
                + "loads it"
        : $"kernel: iw_cm is not loaded ({error}), or this is not the initial network namespace: load it (modprobe "
            + "iw_cm), run iwpmd in the host's network; /sys, which would tell which, is not mounted";
}

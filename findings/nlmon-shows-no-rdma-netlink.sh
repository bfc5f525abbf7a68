#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Finding: an nlmon device shows nothing of NETLINK_RDMA, whatever the capture filter.
#
# "tcpdump -i nlmon0 shows all netlink traffic" is how nlmon is described. The kernel hands a tap the messages of eight
# protocols that it lists (route, usersock, sock_diag, nflog, xfrm, fib_lookup, netfilter, generic) and no other: RDMA,
# audit, SELinux, iSCSI, uevents, connector and crypto never appear, and nothing says so.
#
# Seen:      on Debian 12's kernel (6.1): `ip link` and `rdma dev` each ask their kernel subsystem in the same second;
#            of the first the device counts packets, of the second none.
# Expected:  packets for both, or an error.
# Needs:     root, iproute2. Without the module nlmon here it uses a host of the lab (lab/lab build). Exits 1 when nlmon
#            counts packets of `rdma dev`.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
look() { # the script that counts: packets of `ip link`, of `rdma dev`, and the devices that the latter named
    cat << 'END'
ip link add nlmon0 type nlmon && ip link set nlmon0 up || exit 9
seen() { cat /sys/class/net/nlmon0/statistics/rx_packets; }
before=$(seen); ip link > /dev/null; route=$(($(seen) - before))
before=$(seen); answer=$(rdma dev | wc -l); rdma=$(($(seen) - before))
ip link del nlmon0
echo "$route $rdma $answer"
END
}
if ip link add nlmon1 type nlmon 2> /dev/null; then
    ip link del nlmon1
    result=$(look | sh)
else
    work=$(mktemp -d)
    trap '"$top/lab/lab" down "$work/hosts"; rm -rf "$work"' EXIT
    "$top/lab/lab" build
    "$top/lab/lab" up "$work/hosts" --no-daemon
    root=$top/out/lab/root
    "$top/lab/lab" put "$work/hosts" a "$root/lib/modules/$(cat "$root/kernel")/kernel/drivers/net/nlmon.ko"
    result=$("$top/lab/lab" exec "$work/hosts" a \
        "insmod /share/nlmon.ko; ip() { /usr/bin/ip \"\$@\"; }; $(look)" | tail -1)
fi
read -r route rdma devices <<< "$result"
echo "packets on nlmon0: $route of ip link, $rdma of rdma dev, which named $devices devices"
[[ $route -gt 0 ]] || { echo "nlmon0 shows nothing at all here" >&2; exit 2; }
[[ $rdma -eq 0 ]] || { echo "changed: nlmon shows NETLINK_RDMA" >&2; exit 1; }

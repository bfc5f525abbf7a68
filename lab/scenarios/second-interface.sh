#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A second cable between the hosts, with an RDMA device of its own at each end; then a request that comes from the address of the first one.
. "${BASH_SOURCE%/*}/../steps.sh"
scenario() {
    local host address port worst=0
    for host in a b; do
        on "$host" "device add 2"
        undo "$host" "device del 2"
    done
    listen b 0.0.0.0 7001
    listen b :: 7002
    listen b 10.1.0.2 7003
    listen b fd01::2 7004
    while read -r address port; do
        # The answer then goes over the first cable.
        [[ $address != from-first ]] || { a "/usr/bin/ip route replace 10.1.0.0/24 dev eth2 src 10.0.0.1"; undo a "/usr/bin/ip route replace 10.1.0.0/24 dev eth2 src 10.1.0.1"; continue; }
        connect a "$address" "$port" --times 2
        all_established 2
        at_once
        peers_agree b "$port"
        [[ $slowest -le $worst ]] || worst=$slowest
    done << 'END'
10.0.0.2 7001
10.1.0.2 7001
fd00::2 7002
fd01::2 7002
10.1.0.2 7003
fd01::2 7004
from-first
10.1.0.2 7001
10.1.0.2 7003
END
    saw "16 of 16 over both, slowest $worst ms"
}
play "$@"

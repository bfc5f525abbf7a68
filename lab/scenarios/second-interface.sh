#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A second cable between the hosts, with an RDMA device of its own at each end; then a request that comes from the
# address of the first one.
. "${BASH_SOURCE%/*}/../steps.sh"
scenario() {
    local host slowest_first
    for host in a b; do
        on "$host" "device add 2"
        undo "$host" "device del 2"
    done
    reaches a 10.1.0.2 fd01::2
    listen b 0.0.0.0 7001
    listen b :: 7002
    listen b 10.1.0.2 7003
    listen b fd01::2 7004
    connects_to_each << 'END'
10.0.0.2 7001
10.1.0.2 7001
fd00::2 7002
fd01::2 7002
10.1.0.2 7003
fd01::2 7004
END
    slowest_first=$worst
    # The answer then goes over the first cable.
    a "/usr/bin/ip route replace 10.1.0.0/24 dev eth2 src 10.0.0.1"
    undo a "/usr/bin/ip route replace 10.1.0.0/24 dev eth2 src 10.1.0.1"
    connects_to_each << 'END'
10.1.0.2 7001
10.1.0.2 7003
END
    saw "16 of 16 over both, slowest $slowest_first ms, $worst ms when the first one answers"
}
play "$@"

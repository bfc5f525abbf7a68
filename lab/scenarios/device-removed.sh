#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The RDMA device is removed under live listeners and added again, on either side.
. "${BASH_SOURCE%/*}/../steps.sh"
removed() { # HOST PEER
    local host=$1 peer=$2
    # No connection yet: soft iWARP's device can only go when no program has it open.
    listen "$host" 0.0.0.0 7001-7003
    on "$host" "timeout -s KILL 10 device del" || fail "device of host $host removed" "not"
    expect_mappings "$host" 0
    on "$host" "device add"
    # The listeners are still there and come back with the device.
    expect_mappings "$host" 3
    connect "$peer" "$(address4 $host)" 7001 --times 2
    all_established 2
    at_once
    stop_listening "$host"
    saw "host $host: connected in $slowest ms"
}
scenario() { each_host removed; }
play "$@"

#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The whole RDMA stack is unloaded and loaded under the running daemon, on either side.
. "${BASH_SOURCE%/*}/../steps.sh"
reloaded() { # HOST PEER
    local host=$1 peer=$2
    on "$host" "timeout -s KILL 20 modules unload && modules load" ||
        fail "modules of host $host unload and load" "not"
    listen "$host" 0.0.0.0 7001
    check_row "$host" 7001
    connect "$peer" "$(address4 $host)" 7001 --times 2
    all_established 2
    at_once
    saw "host $host: connected in $slowest ms"
    stop_listening "$host"
}
scenario() { each_host reloaded; }
play "$@"

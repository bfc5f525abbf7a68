#!/usr/bin/env bash
# The RDMA device is removed under live listeners and a connection, and added again, on either side.
. "${BASH_SOURCE%/*}/../steps.sh"
scenario() {
    local host peer
    for host in b a; do
        peer=a
        [[ $host == b ]] || peer=b
        listen "$host" 0.0.0.0 7001-7003
        connect_meanwhile "$peer" "$(address4 $host)" 7001 --hold 60
        sleep 0.5
        on "$host" "device del"
        expect_mappings "$host" 0
        on "$host" "device add"
        # The listeners are still there and come back with the device.
        expect_mappings "$host" 3
        connect "$peer" "$(address4 $host)" 7001 --times 2
        all_established 2
        at_once
        stop_listening "$host"
        stop_listening "$peer"
        saw "host $host: connected in $slowest ms"
    done
}
play "$@"

#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# SIGUSR1 writes the mappings to the log, and the daemon goes on.
. "${BASH_SOURCE%/*}/../steps.sh"
scenario() {
    local host text
    for host in a b; do
        listen "$host" 0.0.0.0 7001-7003
        text=$(mappings "$host")
        [[ $(grep -cE ':700[123] ' <<< "$text") -eq 3 ]] ||
            fail "mappings of 7001 to 7003 in the log of host $host" "$text"
        saw "host $host: $(head -1 <<< "$text")"
    done
    connect a 10.0.0.2 7001
    all_established 1
}
play "$@"

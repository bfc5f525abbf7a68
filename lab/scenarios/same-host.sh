#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Both ends on one host: one daemon holds both ends of the conversation.
. "${BASH_SOURCE%/*}/../steps.sh"
scenario() {
    local host
    for host in a b; do
        listen "$host" 0.0.0.0 7001
        connect "$host" "$(address4 "$host")" 7001 --times 3
        all_established 3
        at_once
        listen "$host" "$(address6 "$host")" 7002
        connect "$host" "$(address6 "$host")" 7002 --times 3
        all_established 3
        at_once
        saw "host $host: 6 of 6, slowest $slowest ms"
    done
}
play "$@"

#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# SIGHUP ends the daemon with 1.
. "${BASH_SOURCE%/*}/../steps.sh"
scenario() {
    local host status
    for host in a b; do
        on "$host" "daemon signal HUP"
        status=$(on "$host" "for i in \$(seq 1 100); do [ \"\$(daemon status)\" != running ] && break; sleep 0.05; \
            done; daemon status")
        [[ $status == 1 ]] || fail "exit status 1 of host $host's daemon" "$status"
        on "$host" "daemon start"
    done
    saw "exit status 1 on both hosts"
}
play "$@"

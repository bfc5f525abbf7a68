#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Detaching start, with a caller that returns 0 only when the daemon serves; a second one is refused.
. "${BASH_SOURCE%/*}/../steps.sh"
scenario() {
    local host
    for host in a b; do
        on "$host" "daemon stop" > /dev/null
        on "$host" "daemon start --detached" || fail "detaching start on host $host" "not"
        on "$host" "grep -q ':0F5F ' /proc/net/udp && grep -q ':0F5F ' /proc/net/udp6" ||
            fail "UDP 3935 of both families" "not both"
        if is_ours "$host"; then
            on "$host" "timeout 5 iwpmd -f" > /dev/null && fail "a second daemon fails" "status 0"
        fi
        listen "$host" 0.0.0.0 7001
        check_row "$host" 7001
        stop_listening "$host"
        on "$host" "kill \$(daemon pid); while daemon pid | grep -q .; do sleep 0.05; done; daemon start"
    done
    saw "detached, served, ended on both hosts"
}
play "$@"

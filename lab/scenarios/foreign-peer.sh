#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The connecting host has no port mapper: it reaches a listener that keeps its port number, and no other.
. "${BASH_SOURCE%/*}/../steps.sh"
# The one build in which nobody listens on the unmapped port.
builds=full
known() { ! is_c b || echo "C maps every port to another"; }
known_by='established'
scenario() {
    local address port
    allow '(iwpm_add_query_mapping|iwpm_add_and_query_mapping|iwpm_remove_mapping|iwpm_register_pid): Unable to send'
    a "daemon kill"
    listen b 0.0.0.0 7001
    connect a 10.0.0.2 7001
    [[ $count_established -eq 0 ]] || fail "no connection to a mapped listener" "$result"
    stop_listening b
    configure b keep_ports=7001-7004
    listen b 0.0.0.0 7001
    listen b 10.0.0.2 7002
    listen b :: 7003
    listen b fd00::2 7004
    while read -r address port; do
        connect a "$address" "$port"
        all_established 1
        at_once
        b "tcpport held $port" > /dev/null || fail "TCP port $port held" "it is free"
    done << 'END'
10.0.0.2 7001
10.0.0.2 7002
fd00::2 7003
fd00::2 7004
END
    # With one there it is as ever.
    a "daemon start"
    connect a 10.0.0.2 7001
    all_established 1
    at_once
    saw "4 of 4 kept, each reached; without keep_ports refused"
}
play "$@"

#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Another local user says hello to the kernel in the daemon's place, on either side, with a live listener: the next
# connection is served by the daemon again.
. "${BASH_SOURCE%/*}/../steps.sh"
scenario() {
    local host requests
    listen b 0.0.0.0 7001
    check_row b 7001
    for host in b a; do
        on "$host" "usurp 4 > /tmp/usurp.log 2>&1 &"
        pause "$host" 0.5
        [[ $host != b ]] || listen b 0.0.0.0 7002 # the next thing that its kernel asks for
        connect a 10.0.0.2 7001 --times 2
        all_established 2
        at_once
        requests=$(on "$host" "while pidof usurp > /dev/null; do sleep 0.1; done; cat /tmp/usurp.log")
        [[ $requests == "0 requests" ]] || fail "host $host: nothing for the other" "$requests"
        is_c "$host" || on "$host" "daemon log | grep -q 'another process registered as port mapper'" ||
            fail "host $host: a line in the log" "none"
    done
    check_row b 7002
    peers_agree b 7001
    saw "served again at once, slowest $slowest ms"
}
play "$@"

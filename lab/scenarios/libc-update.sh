#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# On a busy host the daemon starts, dumps, hands over and ends, with the C library of the world, and is never killed.
. "${BASH_SOURCE%/*}/../steps.sh"
builds=map
wants="a:ours b:ours"
patience=900
scenario() {
    local text
    text=$(a 'daemon stop > /dev/null
        (while :; do :; done) &
        busy=$!
        good=0
        for i in $(seq 50); do
            daemon start && daemon dump > /tmp/dump && daemon takeover && status=$(daemon stop) || status="no status"
            if [ "$status" = 0 ]; then good=$((good + 1)); else echo "$status"; daemon kill 2> /dev/null; fi
        done
        kill $busy
        echo "good $good"; daemon start')
    [[ $text == *"good 50" ]] || fail "50 of 50 ended with status 0" "$(tail -n 3 <<< "$text")"
    listen a 10.0.0.1 7001
    check_row a 7001
    saw "50 of 50 started, ready, dumped, took over, ended: $(a 'ls /lib*/ld-linux* | head -n 1')"
}
play "$@"

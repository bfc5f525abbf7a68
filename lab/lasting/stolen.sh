#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Another program takes a mapped port while no daemon runs: the log names it and the local address it belonged to, and
# it is claimed as soon as it is free.
. "${BASH_SOURCE%/*}/../lasting.sh"
wants=b:ours
where=b
scenario() {
    listen b 10.0.0.2 7001-7003
    check_row b 7002
    here "daemon kill; tcpport serve $row_port > /tmp/thief.log 2>&1 & until [ -s /tmp/thief.log ] || ! sleep 0.05; \
        do :; done"
    allow 'iwpm_mapping_error_cb|iwpm_ack_mapping_info_cb|Received msg seq|Invalid mapinfo number'
    here "daemon start"
    here "daemon log | grep 'unprotected' | grep '10.0.0.2:7002' | grep -q $row_port" ||
        fail "a line of the log with 10.0.0.2:7002 and $row_port" "$(here "daemon log | tail -n 3")"
    here "daemon dump | grep '10.0.0.2:7002' | grep -qi unprotected" ||
        fail "the row shown as unprotected" "$(mappings b)"
    here "killall tcpport; \
        for i in \$(seq 1 100); do tcpport held $row_port > /dev/null && exit 0; sleep 0.1; done; exit 1" ||
        fail "port $row_port claimed when it is free" "not"
    saw "port $row_port of 10.0.0.2:7002 reported, and claimed when it was free"
}
play "$@"

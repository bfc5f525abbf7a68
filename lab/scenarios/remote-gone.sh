#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The peer has no daemon, and its host says so by ICMP.
. "${BASH_SOURCE%/*}/../steps.sh"
scenario() {
    listen_unmapped 10.0.0.2 7001
    connect a 10.0.0.2 7001
    all_established 1
    if is_ours a; then at_once; else query_deadline_passes a; fi
    saw "established unmapped after $slowest ms"
    b "daemon start"
    forget_silent_peer a
}
play "$@"

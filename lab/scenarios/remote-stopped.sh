#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The peer's daemon is stopped: after the deadline the connection goes on unmapped.
. "${BASH_SOURCE%/*}/../steps.sh"
scenario() {
    listen_unmapped 10.0.0.2 7001
    b "daemon start"
    b "daemon freeze"
    connect a 10.0.0.2 7001
    all_established 1
    query_deadline_passes a
    b "daemon thaw"
    forget_silent_peer a
    saw "established unmapped after $slowest ms"
}
play "$@"

#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The listener goes away while the query for it runs.
. "${BASH_SOURCE%/*}/../steps.sh"
scenario() {
    allow 'Received a Reject'
    listen b 10.0.0.2 7001
    b "daemon freeze"
    connect_meanwhile a 10.0.0.2 7001
    pause a 1
    stop_listening b
    b "daemon thaw"
    connected
    all_refused 1
    within 500 5000
    expect_mappings b 0
    expect_mappings a 0
    saw "refused after $slowest ms, 1000 of them stopped"
}
play "$@"

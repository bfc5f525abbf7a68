#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The peer's host does not answer at all.
. "${BASH_SOURCE%/*}/../steps.sh"
scenario() {
    # Three seconds for TCP itself to give up instead of two minutes.
    a "sysctl -q net.ipv4.tcp_syn_retries=1; cable cut 10.0.0.3"
    is_ours a || allow 'Timeout 10 sec for netlink request'
    connect a 10.0.0.3 7001
    [[ $count_established -eq 0 ]] || fail "no connection" "$result"
    query_deadline_passes a 3000
    expect_mappings a 0
    saw "failed after $slowest ms, 3000 of them in TCP"
}
play "$@"

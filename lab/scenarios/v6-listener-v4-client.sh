#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# An IPv4 client of an IPv6 wildcard listener: families are never mixed, so the answer is a reject.
. "${BASH_SOURCE%/*}/../steps.sh"
known() { ! is_c b || echo "C accepts it with mixed families"; }
known_by="1 refused|a Reject told"
scenario() {
    allow 'Received a Reject'
    listen b :: 7001
    connect a 10.0.0.2 7001
    # The kernel goes on unmapped after a Reject. Only in full does nobody listen there: elsewhere siw itself does, for
    # both families, and then resets the connection.
    if build_is full; then all_refused 1; fi
    [[ $count_established -eq 0 ]] || fail "no connection" "$result"
    at_once
    [[ $(a "dmesg | grep -c 'Received a Reject'") == 1 ]] || fail "a Reject told to the kernel" "$(a dmesg | tail -n 3)"
    saw "rejected, ended after $slowest ms"
}
play "$@"

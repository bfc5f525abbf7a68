#!/usr/bin/env bash
# An IPv4 client of an IPv6 wildcard listener: families are never mixed, so the answer is a clean reject.
. "${BASH_SOURCE%/*}/../steps.sh"
known() { ! is_c b || echo "C accepts it with mixed families"; }
known_by="1 refused"
scenario() {
    allow 'Received a Reject'
    listen b :: 7001
    connect a 10.0.0.2 7001
    all_refused 1
    at_once
    saw "refused after $slowest ms"
}
play "$@"

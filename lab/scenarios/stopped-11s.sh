#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A daemon stopped for 11 s answers none of the requests that waited and serves the next one. A late answer crashes the
# kernel.
. "${BASH_SOURCE%/*}/../steps.sh"
builds="stock map"
known() { ! is_c a || echo "C answers too late"; }
known_always=no
known_by='crashed|kernel of a'
scenario() {
    allow 'Timeout 10 sec for netlink request'
    a "daemon freeze"
    a "(sleep 11; daemon thaw) > /dev/null 2>&1 &"
    listen a 10.0.0.1 7001-7010 --threads 10
    [[ $listened =~ slowest\ ([0-9]+)\ ms && ${BASH_REMATCH[1]} -gt 9500 ]] || fail "the kernel waited 10 s" "$listened"
    pause a 2.5
    listen a 10.0.0.1 7011
    [[ $listened =~ slowest\ ([0-9]+)\ ms && ${BASH_REMATCH[1]} -lt 1500 ]] ||
        fail "the next one is served at once" "$listened"
    check_row a 7011
    saw "10 timed out, the next one: ${listened#listening on }"
}
play "$@"

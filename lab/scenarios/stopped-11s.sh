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
    listens_time_out
    pause a 2.5
    next_listen_is_served
}
play "$@"

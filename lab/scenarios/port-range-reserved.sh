#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A range is kept from ordinary programs by reserving it, and given to the daemon by port_range.
. "${BASH_SOURCE%/*}/../steps.sh"
builds="map full"
known() { ! is_c b || echo "C has no port_range"; }
known_by='30 ports of 40000'
scenario() {
    local others
    b 'sysctl -q -w net.ipv4.ip_local_reserved_ports=40000-40049'
    undo b 'sysctl -q -w net.ipv4.ip_local_reserved_ports='
    configure b port_range=40000-40049
    listen b 10.0.0.2 7001-7030
    others=$(mappings b | awk '{ port = $2; sub(/.*:/, "", port); if (port < 40000 || port > 40049) print }')
    [[ -z $others ]] || fail "30 ports of 40000 to 40049" "$others"
    expect_mappings b 30
    check_row b 7030
    connect a 10.0.0.2 7030
    all_established 1
    at_once
    saw "30 of 30 in the reserved range, connected in $slowest ms"
}
play "$@"

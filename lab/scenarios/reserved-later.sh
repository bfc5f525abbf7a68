#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Ports are reserved, and the range for ordinary programs is moved, while the daemon runs: mappings made then keep to
# it.
. "${BASH_SOURCE%/*}/../steps.sh"
builds="map full"
scenario() {
    local others
    listen b 10.0.0.2 7000
    check_row b 7000
    b 'sysctl -q -w net.ipv4.ip_local_port_range="50000 50099" net.ipv4.ip_local_reserved_ports=50000-50049'
    undo b 'sysctl -q -w net.ipv4.ip_local_port_range="32768 60999" net.ipv4.ip_local_reserved_ports='
    # Ours looks every 2 s.
    pause b 2.5
    listen b 10.0.0.2 7001-7030
    others=$(mappings b | awk '!/:7000 / { port = $2; sub(/.*:/, "", port); if (port < 50050 || port > 50099) print }')
    [[ -z $others ]] || fail "30 ports of 50050 to 50099" "$others"
    expect_mappings b 31
    check_row b 7030
    connect a 10.0.0.2 7000
    all_established 1
    connect a 10.0.0.2 7030
    all_established 1
    at_once
    saw "30 of 30 among the 50 that are left"
}
play "$@"

#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# 1000 listeners on each host, and connections among them.
. "${BASH_SOURCE%/*}/../steps.sh"
known() { few_queue_pairs; }
known_by='no queue pair'
known_always=no
# The build "map" binds the port that the connecting program has; one that is mapped for a listener would be in use, as
# for any TCP program.
own_ports() { # HOST RANGE
    on "$1" "sysctl -qw net.ipv4.ip_local_port_range='$2'"
}
scenario() {
    local host
    for host in a b; do
        listen "$host" "$(address4 "$host")" 20000-20999 --threads 16
        expect_mappings "$host" 1000
        saw "host $host: ${listened#listening on }"
    done
    own_ports a "1100 19901"
    own_ports b "1100 19901"
    connect a 10.0.0.2 20000-20999 --parallel 16
    all_established 16
    connect b 10.0.0.1 20990-20999 --parallel 10
    all_established 10
    for host in a b; do
        own_ports "$host" "32768 60999"
        stop_listening "$host"
        expect_mappings "$host" 0
    done
}
play "$@"

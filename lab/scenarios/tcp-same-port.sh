#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Ordinary TCP programs hold the port numbers that RDMA services use.
. "${BASH_SOURCE%/*}/../steps.sh"
builds=full
scenario() {
    b "tcpport serve 7001 > /tmp/tcp1.log 2>&1 & sleep 0.2"
    listen b 0.0.0.0 7001-7002
    b "tcpport serve 7002 > /tmp/tcp2.log 2>&1 & sleep 0.2"
    local port
    for port in 7001 7002; do
        connect a 10.0.0.2 $port --times 2
        all_established 2
        at_once
        [[ $(a "tcpport ask 10.0.0.2 $port") == tcp ]] || fail "the TCP program answers on $port" "not"
    done
    saw "RDMA and TCP on 7001 and 7002, slowest $slowest ms"
}
play "$@"

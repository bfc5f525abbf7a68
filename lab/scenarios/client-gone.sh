#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The connecting program is killed while its query runs.
. "${BASH_SOURCE%/*}/../steps.sh"
scenario() {
    listen b 10.0.0.2 7001
    b "daemon freeze"
    # soft iWARP takes the end of a connection that it has not accepted yet for the end of its listener: the killed
    # ones' must not get there.
    a "/usr/bin/ip rule add to 10.0.0.2 ipproto 6 prohibit"
    connect_meanwhile a 10.0.0.2 7001 --parallel 4
    expect_mappings a 4
    a "killall -KILL rdmatest"
    b "daemon thaw"
    expect_mappings a 0
    a "/usr/bin/ip rule del ipproto 6"
    connect a 10.0.0.2 7001
    all_established 1
    at_once
    saw "nothing left on a, then connected in $slowest ms"
}
play "$@"

#!/usr/bin/env bash
# The connecting program is killed while its query runs.
. "${BASH_SOURCE%/*}/../steps.sh"
scenario() {
    listen b 10.0.0.2 7001
    b "daemon freeze"
    connect_meanwhile a 10.0.0.2 7001 --parallel 4
    sleep 0.5
    a "killall -KILL rdmatest"
    b "daemon thaw"
    expect_mappings a 0
    connect a 10.0.0.2 7001
    # Whatever the daemons are (C, C too), siw's listener sometimes refuses the first connection after some that were broken off.
    [[ $count_refused -eq 0 ]] || connect a 10.0.0.2 7001
    all_established 1
    at_once
    saw "nothing left on a, then connected in $slowest ms"
}
play "$@"

#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Nobody listens: the peer's daemon says so, and rdma_connect fails at once.
. "${BASH_SOURCE%/*}/../steps.sh"
scenario() {
    allow 'Received a Reject'
    connect a 10.0.0.2 7999 --times 3
    all_refused 3
    at_once
    connect a fd00::2 7999 --times 3
    all_refused 3
    at_once
    # Without daemons TCP would refuse as well: it must have been the peer's Reject.
    [[ $(a "dmesg | grep -c 'Received a Reject'") == 6 ]] ||
        fail "6 rejects told to the kernel" "$(a dmesg | tail -n 3)"
    expect_mappings a 0
    saw "6 of 6 refused, slowest $slowest ms"
}
play "$@"

#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What the kernel asks in the second after kill -9 is answered by the next daemon.
. "${BASH_SOURCE%/*}/../lasting.sh"
known() { ! is_c a || echo "C: what is asked meanwhile runs unmapped"; }
known_by='mappings on host a'
scenario() {
    here "daemon kill"
    listen a 10.0.0.1 7001-7020 --threads 20
    if is_c a; then here "systemctl start iwpmd"; fi
    expect_mappings a 20
    [[ $listened =~ slowest\ ([0-9]+)\ ms && ${BASH_REMATCH[1]} -lt 9500 ]] ||
        fail "each served within 9500 ms" "$listened"
    saw "${listened#listening on }"
}
play "$@"

#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# 1000 parallel requests at a daemon that is stopped for 2 s: all are served.
. "${BASH_SOURCE%/*}/../steps.sh"
known() { ! is_c a || echo "C loses answers when the kernel has more to say"; }
known_always=no
known_by='each served|1000 mappings'
scenario() {
    a "(sleep 0.3; daemon freeze; sleep 2; daemon thaw) > /dev/null 2>&1 &"
    pause a 0.5
    listen a 10.0.0.1 20000-20999 --threads 1000
    expect_mappings a 1000
    [[ $listened =~ slowest\ ([0-9]+)\ ms && ${BASH_REMATCH[1]} -lt 9500 ]] ||
        fail "each served within 9500 ms" "$listened"
    saw "${listened#listening on }"
    stop_listening a
    expect_mappings a 0
}
play "$@"

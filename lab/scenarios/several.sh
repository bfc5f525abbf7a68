#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Many connections in a row, from both sides, to listeners of both families.
. "${BASH_SOURCE%/*}/../steps.sh"
scenario() {
    listen a 0.0.0.0 7001
    listen b fd00::2 7002
    connect a fd00::2 7002 --times 10
    all_established 10
    at_once
    saw "a to b 10 of 10, median $median ms"
    connect b 10.0.0.1 7001 --times 10
    all_established 10
    at_once
    saw "b to a 10 of 10, median $median ms"
}
play "$@"

#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# 32 connections at the same moment to 4 listeners.
. "${BASH_SOURCE%/*}/../steps.sh"
known() { few_queue_pairs; }
known_by='no queue pair'
known_always=no
scenario() {
    listen b 10.0.0.2 7001-7004
    connect a 10.0.0.2 7001-7004 --parallel 32
    all_established 32
    peers_agree b 7001-7004
    within 0 4000
    expect_mappings b 4
    expect_mappings a 0
    saw "32 of 32, median $median ms, slowest $slowest ms"
}
play "$@"

#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Listeners are closed while no daemon runs: no row of theirs is left some 25 s after the next start.
. "${BASH_SOURCE%/*}/../lasting.sh"
wants=b:ours
where=b
scenario() {
    local left i
    # With fewer than the kernel can replay, and with more.
    listen b 10.0.0.2 7001-7010
    listen b 10.0.0.2 20000-20299 --threads 8
    here "daemon kill"
    allow 'iwpm_remove_mapping|Insufficient skbs for map info'
    here "kill \$(ps | awk '/[l]isten 10.0.0.2 20000/ { print \$1 }'); while ps | grep -q '[l]isten 10.0.0.2 20000'; \
        do sleep 0.05; done"
    here "daemon start"
    for ((i = 0; i < 30; i++)); do
        left=$(mappings b | grep -c ':20[0-9][0-9][0-9] ' || true)
        [[ $left -gt 0 ]] || break
        pause b 1
    done
    [[ $left -eq 0 ]] || fail "0 of 300 rows left after 30 s" "$left"
    expect_mappings b 10
    saw "300 rows gone after $i s, 10 kept"
}
play "$@"

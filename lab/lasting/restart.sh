#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# systemctl restart with 5000 live listeners under load: the kernel notices nothing, and no port can be had by anybody
# else.
. "${BASH_SOURCE%/*}/../lasting.sh"
known() { ! is_c a || echo "C gives the ports away, and 228 mappings come back"; }
known_by='lost'
scenario() {
    local begin outage
    live "${LIVE:-5000}"
    watch
    load
    begin=$(now_ms)
    here "systemctl restart iwpmd" || fail "systemctl restart succeeds" "$(here "systemctl status iwpmd" | tail -n 2)"
    outage=$(ready_after "$begin")
    pause "$where" 1
    nothing_lost
    unload
    stays_the_same
    expect_mappings a "$count_live"
    saw "restart of $outage ms"
}
play "$@"

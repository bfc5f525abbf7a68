#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Without a service manager: a second daemon takes over from the first, with 1000 live listeners under load.
. "${BASH_SOURCE%/*}/../lasting.sh"
wants=b:ours
where=b
scenario() {
    local before after
    live "${LIVE:-1000}"
    watch
    load
    before=$(here "daemon pid")
    here "daemon takeover" || fail "the second daemon takes over" "not"
    after=$(here "daemon pid")
    [[ $before != "$after" ]] || fail "another process than $before" "$after"
    pause "$where" 1
    nothing_lost
    unload
    stays_the_same
    expect_mappings b "$count_live"
    saw "process $before -> $after"
}
play "$@"

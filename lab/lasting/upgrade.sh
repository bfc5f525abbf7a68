#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A newer package is installed with 1000 live listeners under load.
. "${BASH_SOURCE%/*}/../lasting.sh"
known() { ! is_c a || echo "no newer package of C's at hand"; }
known_by='newer'
scenario() {
    local before after
    is_ours a || fail "a newer package" "none"
    cp "$out/debian/newer.deb" "$dir/a/share/"
    live "${LIVE:-1000}"
    watch
    load
    before=$(here "daemon pid; iwpmd --version" | tr '\n' ' ')
    here "dpkg -i /share/newer.deb" > /dev/null || fail "the package installs" "not"
    after=$(here "daemon pid; iwpmd --version" | tr '\n' ' ')
    [[ ${before%% *} != "${after%% *}" && ${before#* } != "${after#* }" ]] ||
        fail "another process of another version than $before" "$after"
    pause "$where" 1
    nothing_lost
    unload
    stays_the_same
    expect_mappings a "$count_live"
    saw "${before#* }-> ${after#* }"
}
play "$@"

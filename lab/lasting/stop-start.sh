#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# systemctl stop, a listen meanwhile, and start: nothing waits for the daemon that is away; from systemd 254 on no port
# is free.
. "${BASH_SOURCE%/*}/../lasting.sh"
wants=a:ours
scenario() {
    local begin waited lost
    allow '(iwpm_add_mapping|iwpm_remove_mapping|iwpm_register_pid): Unable to send'
    # The kernel's replay ends after 228 mappings; the others are in the record.
    allow 'Insufficient skbs for map info'
    live "${LIVE:-1000}"
    watch
    here "systemctl stop iwpmd"
    [[ -z $(portid) ]] || fail "no netlink socket of a daemon that is stopped" "$(portid)"
    begin=$(now_ms)
    listen a 10.0.0.1 7021
    waited=$(($(now_ms) - begin))
    [[ $waited -lt 5000 ]] || fail "a listen that does not wait for the daemon" "$waited ms"
    here "systemctl start iwpmd"
    pause a 1
    if [[ $(here "systemctl show -P FileDescriptorStorePreserve iwpmd") == yes ]]; then
        nothing_lost
    else
        lost=$(count_lost)
        watched
        [[ $lost -eq 0 ]] || fail "of $count_live mappings 0 lost" "$lost lost; $watched"
        saw "$count_live of $count_live back, ports free for $window ms"
    fi
    saw "a listen meanwhile took $waited ms"
}
play "$@"

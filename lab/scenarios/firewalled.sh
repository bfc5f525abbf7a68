#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A firewall of either host, or a route, keeps the port mappers from talking: connections go on unmapped, and ours says
# why.
. "${BASH_SOURCE%/*}/../steps.sh"
# What an administrator looks at; each names the cause.
names() { # CAUSE WORDS
    local text
    text=$(a "daemon log" | grep 'query: fallback' | tail -n 1)
    [[ $text == *"$2"* ]] || fail "'$2' in the log" "$text"
    text=$(a "iwpmd status") || fail "status 0" "$text"
    [[ ${text%%$'\n'*} == *", last fallback "*"$2"* ]] || fail "'$2' in the first line of status" "$text"
    text=$(a "iwpmd peers")
    [[ $text == *" $1" ]] || fail "cause $1 in peers" "$text"
    text=$(a "iwpmd doctor || echo status \$?")
    grep "^warning  *peers " <<< "$text" | grep -qF "$2" || fail "'$2' in the doctor's line of peers" "$text"
}
filter() { # HOST HOOK VERDICT
    local chain="add chain inet lab way { type filter hook $2 priority 0; }"
    on "$1" "modprobe nft_reject_inet; nft 'add table inet lab; $chain; add rule inet lab way udp dport 3935 $3'"
}
scenario() {
    local host what address port cause words worst=0
    undo a "nft delete table inet lab; /usr/bin/ip rule del ipproto 17"
    undo b "nft delete table inet lab"
    listen_unmapped 10.0.0.2 7001
    listen b fd00::2 7002
    b "daemon start"
    while read -r host what address port cause words; do
        case $what in
        reject-*) filter "$host" input "reject with icmpx ${what#reject-}" ;;
        drop-*) filter "$host" "${what#drop-}" drop ;;
        route) a "/usr/bin/ip rule add pref 10 to $address ipproto 17 unreachable" ;;
        esac
        # Of what was before, nothing is remembered.
        ! is_ours a || a "daemon stop && rm -r /run/iwpmd && daemon start" > /dev/null
        connect a "$address" "$port"
        all_established 1
        if is_c a || [[ $cause == no_answer ]]; then query_deadline_passes a; else at_once; fi
        [[ $slowest -le $worst ]] || worst=$slowest
        ! is_ours a || names "$cause" "$words"
        [[ $what == route ]] || on "$host" "nft delete table inet lab"
    done << 'END'
b reject-admin-prohibited 10.0.0.2 7001 prohibited is behind a firewall that rejects it
b reject-admin-prohibited fd00::2 7002 prohibited is behind a firewall that rejects it
b reject-port-unreachable fd00::2 7002 unreachable has no port mapper (ICMP): start iwpmd there
b reject-host-unreachable 10.0.0.2 7001 host_unreachable cannot be reached (host unreachable)
b drop-input 10.0.0.2 7001 no_answer did not answer (no port mapper there, or a firewall)
a drop-output fd00::2 7002 local_rule could not be asked, since a rule of this host forbids it
a route 10.0.0.2 7001 no_route could not be asked, since there is no route to it
END
    if is_ours a; then
        saw "7 of 7 established and named, $worst ms for silence"
    else
        saw "7 of 7 established, each after the kernel's 10 s"
    fi
}
play "$@"

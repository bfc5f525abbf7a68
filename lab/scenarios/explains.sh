#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The daemon's own commands on a host that works: status, mappings, peers, metrics, ping and doctor; what they print is
# in the transcript.
. "${BASH_SOURCE%/*}/../steps.sh"
wants=a:ours
scenario() {
    local text
    listen b 0.0.0.0 7001
    connect_meanwhile a 10.0.0.2 7001 --hold 60
    expect_mappings a 1
    text=$(a "iwpmd status") || fail "status 0" "$text"
    [[ $text == "serving: kernel registered (ABI 4, device siw0), "* ]] || fail "a healthy status" "$text"
    text=$(a "iwpmd mappings")
    [[ $(grep -c ' (siw0) ' <<< "$text") -eq 1 ]] || fail "one mapping" "$text"
    text=$(a "iwpmd mappings --json")
    [[ $text == '{"schema":1,"daemon":"running","problem":null,"mappings":[{"local":"10.0.0.1:'* ]] ||
        fail "mappings as JSON" "$text"
    text=$(a "iwpmd peers")
    [[ $text == *$'\n'10.0.0.2* ]] || fail "host b among the peers" "$text"
    text=$(a "iwpmd metrics")
    grep -qx 'iwpmd_up 1' <<< "$text" || fail "iwpmd_up 1" "$text"
    grep -qx 'iwpmd_kernel_client_info{client="2",abi="4",device="siw0",interface="eth0"} 1' <<< "$text" ||
        fail "the kernel's client among the metrics" "$text"
    text=$(a "iwpmd ping 10.0.0.2 -c 2") || fail "an answer of host b" "$text"
    grep -q '^2 asked, 2 answered; ' <<< "$text" || fail "2 answers of host b" "$text"
    text=$(a "iwpmd ping fd00::2 -c 1") || fail "an answer of host b over IPv6" "$text"
    # No unit, rule or nft in this host: warnings.
    text=$(a "iwpmd doctor") || fail "a doctor without failures" "$text"
    for check in configuration modules netlink namespace devices ports daemon udp state peers; do
        grep -q "^ok  *$check " <<< "$text" || fail "$check ok" "$text"
    done
    stop_listening a
    stop_listening b
    saw "healthy"
}
play "$@"

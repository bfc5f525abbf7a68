#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Where the user iwpmd exists, a detached daemon is that user's, without a capability, and in its sandbox; it serves.
. "${BASH_SOURCE%/*}/../steps.sh"
wants=b:ours
scenario() {
    local text
    b "daemon stop" > /dev/null
    b "printf '%s\n' root:x:0:0::/:/bin/sh iwpmd:x:990:990::/:/bin/false > /etc/passwd
        printf '%s\n' root:x:0: iwpmd:x:990: > /etc/group"
    undo b 'kill $(daemon pid); rm -f /etc/passwd /etc/group; rm -rf /run/iwpmd; daemon start'
    b "daemon start --detached" || fail "a detached start" "not"
    text=$(b 'cd /proc/$(daemon pid)/task &&
        cat */status | grep -E "^(Uid|Gid|Groups|CapEff|Seccomp):" | sort -u | xargs')
    [[ $text == "CapEff: 0000000000000000 Gid: 990 990 990 990 Groups: Seccomp: 2 Uid: 990 990 990 990" ]] ||
        fail "all threads of user and group 990, with no other group and no capability, in a sandbox" "$text"
    listen b 0.0.0.0 7001
    check_row b 7001
    connect a 10.0.0.2 7001
    all_established 1
    stop_listening b
    saw "user 990, no capability, in the sandbox"
}
play "$@"

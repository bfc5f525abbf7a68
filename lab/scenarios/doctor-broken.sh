#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The doctor and status name what is broken on a real kernel: no modules, another network namespace, a daemon that is
# dead, stopped or out of sight, a peer without one.
. "${BASH_SOURCE%/*}/../steps.sh"
wants=a:ours
finds() { # PATTERN COMMAND...
    local pattern=$1
    shift
    text=$(a "$* || echo status \$?")
    grep -qE "$pattern" <<< "$text" || fail "a line like '$pattern' from $*" "$text"
}
fails() { # PATTERN COMMAND...
    finds "$@"
    grep -qx 'status [13]' <<< "$text" || fail "a status that tells from ${*:2}" "$text"
}
scenario() {
    local text
    allow 'iwpm_(add_mapping|remove_mapping|register_pid): Unable to send'
    a "daemon freeze; sleep 6"
    fails '^degraded: hung: no heartbeat of process [0-9]+' iwpmd status
    fails '^failure +daemon +hung: no heartbeat' iwpmd doctor
    a "daemon thaw; sleep 0.5; iwpmd status" > /dev/null || fail "healthy again" "not"

    a "/usr/bin/ip netns add elsewhere"
    fails '^failure +namespace +this is not the initial network namespace' /usr/bin/ip netns exec elsewhere iwpmd doctor
    fails '^failure +udp +UDP port 3935 is not bound here, though the daemon runs' \
        /usr/bin/ip netns exec elsewhere iwpmd doctor
    a "/usr/bin/ip netns del elsewhere"

    a "daemon kill"
    fails '^not running: process [0-9]+ crashed' iwpmd status
    fails '^failure +daemon +process [0-9]+ crashed.*start it' iwpmd doctor
    a "modules unload"
    # soft iWARP cannot be without iw_cm. A crash is one without a device as well.
    fails '^failure +modules +iw_cm is not loaded' iwpmd doctor
    fails '^failure +daemon +process [0-9]+ crashed' iwpmd doctor
    a "modules load && daemon start && daemon stop && modules unload" > /dev/null
    # A host that has no device and no daemon lacks nothing.
    finds '^ok +modules +iw_cm is not loaded' iwpmd doctor
    finds '^warning +devices +there is no iWARP device' iwpmd doctor
    a "modules load && daemon start" > /dev/null

    listen_unmapped 10.0.0.2 7001
    connect a 10.0.0.2 7001
    all_established 1
    finds '^serving: .*, last fallback .* ago: 10.0.0.2 has no port mapper \(ICMP\)' iwpmd status
    finds '^warning +peers +10.0.0.2 has no port mapper' iwpmd doctor
    fails 'no port mapper \(ICMP unreachable' iwpmd ping 10.0.0.2 -c 1
    b "daemon start"
    forget_silent_peer a
    saw "each named"
}
play "$@"

#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# kill -9 with 5000 live listeners: the unit starts the daemon again, and every port is claimed again.
. "${BASH_SOURCE%/*}/../lasting.sh"
known() { ! is_c a || echo "C: 228 mappings come back"; }
known_by='lost'
scenario() {
    local lost begin outage
    live "${LIVE:-5000}"
    watch
    begin=$(now_ms)
    here "daemon kill"
    # rdma-core's unit does not start it again.
    if is_c a; then here "sleep 1; systemctl start iwpmd"; fi
    here "for i in \$(seq 1 100); do systemctl -q is-active iwpmd && \
        [ \"\$(systemctl show -P ExecMainCode iwpmd)\" = 0 ] && exit 0; sleep 0.1; done; exit 1" ||
        fail "the unit active again" "$(here "systemctl status iwpmd" | tail -n 2)"
    pause a 1
    lost=$(count_lost)
    watched
    outage=$(ready_after "$begin")
    [[ $lost -eq 0 ]] || fail "of $count_live mappings 0 lost" "$lost lost; $watched"
    [[ $window -le $((outage + blur)) ]] || fail "no port free for longer than the outage of $outage ms" "$watched"
    saw "$count_live of $count_live back; away for $outage ms, ports free for $window ms"
}
play "$@"

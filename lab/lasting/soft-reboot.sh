#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# systemctl soft-reboot (systemd 254 and later) with ten live listeners: all is kept, and the daemon comes back by itself.
. "${BASH_SOURCE%/*}/../lasting.sh"
wants=a:ours
scenario() {
    local tries
    root_changes --early
    # Neither the manager nor the end of all services ends what is in no group and has this name.
    here "cp /tmp/rows /run/rows; sed 's/.*[:.]//' /run/rows > /run/ports
        (echo \$\$ > /sys/fs/cgroup/cgroup.procs; exec -a @portwatch portwatch /run/ports) > /run/watch 2>&1 &
        until [ -s /run/watch ]; do sleep 0.05; done"
    here "systemctl --no-block soft-reboot"
    for ((tries = 0; tries < 600; tries++)); do
        ! host_exec "$dir" a 30 '[ "$(systemctl show -P SoftRebootsCount)" = 1 ] && systemctl -q is-active iwpmd' \
            >> "$transcript" 2>&1 || break
        sleep 0.5
    done
    [[ $tries -lt 600 ]] || fail "the unit is active after a soft reboot" "$(here "systemctl status iwpmd" | tail -n 2)"
    here "cp /run/rows /tmp/rows; ln -sf /run/watch /tmp/watch"
    nothing_lost
    listen a 10.0.0.1 7012
    check_row a 7012
    connect b 10.0.0.1 7001
    all_established 1
    saw "after the soft reboot"
}
play "$@"

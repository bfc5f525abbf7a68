#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What the kernel asks while the daemon is away for 12 s is not answered any more (a late answer crashes the kernel);
# the next request is served.
. "${BASH_SOURCE%/*}/../lasting.sh"
wants=a:ours
scenario() {
    allow 'Timeout 10 sec for netlink request'
    here "mkdir -p /run/systemd/system/iwpmd.service.d; \
        printf '[Service]\nRestartSec=12s\n' > /run/systemd/system/iwpmd.service.d/slow.conf; systemctl daemon-reload"
    here "daemon kill"
    listens_time_out
    here "rm /run/systemd/system/iwpmd.service.d/slow.conf; systemctl daemon-reload; \
        for i in \$(seq 1 100); do systemctl -q is-active iwpmd && exit 0; sleep 0.1; done; exit 1" ||
        fail "the unit active again" "not"
    next_listen_is_served
}
play "$@"

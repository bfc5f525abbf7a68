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
    listen a 10.0.0.1 7001-7010 --threads 10
    [[ $listened =~ slowest\ ([0-9]+)\ ms && ${BASH_REMATCH[1]} -gt 9500 ]] || fail "the kernel waited 10 s" "$listened"
    here "rm /run/systemd/system/iwpmd.service.d/slow.conf; systemctl daemon-reload; \
        for i in \$(seq 1 100); do systemctl -q is-active iwpmd && exit 0; sleep 0.1; done; exit 1" ||
        fail "the unit active again" "not"
    listen a 10.0.0.1 7011
    [[ $listened =~ slowest\ ([0-9]+)\ ms && ${BASH_REMATCH[1]} -lt 1500 ]] ||
        fail "the next one is served at once" "$listened"
    check_row a 7011
    saw "10 timed out, the next one: ${listened#listening on }"
}
play "$@"

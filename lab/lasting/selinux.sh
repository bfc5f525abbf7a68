#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Under SELinux with our module: start by udev, connections, restart, crash, takeover, the commands; nothing is denied.
. "${BASH_SOURCE%/*}/../lasting.sh"
wants=a:ours
# As an administrator who has logged in. What a script runs instead (initrc_t) is in the daemon's domain.
admin() { here "runcon unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023 sh -c '$*'"; }
denied() { denied_in "cat /share/boot.log; dmesg"; }
confined() { # WHEN
    local label
    admin 'for i in $(seq 150); do iwpmd status > /dev/null && exit; sleep 0.2; done; exit 1' ||
        fail "$1: it serves" "$(admin 'iwpmd status' | tail -n 1) $(denied)"
    label=$(here 'for pid in $(pidof iwpmd); do tr -d "\0" < /proc/$pid/attr/current; echo; done')
    [[ $label == system_u:system_r:iwpmd_t:s0 ]] || fail "$1: one daemon, in iwpmd_t" "$label"
}
scenario() {
    local command
    selinux_hosts "${package:-deb}"
    confined "started by its device"
    [[ $(here "stat -c %C /run/iwpmd/state") == system_u:object_r:iwpmd_runtime_t:s0 ]] ||
        fail "iwpmd_runtime_t" "another"
    listen a 10.0.0.1 20000-20009
    connect b 10.0.0.1 20007
    all_established 1
    listen b 10.0.0.2 7001
    connect a 10.0.0.2 7001
    all_established 1
    # Ports that a program may not have without a rule for it.
    here "echo port_range=61000-62000 >> /etc/iwpmd.conf; systemctl reload iwpmd" || fail "a reload" "$(denied)"
    here "rdmatest listen 10.0.0.1 21000 > /tmp/other 2>&1 & until [ -s /tmp/other ]; do sleep 0.1; done"
    [[ $(here "daemon mappings") =~ 10.0.0.1:21000\ 10.0.0.1:61[0-9]{3} ]] || fail "a port of port_range" "$(denied)"
    here "daemon mappings > /tmp/rows; echo max_mappings=1000 >> /etc/iwpmd.conf"
    here "systemctl restart iwpmd" || fail "a restart" "$(denied)"
    confined "restarted"
    here "daemon kill; sleep 1"
    confined "after a crash"
    here "systemd-run --quiet --unit=by-hand --property=Type=exec --property=User=iwpmd \
        --property=AmbientCapabilities=CAP_NET_ADMIN --property=LimitNOFILE=131072 \
        /usr/sbin/iwpmd --foreground --takeover
        for i in \$(seq 150); do systemctl -q is-active iwpmd || exit 0; sleep 0.1; done; exit 1" ||
        fail "another takes over" "$(denied)"
    confined "taken over"
    here "systemctl start iwpmd" || fail "the unit takes over" "$(denied)"
    confined "taken over by the unit"
    [[ $(count_lost) -eq 0 ]] || fail "no mapping lost" "$(count_lost)"
    for command in status mappings peers metrics "ping -c 1 10.0.0.2" --check-config; do
        admin "iwpmd $command" > /dev/null || fail "iwpmd $command by an administrator" "$(denied)"
    done
    here "iwpmd status" > /dev/null || fail "iwpmd status by a service" "$(denied)"
    here "mkdir -p /var/lib/prometheus/node-exporter; chown daemon /var/lib/prometheus/node-exporter
        systemctl start iwpmd-metrics && systemctl start iwpmd-metrics &&
        grep -qx 'iwpmd_up 1' /var/lib/prometheus/node-exporter/iwpmd.prom" ||
        fail "the metrics, written twice by their service" "$(denied)"
    stop_listening a
    here "daemon stop; daemon start" > /dev/null
    confined "stopped and started"
    [[ -z $(denied) ]] || fail "nothing denied" "$(denied)"
    # Each denial was printed.
    [[ -z $(here "dmesg | grep -o 'audit_lost=.*'") ]] || fail "no audit record lost" "some"
    saw "started by its device, connected, reloaded, restarted, crashed, taken over, asked, stopped: nothing denied"
}
play "$@"

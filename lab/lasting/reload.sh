#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# systemctl reload puts a changed configuration in force, and refuses a faulty one; the daemon and its mappings stay.
. "${BASH_SOURCE%/*}/../lasting.sh"
wants=a:ours
scenario() {
    local pid state
    live 100
    pid=$(here "daemon pid")
    here "cp /etc/iwpmd.conf /run/iwpmd.conf; echo port_range=50000-50009 >> /etc/iwpmd.conf"
    undo a "cp /run/iwpmd.conf /etc/iwpmd.conf; systemctl reload iwpmd"
    here "systemctl reload iwpmd" || fail "systemctl reload succeeds" "$(here "systemctl status iwpmd" | tail -n 2)"
    listen a 10.0.0.1 7031
    check_row a 7031
    [[ $row_port -ge 50000 && $row_port -le 50009 ]] || fail "a port of 50000 to 50009" "$row_port"
    here "echo deny=10.0.0.0/33 >> /etc/iwpmd.conf"
    ! here "systemctl reload iwpmd" || fail "a faulty configuration is refused" "it is in force"
    state=$(here "daemon log" | grep 'deny must be') || fail "the fault in the journal" "none"
    state=$(here "systemctl show -P ActiveState iwpmd"),$(here "daemon pid"),$(count_lost)
    [[ $state == "active,$pid,0" ]] || fail "active, process $pid, 0 mappings lost" "$state"
    listen a 10.0.0.1 7032
    check_row a 7032
    [[ $row_port -ge 50000 && $row_port -le 50009 ]] || fail "the configuration before, port 50000 to 50009" "$row_port"
    stays_the_same
    saw "in force, and a faulty one refused"
}
play "$@"

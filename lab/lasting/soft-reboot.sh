#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# systemctl soft-reboot with live listeners, whose programs survive it: no port is free, the daemon comes by itself.
. "${BASH_SOURCE%/*}/../lasting.sh"
wants=a:ours
# systemd 254 and later have it.
[[ -e $out/debian/base/usr/lib/systemd/system/soft-reboot.target ]] || builds=
scenario() {
    local before begin
    allow '(iwpm_add_mapping|iwpm_remove_mapping|iwpm_register_pid): Unable to send'
    # The kernel's replay ends after 228 mappings; the others are in the record.
    allow 'Insufficient skbs for map info'
    live "${LIVE:-1000}"
    before=$(here "daemon pid")
    watch
    begin=$(now_ms)
    here "systemctl soft-reboot" > /dev/null || true
    here "for i in \$(seq 600); do
            [ \"\$(systemctl show -P SoftRebootsCount)\" = 1 ] && systemctl -q is-active iwpmd && exit 0; sleep 0.1
        done 2> /dev/null; exit 1" ||
        fail "the daemon back after the soft reboot" "$(here "systemctl status iwpmd" | head -n 5)"
    [[ $(here "daemon pid") != "$before" ]] || fail "another process" "$before"
    begin=$(ready_after "$begin")
    pause a 1
    nothing_lost
    connect b 10.0.0.1 20007
    all_established 1
    listen a 10.0.0.1 7021
    check_row a 7021
    connect b 10.0.0.1 7021
    all_established 1
    saw "ready $begin ms after the request"
}
play "$@"

#!/usr/bin/env bash
# A daemon of the boot image, with live listeners, goes on when the real root is there, until the unit takes over from it.
. "${BASH_SOURCE%/*}/../lasting.sh"
known() { ! is_c a || echo "C does not take over"; }
known_by='lost|unit active|hosts start'
scenario() {
    local daemons
    "$lab/lab" up "$dir" --siw "$siw" --daemon-a "${pair%,*}" --daemon-b "${pair#*,}" --systemd --early --life 2400 || fail "the hosts start" "not"
    # The first may be about to leave.
    daemons=$(here "for i in 1 2 3 4 5 6 7 8 9 10; do set -- \$(pidof iwpmd); [ \$# -eq 1 ] && break; sleep 0.5; done; echo \$*")
    [[ $daemons == "$(here "daemon pid")" ]] || fail "one daemon, the unit's" "$daemons"
    here "tr '\\0' ' ' < /proc/$daemons/cmdline" | grep -q -- --systemd || fail "the unit's daemon" "another"
    count_live=10
    here "cp /run/early.rows /tmp/rows; ln -s /run/early.watch /tmp/watch"
    nothing_lost
    [[ $(here "(cat /share/boot.log; dmesg) | grep -c 'Using ABI version'") == 1 ]] || fail "one HELLO, that of the boot image" "more"
    listen a 10.0.0.1 7011
    check_row a 7011
    connect b 10.0.0.1 7001
    all_established 1
    saw "the unit is process $daemons"
}
play "$@"

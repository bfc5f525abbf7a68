# SPDX-License-Identifier: MIT
# Words of the scenarios in which mappings outlive the daemon of one host: a, which has systemd, unless the scenario
# says where=b.
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/steps.sh"

builds=map
where=a
patience=90

here() { on "$where" "$@"; }
peer() { if [[ $where == a ]]; then echo b; else echo a; fi; }

# Live listeners, and a note of all that must stay as it is.
live() { # COUNT
    count_live=$1
    listen "$where" "$(address4 "$where")" "20000-$((19999 + $1))" --threads 16
    here "daemon mappings > /tmp/rows"
    [[ $(here "wc -l < /tmp/rows") -eq $1 ]] || fail "$1 mappings" "$(here "wc -l < /tmp/rows")"
    portid=$(portid)
    hellos=$(hellos)
}
# The daemon's address at the kernel: the one netlink socket of RDMA that has joined the group of port mappers.
portid() { here "awk '\$2 == 20 && \$4 == \"00000002\" { print \$3 }' /proc/net/netlink"; }
hellos() { here "dmesg | grep -c 'Using ABI version'" || true; }

# Another program tries to get the mapped ports, all the time.
watch() { here "sed 's/.*[:.]//' /tmp/rows > /tmp/ports; rm -f /tmp/watch; \
    portwatch /tmp/ports > /tmp/watch 2>&1 & until [ -s /tmp/watch ]; do sleep 0.05; done"; }
# Sets watched (what it saw), count_free, window: for how many ms not all of them were held, and blur: how sure that is.
watched() {
    watched=$(here "killall -TERM portwatch; while pidof portwatch > /dev/null; do sleep 0.05; done; \
        tail -n 1 /tmp/watch")
    [[ $watched =~ longest\ ([0-9]+)\ ms\ free\ ([0-9]+)\ of\ $count_live ]] || fail "a word of portwatch" "$watched"
    blur=$((3 * BASH_REMATCH[1])) count_free=${BASH_REMATCH[2]} window=0
    [[ ! $watched =~ ,\ ([0-9]+)\ ms\ \( ]] || window=${BASH_REMATCH[1]}
}
count_lost() { here "daemon mappings > /tmp/rows.now; \
    awk 'NR == FNR { now[\$0]; next } !(\$0 in now)' /tmp/rows.now /tmp/rows | wc -l"; }

# Listens, closes and connects on both hosts, to each other, until unload.
load() {
    listen "$(peer)" "$(address4 "$(peer)")" 7001
    here "load start $(address4 "$where") $(address4 "$(peer)") 7001"
    on "$(peer)" "load start $(address4 "$(peer)") $(address4 "$where") 20000-20009"
    pause "$where" 1
}
# Each must have been served: for an answer that is lost the kernel waits 10 s.
unload() {
    local each text
    for each in a b; do
        text=$(on "$each" "load stop")
        [[ $text =~ ^listens\ ([0-9]+)\ connects\ ([0-9]+)\ of\ ([0-9]+)\ slowest\ ([0-9]+)$ &&
            ${BASH_REMATCH[2]} == "${BASH_REMATCH[3]}" && ${BASH_REMATCH[4]} -lt 5000 ]] ||
            fail "each listen and connect of host $each served at once" "$text"
        saw "$each: $text ms"
    done
}

# Not a row, and not a port for a moment.
nothing_lost() {
    local lost
    lost=$(count_lost)
    watched
    [[ $lost -eq 0 && $count_free -eq 0 ]] ||
        fail "of $count_live mappings 0 lost, of their ports 0 free at any time" \
        "$lost lost, $count_free free: $watched"
    saw "$count_live mappings kept, no port free in ${watched%% longest*}"
}
# The kernel goes on speaking to the socket that it knows.
stays_the_same() {
    [[ $(portid) == "$portid" ]] || fail "portid $portid as before" "$(portid)"
    [[ $(hellos) == "$hellos" ]] || fail "no HELLO" "$(hellos) instead of $hellos"
    saw "portid $portid as before, no HELLO"
}
now_ms() { here "awk '{ print int(\$1 * 1000) }' /proc/uptime"; }
# How many ms it took from a moment to READY=1 of the daemon that runs now.
ready_after() { # MS
    echo $(($(here "systemctl show -P ActiveEnterTimestampMonotonic iwpmd") / 1000 - $1))
}
# Hosts of which a has a daemon and ten live listeners in its boot image already.
root_changes() { # OPTIONS of up
    local daemons
    "$lab/lab" up "$dir" --siw "$siw" --daemon-a "${pair%,*}" --daemon-b "${pair#*,}" --systemd "$@" --life 21600 ||
        fail "the hosts start" "not"
    # The first may be about to leave.
    daemons=$(here "for i in 1 2 3 4 5 6 7 8 9 10; do set -- \$(pidof iwpmd); [ \$# -eq 1 ] && break; sleep 0.5; done; \
        echo \$*")
    [[ $daemons == "$(here "daemon pid")" ]] || fail "one daemon, the unit's" "$daemons"
    here "tr '\\0' ' ' < /proc/$daemons/cmdline" | grep -q -- --systemd || fail "the unit's daemon" "another"
    count_live=10
    here "cp /run/early.rows /tmp/rows; ln -s /run/early.watch /tmp/watch"
    nothing_lost
    [[ $(here "(cat /share/boot.log; dmesg) | grep -c 'Using ABI version'") == 1 ]] ||
        fail "one HELLO, that of the boot image" "more"
    listen a 10.0.0.1 7011
    check_row a 7011
    connect b 10.0.0.1 7001
    all_established 1
    saw "the unit is process $daemons"
}
# Hosts of which a enforces SELinux, with the files of a package; its daemon has been started by its device.
selinux_hosts() { # deb|rpm
    "$lab/lab" up "$dir" --siw "$siw" --daemon-a ours --daemon-b ours --systemd --selinux "$1" --no-daemon \
        --life 21600 || fail "the hosts start" "not"
    allow 'audit: ' 'SELinux: '
    [[ $(here "cat /sys/fs/selinux/enforce") == 1 ]] || fail "SELinux enforces" "not"
    b "daemon start"
    here "modules load"
}
# But for the connection that the lab's commands come by, which a command of iwpmd inherits.
denied_in() { # COMMAND that prints a log of the kernel
    here "($1) | grep -E 'avc: +denied .*context=[^ ]*:iwpmd_' |
        grep -v 'tcontext=system_u:system_r:initrc_t:s0 tclass=tcp_socket'" || true
}

#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Our package takes the place of rdma-core's daemon, with live listeners, and gives it back: as many as the kernel can
# name are served by the one that comes.
. "${BASH_SOURCE%/*}/../lasting.sh"
wants=a:c
active() { # EXECUTABLE
    here "for i in \$(seq 1 150); do systemctl -q is-active iwpmd && \
        [ \"\$(readlink /proc/\$(systemctl show -P MainPID iwpmd)/exe)\" = $1 ] && exit 0; sleep 0.1; done; exit 1" ||
        fail "$1 is the unit's" "$(here "systemctl status iwpmd" | tail -n 2)"
}
all_there() { # WHOSE
    expect_mappings a "$count_live"
    [[ $(count_lost) -eq 0 ]] || fail "the same $count_live mappings with $1" "$(count_lost) others"
    connect b 10.0.0.1 20007
    all_established 1
    saw "$count_live mappings with $1"
}
scenario() {
    # The profile is loaded at the boot of a host that has our package.
    allow 'iwpm_|audit: .*(label not found|profile_)'
    cp "${IWPMD_DEB:-$(ls "$top"/out/iwpmd_*.deb)}" "$dir/a/share/iwpmd.deb"
    live 200
    here "dpkg -i /share/iwpmd.deb" > /dev/null || fail "the package installs" "not"
    active /usr/sbin/iwpmd
    [[ $(here "iwpmd status" | head -n 1) == serving:* ]] || fail "ours serves" "$(here "iwpmd status" | head -n 1)"
    all_there ours
    here "dpkg --purge iwpmd" > /dev/null || fail "the package goes" "not"
    active /usr/sbin/iwpmd
    all_there "rdma-core's"
}
play "$@"

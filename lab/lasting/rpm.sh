#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The package of the other kind: installed by rpm in the place of rdma-core's daemon, upgraded with live listeners, and
# removed. Debian's rpm wants to be asked twice.
. "${BASH_SOURCE%/*}/../lasting.sh"
wants=a:ours
scenario() {
    allow 'iwpm_|audit: .*(label not found|profile_)'
    cp "$(ls "$top"/out/iwpmd-*.rpm)" "$dir/a/share/iwpmd.rpm"
    here "dpkg --purge iwpmd && rpm --install --nodeps --force-debian /share/iwpmd.rpm" > /dev/null ||
        fail "the package installs" "not"
    here "for i in \$(seq 1 150); do iwpmd status > /dev/null && exit 0; sleep 0.1; done; exit 1" ||
        fail "ours serves" "$(here "iwpmd status; systemctl status iwpmd" | tail -n 3)"
    live 100
    watch
    here "rpm --upgrade --replacepkgs --nodeps --force-debian /share/iwpmd.rpm" > /dev/null ||
        fail "the package installs again" "not"
    pause a 1
    nothing_lost
    stays_the_same
    connect b 10.0.0.1 20007
    all_established 1
    here "rpm --erase --nodeps --force-debian iwpmd" > /dev/null || fail "the package goes" "not"
    [[ $(here "systemctl is-active iwpmd; ls /usr/sbin/iwpmd /run/iwpmd 2> /dev/null") == inactive ]] ||
        fail "nothing is left" "$(here "systemctl is-active iwpmd; ls /usr/sbin/iwpmd /run/iwpmd")"
    saw "installed, upgraded and removed by rpm"
}
play "$@"

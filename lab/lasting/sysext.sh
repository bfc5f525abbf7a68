#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The system extension over rdma-core's daemon: merged, started by udev, refreshed with 100 live listeners, unmerged.
. "${BASH_SOURCE%/*}/../lasting.sh"
wants=a:c
scenario() {
    local image tree=$work/newer
    allow 'iwpm_' 'loop' 'squashfs' 'overlay'
    image=$(echo "$top"/out/iwpmd-*-amd64.raw)
    [[ -e $image ]] || fail "an extension in out (make sysext)" "none"
    [[ -e $out/debian/newer.deb ]] || fail "a newer package (lab/lab newer)" "none"
    unsquashfs -quiet -no-progress -dest "$tree" "$image"
    dpkg-deb --fsys-tarfile "$out/debian/newer.deb" | tar --extract --directory "$tree" ./usr/sbin/iwpmd
    mv "$tree"/usr/lib/extension-release.d/extension-release.{iwpmd-*,iwpmd-newer-amd64}
    mksquashfs "$tree" "$work/iwpmd-newer-amd64.raw" -noappend -all-root -quiet -no-progress
    "$lab/lab" put "$dir" a "$image" "$work/iwpmd-newer-amd64.raw"

    here "daemon stop; touch /tmp/began; mkdir -p /var/lib/extensions; cp /share/${image##*/} /var/lib/extensions/
        systemd-sysext merge && systemctl daemon-reload && systemd-sysusers && udevadm control --reload &&
        udevadm trigger --subsystem-match=infiniband --action=change" > /dev/null || fail "it is merged" "not"
    here "for i in \$(seq 150); do iwpmd status > /dev/null && exit; sleep 0.1; done; exit 1" ||
        fail "udev starts ours" "$(here "iwpmd status; systemctl status iwpmd" | tail -n 3)"
    [[ $(here 'stat -c %U /proc/$(daemon pid)') == iwpmd ]] || fail "a daemon of its own user" "another"
    saw "merged, started by udev as $(here 'iwpmd --version')"
    live 100
    watch
    here "rm /var/lib/extensions/*; cp /share/iwpmd-newer-amd64.raw /var/lib/extensions/; systemd-sysext refresh &&
        systemctl daemon-reload && systemctl restart iwpmd" > /dev/null || fail "it is refreshed" "not"
    nothing_lost
    stays_the_same
    connect b 10.0.0.1 20007
    all_established 1
    saw "refreshed to $(here 'iwpmd --version')"
    ! here "touch /usr/sbin/iwpmd" 2> /dev/null || fail "/usr is read only" "not"
    stop_listening a
    here "systemctl stop iwpmd; systemd-sysext unmerge && systemctl daemon-reload; rm /var/lib/extensions/*" > /dev/null
    [[ -z $(here "find /usr -newer /tmp/began ! -type d") ]] ||
        fail "nothing new below /usr" "$(here "find /usr -newer /tmp/began")"
    here "userdel iwpmd; rm -rf /run/iwpmd; daemon start" > /dev/null || fail "rdma-core's daemon starts again" "not"
    saw "unmerged: rdma-core's daemon serves again"
}
play "$@"

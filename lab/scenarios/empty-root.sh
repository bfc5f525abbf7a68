#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The static executable serves from a root with nothing but itself, /proc and /dev.
. "${BASH_SOURCE%/*}/../steps.sh"
wants=b:ours
scenario() {
    "$lab/lab" put "$dir" b "$top/out${cross:+/$arch}/iwpmd-static"
    b "mkdir -p /tmp/root/proc /tmp/root/dev; mount --bind /proc /tmp/root/proc; mount --bind /dev /tmp/root/dev; \
        cp /share/iwpmd-static /tmp/root/iwpmd"
    b "daemon kill"
    b "chroot /tmp/root /iwpmd" || fail "it is ready" "not"
    connects 0.0.0.0 10.0.0.2
    [[ $(b "readlink /proc/\$(daemon pid)/root") == /tmp/root ]] || fail "the daemon in its root" "another"
    b "daemon kill; daemon start; umount /tmp/root/proc /tmp/root/dev; rm -r /tmp/root"
}
play "$@"

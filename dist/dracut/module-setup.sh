#!/bin/bash
# SPDX-License-Identifier: MIT
# dracut --add iwpmd: the port mapper in the boot image, for a root file system over iWARP (NFS, iSER, NVMe). It
# continues when the real root is there, until the unit of that takes over from it.

# Where it is installed; in the image it is in /usr.
daemon=/usr/sbin/iwpmd
rules=/usr/lib/udev/rules.d
boot_rules=/usr/share/iwpmd

# Only when asked for.
check() {
    require_binaries "$daemon" || return 1
    return 255
}

depends() {
    echo udev-rules
}

# The drivers are those of this host, or in an image for any host all.
installkernel() {
    hostonly='' instmods ib_core iw_cm rdma_cm
    instmods iw_cxgb4 irdma i40iw qedr erdma siw
}

# udev starts it with the first iWARP device: as a unit, or without systemd by a rule of its own.
install() {
    inst "$daemon" "/usr/sbin/${daemon##*/}"
    inst_simple -H /etc/iwpmd.conf
    inst_simple "$rules/90-iwpmd.rules" "$udevdir/rules.d/90-iwpmd.rules"
    inst_multiple -o /etc/udev/rules.d/90-iwpmd.rules
    if dracut_module_included systemd; then
        # Under this name, which the rule wants, the real root has the unit that takes over: the two must not be one.
        inst_simple "$moddir/iwpmd-boot.service" "$systemdsystemunitdir/iwpmd-boot.service"
        ln_r "$systemdsystemunitdir/iwpmd-boot.service" "$systemdsystemunitdir/iwpmd.service"
    else
        inst_simple "$boot_rules/91-iwpmd-boot.rules" "$udevdir/rules.d/91-iwpmd-boot.rules"
        ln_r /usr/sbin/iwpmd /usr/sbin/@iwpmd
    fi
}

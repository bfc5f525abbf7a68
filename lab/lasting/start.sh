#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Without iw_cm the unit is skipped, not failed; the device starts it, by our rule, and confined; what outlives the
# daemon is in the manager's store.
. "${BASH_SOURCE%/*}/../lasting.sh"
wants=a:ours
module='/lib/modules/$(uname -r)/kernel/drivers/infiniband/core/iw_cm.ko'
scenario() {
    local state line
    here "systemctl stop iwpmd; timeout -s KILL 20 modules unload; mv $module /tmp/; depmod; systemctl start iwpmd"
    state=$(here "systemctl show -p ActiveState -p ConditionResult -p Result iwpmd" | sort | tr '\n' ' ')
    here "mv /tmp/iw_cm.ko \$(dirname $module); depmod"
    [[ $state == "ActiveState=inactive ConditionResult=no Result=success " ]] || fail "skipped without iw_cm" "$state"
    saw "skipped without iw_cm"
    here "modules load"
    here "for i in \$(seq 1 100); do systemctl -q is-active iwpmd && exit 0; sleep 0.1; done; exit 1" ||
        fail "started by its device" "$(here "systemctl status iwpmd" | tail -n 2)"
    # ID_RDMA_IWARP, which rdma-core's rule would go by, is not what ours goes by.
    state=$(here "mv /etc/udev/rules.d/80-lab.rules /tmp/; udevadm test /sys/class/infiniband/siw0 2>&1; \
        mv /tmp/80-lab.rules /etc/udev/rules.d/")
    for line in 'TAGS=.*:systemd:' 'SYSTEMD_WANTS=.*\<iwpmd\.service\>.*' "run: 'kmod load iw_cm'"; do
        grep -qx "$line" <<< "$state" || fail "udevadm test says $line" "$state"
    done
    ! grep -q ID_RDMA_IWARP <<< "$state" || fail "no ID_RDMA_IWARP" "$state"
    saw "udevadm test: wants iwpmd.service, loads iw_cm"
    state=$(here 'tr -d "\0" < /proc/$(daemon pid)/attr/current')
    [[ $state == "iwpmd (enforce)" ]] || fail "confined by AppArmor" "$state"
    saw "confined by AppArmor"
    # The manager has copies of its sockets, and is not taken for their owner.
    state=$(here "iwpmd doctor || true" | grep -E '^[a-z]+ +(daemon|udp) ')
    [[ $(grep -c '^ok ' <<< "$state") -eq 2 ]] || fail "the doctor finds the daemon's socket" "$state"
    state=$(here "systemctl show -P NFileDescriptorStore iwpmd")
    # Netlink, and UDP of both families.
    [[ $state -ge 3 ]] || fail "3 descriptors and more in the manager's store" "$state"
    saw "started by its device, $state descriptors in the store"
}
play "$@"

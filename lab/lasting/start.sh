#!/usr/bin/env bash
# Without iw_cm the unit is skipped, not failed; the device starts it; what outlives the daemon is in the manager's store.
. "${BASH_SOURCE%/*}/../lasting.sh"
module='/lib/modules/$(uname -r)/kernel/drivers/infiniband/core/iw_cm.ko'
scenario() {
    local state
    is_ours a || return 0
    here "systemctl stop iwpmd; timeout -s KILL 20 modules unload; mv $module /tmp/; depmod; systemctl start iwpmd"
    state=$(here "systemctl show -p ActiveState -p ConditionResult -p Result iwpmd" | sort | tr '\n' ' ')
    here "mv /tmp/iw_cm.ko \$(dirname $module); depmod"
    [[ $state == "ActiveState=inactive ConditionResult=no Result=success " ]] || fail "skipped without iw_cm" "$state"
    saw "skipped without iw_cm"
    here "modules load"
    here "for i in \$(seq 1 100); do systemctl -q is-active iwpmd && exit 0; sleep 0.1; done; exit 1" || fail "started by its device" "$(here "systemctl status iwpmd" | tail -n 2)"
    state=$(here "systemctl show -P NFileDescriptorStore iwpmd")
    # Netlink, and UDP of both families.
    [[ $state -ge 3 ]] || fail "3 descriptors and more in the manager's store" "$state"
    saw "started by its device, $state descriptors in the store"
}
play "$@"

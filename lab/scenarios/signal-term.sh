#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# SIGTERM ends the daemon with 0; its ports are free again.
. "${BASH_SOURCE%/*}/../steps.sh"
scenario() {
    local host status
    for host in a b; do
        listen "$host" "$(address4 "$host")" 7001
        check_row "$host" 7001
        status=$(on "$host" "daemon stop")
        [[ $status == 0 ]] || fail "exit status 0 of host $host's daemon" "$status"
        # In full siw itself holds the mapped port, in stock nobody ever did.
        if build_is map; then on "$host" "! tcpport held $row_port" > /dev/null || fail "port $row_port free" "held"; fi
        on "$host" "daemon start"
        stop_listening "$host"
        expect_mappings "$host" 0
    done
    # In full the new daemon cannot claim what siw holds, and says so to the kernel.
    if build_is full; then allow 'iwpm_mapping_error_cb|iwpm_ack_mapping_info_cb'; fi
    allow 'iwpm_remove_mapping|iwpm_add_mapping'
    saw "exit status 0 on both hosts"
}
play "$@"

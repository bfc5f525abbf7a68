#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Under SELinux with our module, each of its permissions taken out, one at a time: a step fails, or an access is denied.
. "${BASH_SOURCE%/*}/../lasting.sh"
wants=a:ours
patience=400

# What makes use of the permissions.
steps=(restart start use ask metrics reload resize crash other stop)
begin='systemctl stop by-hand iwpmd; systemctl reset-failed; cp /tmp/iwpmd.conf /etc/; rm -rf /run/iwpmd
    systemctl start iwpmd'
mapped() { # PORT MAPPED, a pattern
    echo "rm -f /tmp/use; rdmatest listen 10.0.0.1 $1 > /tmp/use 2>&1 & until [ -s /tmp/use ]; do sleep 0.05; done
        iwpmd mappings | grep -Eq '^10.0.0.1:$1 +10.0.0.1:$2 '; status=\$?; kill \$!; [ \$status -eq 0 ]"
}
pid='$(systemctl show -P MainPID iwpmd)'
file=/var/lib/prometheus/node-exporter/iwpmd.prom
declare -A command=(
    [restart]='systemctl restart iwpmd'
    [start]="$begin"
    [use]="$(mapped 20010 '[0-9]+') && rdmatest connect 10.0.0.2 7001"
    [ask]="iwpmd status && iwpmd mappings && iwpmd peers && iwpmd metrics && iwpmd --check-config"
    [metrics]="rm -f $file; systemctl start iwpmd-metrics && systemctl start iwpmd-metrics &&
        grep -qx 'iwpmd_up 1' $file"
    [reload]="echo port_range=61000-62000 >> /etc/iwpmd.conf; systemctl reload iwpmd && $(mapped 21000 '61[0-9]{3}')"
    [resize]="echo max_mappings=1000 >> /etc/iwpmd.conf; systemctl restart iwpmd; cp /tmp/iwpmd.conf /etc/
        systemctl restart iwpmd"
    [crash]="before=$pid; kill -KILL \$before; for i in \$(seq 50); do
        [ $pid -ne \$before ] && systemctl -q is-active iwpmd && exit; sleep 0.1; done; exit 1"
    [other]="systemd-run --quiet --unit=by-hand --property=Type=exec --property=User=iwpmd \
        --property=AmbientCapabilities=CAP_NET_ADMIN --property=LimitNOFILE=131072 \
        /usr/sbin/iwpmd --foreground --takeover
        for i in \$(seq 50); do systemctl -q is-active iwpmd || break; sleep 0.1; done
        ! systemctl -q is-active iwpmd && systemctl start iwpmd"
    [stop]='systemctl stop iwpmd && systemctl start iwpmd'
)
# Where one is likely to be used comes first.
first_of_steps() { # PERMISSION
    case $1 in
    *iwpmd_metrics_t* | *dac_override*) echo metrics ;;
    *dac_read_search* | *conf_t*) echo reload ;;
    *netlink_route* | *connectto*) echo ask ;;
    *"tcp_socket create"* | *"tcp_socket bind"* | *_tcp_* | *"udp_socket read"* | *"udp_socket write"*) echo use ;;
    *unix_stream_socket\ [cls]*) echo other ;;
    esac
}
# For the host: what happens without a permission, as "STEP STATUS DENIAL" of the first step that shows something. The
# commands write into a pipe, since a file would be another's.
without() {
    cat << 'END'
# without BOOLEAN STEP...
switch() {
    [ "$name" != none ] || return 0
    echo "$1" > "/sys/fs/selinux/booleans/$name"
    echo 1 > /sys/fs/selinux/commit_pending_bools
}
name=$1
shift
switch 0
for step; do
    # Many starts in a short time are no failure.
    systemctl reset-failed
    dmesg -c > /dev/null
    (timeout 20 sh "/share/step.$step" 2>&1; echo $? > /tmp/status) | cat > /tmp/step
    read -r status < /tmp/status
    denied=$(dmesg | grep -E 'avc: +denied .*context=[^ ]*:iwpmd_' |
        grep -vm 1 'tcontext=system_u:system_r:initrc_t:s0 tclass=tcp_socket')
    [ "$status" -eq 0 ] && [ -z "$denied" ] || { echo "$step $status $denied"; break; }
done
switch 1
cp /tmp/iwpmd.conf /etc/
iwpmd status > /dev/null || sh /share/step.start
END
}

scenario() {
    local name permission each status said found needed=0 broken=0
    selinux_hosts deb
    # Its device starts the daemon. A short range: each port that may not be bound is a denial.
    here "until iwpmd status > /dev/null; do sleep 0.2; done
        echo port_range=33000-33499 >> /etc/iwpmd.conf; systemctl restart iwpmd" || fail "the daemon starts" "not"
    # Live over all that follows: a restart without a mapping needs less.
    listen a 10.0.0.1 20000-20009 --seconds 20000
    expect_mappings a 10
    listen b 10.0.0.2 7001 --seconds 20000
    for each in "${steps[@]}"; do echo "${command[$each]}" > "$dir/a/share/step.$each"; done
    without > "$dir/a/share/without"
    here "cp /etc/iwpmd.conf /tmp/; mkdir -p ${file%/*}; chown daemon ${file%/*}
        cp /usr/local/share/selinux/policy /etc/selinux/default/policy/policy.*; load_policy" ||
        fail "the policy in which each permission has a boolean" "not loaded"
    # SKIP=N leaves out the first ones.
    here "cat /usr/local/share/selinux/list" | tail -n "+$((${SKIP:-0} + 1))" > "$work/list"
    # With all of them, nothing fails.
    said=$(here "sh /share/without none ${steps[*]}" 2>&1 | grep -E "^($(IFS='|'; echo "${steps[*]}")) [0-9]" || true)
    [[ -z $said ]] || fail "no failure with all permissions" "$said $(here "cat /tmp/step")"
    while read -r name permission; do
        each=$(first_of_steps "$permission")
        said=$(here "sh /share/without $name $each ${steps[*]/#$each/}" 2>&1 |
            grep -E "^($(IFS='|'; echo "${steps[*]}")) [0-9]" || true)
        read -r each status said <<< "$said"
        found=
        if [[ ${status:-0} -ne 0 ]]; then found="$each fails"; broken=$((broken + 1)); fi
        if [[ -n $said ]]; then
            found="${found:-$each}: $(sed -nE 's/.*denied +(\{[^}]*\}).*tcontext=([^ ]*) tclass=([^ ]*).*/\1 \2 \3/p' \
                <<< "$said")"
        fi
        printf '%s\t%s\n' "$permission" "${found:-NOTHING}" | tee -a "$work/table" >&2
        [[ -z $found ]] || needed=$((needed + 1))
    done < "$work/list"
    [[ $needed -eq $(wc -l < "$work/list") ]] ||
        fail "each of $(wc -l < "$work/list") permissions is needed" "not $(grep NOTHING "$work/table")"
    saw "$needed permissions: without $broken of them a step fails, without each of the others an access is denied"
}
play "$@"

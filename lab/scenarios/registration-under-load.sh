#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The kernel registers its client again and again while the host is busy: each registration is answered, and none too
# soon, which crashes some kernels.
. "${BASH_SOURCE%/*}/../steps.sh"
builds=map
wants=b:ours
patience=1200
known() { ! is_c a || [[ $(a "uname -r") != [7-9].* ]] || echo "C answers at once, which crashes preemptible kernels"; }
known_by='kernel of a crashed'
known_always=no
scenario() {
    local text most
    allow 'iwpm_'
    # A word of hello, whoever says it, makes the kernel register again for the next listener.
    text=$(a 'for i in 1 2 3; do (while :; do :; done) & done
        good=0
        for i in $(seq 200); do
            if [ $((i % 40)) -eq 0 ]; then daemon stop > /dev/null; daemon start; else usurp 0 > /dev/null; fi
            rdmatest listen 10.0.0.1 $((7000 + i)) --seconds 0 > /tmp/listen.now 2>&1 && good=$((good + 1)) ||
                cat /tmp/listen.now
            sed "s/.*slowest \([0-9]*\) .*/\1/" /tmp/listen.now >> /tmp/listen.ms
        done
        for job in $(jobs -p); do kill $job; done
        echo "good $good slowest $(sort -n /tmp/listen.ms | tail -n 1)"; rm /tmp/listen.ms')
    [[ $text =~ good\ 200\ slowest\ ([0-9]+)$ ]] || fail "200 of 200 registrations" "$(tail -n 2 <<< "$text")"
    most=${BASH_REMATCH[1]}
    echo "$most" > "$work/milliseconds"
    [[ $(a "dmesg | grep -c 'Using ABI version'") -ge 200 ]] || fail "200 hellos" "fewer"
    listen a 10.0.0.1 7001
    check_row a 7001
    saw "200 of 200, slowest $most ms"
}
play "$@"

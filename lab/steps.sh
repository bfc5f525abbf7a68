# SPDX-License-Identifier: MIT
# What scenarios are written with. A scenario is a script that sources this file, says
#   builds="stock map full"   the builds of siw it makes sense with (default: all),
#   wants="a:ours b:c"        the daemons that must be on the hosts, where only one kind can show it (default: any),
#   known                     (a function) why this pair of daemons is known to fail, when it is; then the scenario must
#                             fail
#                             with a text that matches known_by (or, with known_always=no, may pass by luck),
#   scenario                  (a function) what it does, with errexit: a step that fails ends it,
# and ends with: play "$@". Its second line says what it shows.
# Exit status: 0 as expected, 1 not, 3 a host has crashed.
# LAB_RESULTS names a file that gets a line with tabs: name, siw, pair, outcome, ms, what was seen.
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"

builds="stock map full"
wants=
known() { :; }
known_by=expected
known_always=yes
# findings/siw-37th-queue-pair-fails.sh
few_queue_pairs() {
    [[ $flavour != *-[0-9]*k ]] || echo "with large pages siw has few queue pairs: 9 with 16 KiB, 2 with 64"
}
# The bound of one command in a host.
patience=30

on() { # HOST COMMAND...
    local host=$1 status=0
    shift
    printf '+ %s: %s\n' "$host" "$*" >> "$transcript"
    host_exec "$dir" "$host" "$patience" "$*" 2>&1 | tee -a "$transcript" || status=${PIPESTATUS[0]}
    [[ $status -ne 125 ]] || fail "host $host answers" "nothing"
    return "$status"
}
a() { on a "$@"; }
b() { on b "$@"; }
# Seconds of a host's own time.
pause() { on "$1" "sleep $2"; } # HOST SECONDS
address4() { if [[ $1 == a ]]; then echo 10.0.0.1; else echo 10.0.0.2; fi; }
address6() { if [[ $1 == a ]]; then echo fd00::1; else echo fd00::2; fi; }

is_c() { [[ $(cat "$dir/$1/kind") == c ]]; }
is_ours() { ! is_c "$1"; }
build_is() { [[ " $* " == *" $siw "* ]]; }

fail() { # EXPECTED SAW
    [[ -s $work/failure ]] ||
        printf 'expected: %s; saw: %s\n' "$1" "${2:-something else}" | tr '\n\t' '  ' > "$work/failure"
    exit 1
}
saw() { printf '%s; ' "$*" >> "$work/saw"; }
# Lines of the kernel log that this scenario may cause.
allow() { printf '%s\n' "$@" >> "$work/allowed"; }

# What takes a change of a host back, when the scenario has ended; the last one first.
undo() { on "$1" "echo '${*:2}' >> /run/undo"; } # HOST COMMAND...
# The daemon starts anew with more lines of configuration.
configure() { # HOST LINE...
    on "$1" "cp /etc/iwpmd.conf /run/iwpmd.conf; printf '%s\n' ${*:2} >> /etc/iwpmd.conf"
    undo "$1" "cp /run/iwpmd.conf /etc/iwpmd.conf; daemon stop; daemon start"
    on "$1" "daemon stop && daemon start" > /dev/null || fail "the daemon of host $1 starts with ${*:2}" "not"
}

# A listener on b from before its daemon is not mapped: the only one that an unmapped connection can reach with every
# build.
listen_unmapped() { # ADDRESS PORT
    allow '(iwpm_add_mapping|iwpm_remove_mapping|iwpm_register_pid): Unable to send'
    # C cannot replay it: its port is taken, by the listener itself.
    is_ours b || allow 'Received msg seq = 0 err code = 11' 'Invalid mapinfo number'
    # C never tells the kernel that the peer does not answer.
    is_ours a || allow 'Timeout 10 sec for netlink request'
    b "daemon kill"
    listen b "$1" "$2"
}

# Listeners that stay until the scenario ends or stop_listening.
listen() { # HOST ADDRESS PORT[-PORT] [ARGS]
    local host=$1 text
    shift
    on "$host" "rm -f /tmp/listen.$2; rdmatest listen $* > /tmp/listen.$2 2>&1 & \
        for i in \$(seq 1 $((patience * 10))); do [ -s /tmp/listen.$2 ] && break; sleep 0.05; done" > /dev/null
    text=$(on "$host" "head -1 /tmp/listen.$2")
    [[ $text =~ ^listening\ on\ ([0-9]+)\ of\ ([0-9]+) && ${BASH_REMATCH[1]} == "${BASH_REMATCH[2]}" ]] ||
        fail "listening on $1 port $2 of host $host" "$text"
    listened=$text
}
stop_listening() { on "$1" "killall rdmatest; while pidof rdmatest > /dev/null; do sleep 0.05; done"; }

# Sets result (the lines), count_established, count_refused, ..., slowest and median (ms). That a connection fails is a
# result, not a failure.
connect() { # HOST ADDRESS PORT[-PORT] [ARGS]
    local host=$1 summary
    shift
    result=$(on "$host" "rdmatest connect $*") || result+=$'\n'"exit status $?"
    summarize
}
# The same while something else is done; connected waits for its end.
connect_meanwhile() { # HOST ADDRESS PORT [ARGS]
    meanwhile=$1
    shift
    on "$meanwhile" "rm -f /tmp/connect.log; (rdmatest connect $* > /tmp/connect.log 2>&1; \
        echo ended >> /tmp/connect.log) > /dev/null 2>&1 &"
}
connected() {
    result=$(on "$meanwhile" "for i in \$(seq 1 $((patience * 8))); do grep -q ^ended /tmp/connect.log && break; \
        sleep 0.05; done; cat /tmp/connect.log")
    summarize
}
summarize() {
    local summary
    summary=$(grep '^total ' <<< "$result") || fail "a result of rdmatest" "$result"
    read -r _ _ _ count_established _ count_refused _ count_failed _ count_timeout _ _ _ _ median _ slowest \
        <<< "$summary"
    [[ $slowest -lt $(< "$work/milliseconds") ]] || echo "$slowest" > "$work/milliseconds"
}

all_established() { # COUNT
    [[ $count_established -eq $1 ]] || fail "$1 established" "$result"
}
all_refused() { # COUNT
    [[ $count_refused -eq $1 ]] || fail "$1 refused (ECONNREFUSED)" "$result"
}
within() { # LOW HIGH, of the slowest connect in ms
    [[ $slowest -ge $1 && $slowest -le $2 ]] || fail "$1 to $2 ms" "$slowest ms: $result"
}
# Emulated hosts on a busy machine: a few round trips are far below this, and a deadline is far above.
at_once() {
    # C takes a new request for a copy of an old one when another C's handle, a heap address, comes again, and answers
    # only its second copy, 2 s later.
    if is_c a && is_c b; then within 0 4500; else within 0 1500; fi
}
# How long the kernel of a host waits for a peer that does not answer: ours has its deadline, C never tells it.
query_deadline_passes() { # HOST [MORE_MS]
    local more=${2:-0}
    if is_ours "$1"; then within $((2500 + more)) $((5000 + more)); else within $((9000 + more)) $((12500 + more)); fi
}

# Ours goes on without the port mapper of a peer that lately had none, for 5 s: the next scenario must not see that.
forget_silent_peer() { if is_ours "$1"; then pause "$1" 5.5; fi; }

mappings() { on "$1" "daemon mappings"; }
count_mappings() { mappings "$1" | grep -c . || true; }
expect_mappings() { # HOST COUNT
    local seen
    seen=$(on "$1" "for i in 1 2 3 4 5 6 7 8 9 10; do left=\$(daemon mappings | wc -l); [ \$left -ne $2 ] || break; \
        sleep 0.2; done; echo \$left")
    [[ $seen -ne $2 ]] || return 0
    fail "$2 mappings on host $1" "$seen"
}

each_host() { "$1" b a "${@:2}"; "$1" a b "${@:2}"; } # FUNCTION ARGS..., behind a host and its peer

# Ten listens on a while its daemon is away: the kernel gives them up; then the next one.
listens_time_out() {
    listen a 10.0.0.1 7001-7010 --threads 10
    [[ $listened =~ slowest\ ([0-9]+)\ ms && ${BASH_REMATCH[1]} -gt 9500 ]] || fail "the kernel waited 10 s" "$listened"
}
next_listen_is_served() {
    listen a 10.0.0.1 7011
    [[ $listened =~ slowest\ ([0-9]+)\ ms && ${BASH_REMATCH[1]} -lt 1500 ]] ||
        fail "the next one is served at once" "$listened"
    check_row a 7011
    saw "10 timed out, the next one: ${listened#listening on }"
}

# The row of a local address must exist, and its port must be held, or only noted when siw maps nothing.
check_row() { # HOST LOCAL_PORT
    local row mapped
    row=$(mappings "$1" | grep -E "^[^ ]*[:.]$2 " | head -1) || fail "a mapping of port $2 on host $1" "none"
    mapped=${row##*[:.]}
    if build_is stock; then
        [[ $mapped == "$2" ]] || fail "port $2 noted, not mapped" "$row"
    else
        [[ $mapped != "$2" ]] || fail "port $2 mapped" "$row"
        on "$1" "tcpport held $mapped" > /dev/null || fail "mapped TCP port $mapped held" "it is free"
    fi
    row_port=$mapped
}

# Each established connection's own address must be what the server calls its peer: with full it can only know it from
# its port mapper.
peers_agree() { # SERVER PORTS
    local missing
    sed -n 's/^established \([^ ]*\) .*/accepted \1 on/p' <<< "$result" > "$work/wanted"
    # The server may hear of the connection a little later than the client.
    for _ in 1 2 3 4 5 6 7 8; do
        on "$1" "cat /tmp/listen.$2" | grep -o '^accepted [^ ]* on' > "$work/accepted" || true
        missing=$(grep -vxFf "$work/accepted" "$work/wanted" || true)
        [[ -n $missing ]] || return 0
        pause "$1" 0.2
    done
    # C tells the kernel about the peer only after its Accept, and the connection can be faster.
    if is_c "$1" && build_is full && [[ $(wc -l <<< "$missing") -lt $(wc -l < "$work/wanted") ]]; then
        saw "the server does not know $(wc -l <<< "$missing") of $(wc -l < "$work/wanted") peers"
        return 0
    fi
    fail "the server says: $missing" "$(tail -3 "$work/accepted")"
}

# The kernel's RDMA address resolution may miss the answer of a neighbour that is new, and waits 30 s then.
reaches() { # HOST ADDRESS...
    on "$1" "for each in ${*:2}; do until busybox ping -c 1 -W 1 \$each; do :; done; done" > /dev/null ||
        fail "host $1 reaches ${*:2}" "not"
}

# From a to b, several times in a row.
connects() { # LISTEN_ADDRESS CONNECT_ADDRESS
    listen b "$1" 7001
    check_row b 7001
    connect a "$2" 7001 --times 4
    all_established 4
    at_once
    peers_agree b 7001
    stop_listening b
    expect_mappings b 0
    saw "4 of 4 established, slowest $slowest ms, 7001 -> $row_port"
}

# From a to b, twice to each of the lines ADDRESS PORT; sets worst (ms).
connects_to_each() {
    local address port
    worst=0
    while read -r address port; do
        connect a "$address" "$port" --times 2
        all_established 2
        at_once
        peers_agree b "$port"
        [[ $slowest -le $worst ]] || worst=$slowest
    done
}

# Live listeners and a live connection over the end and the new start of each host's daemon.
restarts() { each_host restart "$1"; } # HOW (of daemon)
restart() { # HOST PEER HOW
    local host=$1 peer=$2 before after text
    listen "$host" 0.0.0.0 7001-7003
    listen "$host" "$(address4 $host)" 7004
    listen "$host" :: 7005
    connect_meanwhile "$peer" "$(address4 $host)" 7001 --hold 60
    on "$peer" "for i in \$(seq 1 200); do grep -q ^total /tmp/connect.log && break; sleep 0.05; done; \
        grep ^established /tmp/connect.log" > /dev/null || fail "a live connection" "none"
    before=$(mappings "$host")
    [[ $(wc -l <<< "$before") -ge 5 ]] || fail "at least 5 mappings before" "$before"
    text=$(on "$host" "daemon $3")
    [[ $3 != stop || $text == 0 ]] || fail "exit status 0 after SIGTERM" "$text"
    on "$host" "daemon start" || fail "the daemon of host $host starts again" "not"
    after=$(mappings "$host")
    [[ $before == "$after" ]] || fail "the mappings as before: $before" "$after"
    check_row "$host" 7001
    connect "$peer" "$(address4 $host)" 7001
    all_established 1
    at_once
    connect "$peer" "$(address6 $host)" 7005
    all_established 1
    stop_listening "$host"
    stop_listening "$peer"
    expect_mappings "$host" 0
    saw "host $host: $(wc -l <<< "$before") mappings back, then connected in $slowest ms"
}

healthy='systemd|eth[0-2] speed is unknown|Using ABI version|siw: |SoftiWARP|ADDRCONF|random: |hrtimer: interrupt took'

settle() { # HOST
    local text left
    text=$(host_exec "$dir" "$1" 60 settle 2>&1) || [[ -n $text ]] || return 1
    printf '%s\n' "$text" > "$work/$1.settled"
    left=$(sed -n 's/^mappings //p' "$work/$1.settled")
    sed -n '/^<[0-9]*>/s///p' "$work/$1.settled" > "$work/$1.kernel"
    [[ -n $left ]] || echo "host $1 does not come to rest: $(tail -n 2 "$work/$1.settled")" >> "$work/complaints"
    [[ ${left:-0} -le 0 ]] || echo "host $1 is left with $left mappings" >> "$work/complaints"
    { grep -vE "$healthy" "$work/$1.kernel" | grep -vEf "$work/allowed" | sed "s/^/kernel of $1: /" |
        head -3 >> "$work/complaints"; } || true
}

crash_report() {
    local host
    for host in a b; do
        alive "$dir" "$host" && continue
        echo "kernel of $host crashed: $(crash_word "$dir" "$host")"
        # The next boot makes a new one.
        cp "$dir/$host/console.log" "$work/$host.console"
    done
}

# Runs the scenario of the calling script in the hosts of DIR, brings them back to rest, judges, and says it in one
# line.
play() { # DIR
    local name outcome reason='' status=0 host pair note each
    name=$(basename "$0" .sh)
    dir=$(readlink -f "$1")
    work=$dir/logs/$name transcript=$dir/logs/$name/transcript
    rm -rf "$work"
    mkdir -p "$work"
    touch "$work"/{failure,saw,complaints,milliseconds}
    # A pattern file with an empty line would match everything.
    echo '^$' > "$work/allowed"
    pair=$(cat "$dir/a/kind"),$(cat "$dir/b/kind")
    siw=$(cat "$dir/siw")
    [[ " $builds " == *" $siw "* ]] || return 0
    for each in $wants; do [[ $(cat "$dir/${each%:*}/kind") == "${each#*:}" ]] || return 0; done
    reason=$(known)

    set +e
    (set -e; scenario)
    status=$?
    set -e
    if [[ $status -ne 0 && ! -s $work/failure ]]; then
        echo "a step failed: $(tail -3 "$transcript" | tr '\n\t' '  ')" > "$work/failure"
    fi
    settle a || true &
    settle b || true
    wait
    [[ -s $work/failure || ! -s $work/complaints ]] || tr '\n\t' '; ' < "$work/complaints" > "$work/failure"
    crash_report > "$work/crash"

    note=$(sed 's/; $//' "$work/saw")
    if [[ -s $work/crash ]]; then
        outcome=FAILED note=$(tr '\n' ' ' < "$work/crash")
        [[ -z $reason || ! $note =~ $known_by ]] || outcome=known note="$reason: $note"
    elif [[ -s $work/failure ]]; then
        outcome=FAILED note=$(cat "$work/failure")
        [[ -z $reason || ! $note =~ $known_by ]] || outcome=known note="$reason: $note"
    elif [[ -n $reason && $known_always == yes ]]; then
        outcome=FAILED note="expected to fail ($reason), but passed: $note"
    else
        outcome=passed
    fi
    if [[ $outcome == FAILED ]]; then
        for host in a b; do
            host_exec "$dir" "$host" 20 'daemon log | tail -n 500; tail -n 50 /tmp/*.log /tmp/listen.*' \
                > "$work/$host.logs" 2> /dev/null || true
        done
        note="$note (logs: ${work#"$top"/})"
    fi
    note=${note:0:400}
    printf '%-6s %-24s %-5s %-9s %6s ms  %s\n' "$outcome" "$name" "$siw" "$pair" "$(cat "$work/milliseconds")" "$note"
    [[ -z ${LAB_RESULTS:-} ]] ||
        printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$name" "$siw" "$pair" "$outcome" "$(cat "$work/milliseconds")" "$note" \
            >> "$LAB_RESULTS"
    [[ ! -s $work/crash ]] || exit 3
    [[ $outcome != FAILED ]]
}

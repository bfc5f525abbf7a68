# SPDX-License-Identifier: MIT
# Shared by all scripts of the lab: where things are, and how to speak to the hosts.

lab=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(dirname "$lab")
# The hosts are made of this machine's Debian release, or of the world that LAB_WORLD names: SUITE or SUITE-FLAVOUR, as
# trixie or sid-arm64-16k. The flavour is that of linux-image-FLAVOUR; arm64-64k is compiled here.
world=${LAB_WORLD:-}
out=${LAB_OUT:-$top/out/lab}${world:+-$world}
suite=${world%%-*} flavour=${world#"$suite"}
flavour=${flavour#-}
case $flavour in
arm64*) arch=arm64 triplet=aarch64-linux-gnu loader=lib cross=aarch64-linux-gnu- ;;
*) arch=amd64 triplet=x86_64-linux-gnu loader=lib64 cross='' flavour=${flavour:-amd64} ;;
esac
own_kernel=
[[ $flavour != arm64-64k ]] || own_kernel=yes
root=$out/root
libraries=$root/usr/lib/$triplet

say() { printf 'lab: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

# One of the words c and ours, or the path of any other binary.
daemon_binary() { # KIND
    case $1 in
    c) echo "$root/usr/sbin/iwpmd" ;;
    ours) echo "${IWPMD:-$top/out${cross:+/$arch}/iwpmd}" ;;
    none) echo none ;;
    *) echo "$1" ;;
    esac
}

# Whatever is not rdma-core's daemon has to keep ours' promises.
daemon_kind() { # BINARY
    if [[ $1 == none ]]; then echo none; elif cmp -s "$1" "$root/usr/sbin/iwpmd"; then echo c; else echo ours; fi
}

alive() { # DIR HOST
    local pid
    pid=$(cat "$1/$2/pid" 2> /dev/null) && [[ -d /proc/$pid ]] && tr '\0' ' ' < "/proc/$pid/cmdline" | grep -qF "$1/$2/"
}

# What a host's kernel said when it crashed.
crash_word() { # DIR HOST
    grep -m1 -aoE 'BUG: .*|Oops: .*|Kernel panic.*' "$1/$2/console.log" 2> /dev/null | tr -d '\r' ||
        echo 'no word in its console'
}

# Runs a shell command in a host: its output, its status; 124 when its time was over, 125 when the host does not answer.
# The time is that of the host, which can be slow: as long as it answers anything, it is waited for.
host_exec() { # DIR HOST SECONDS COMMAND
    local LC_ALL=C port fd line pending='' begun='' status
    port=$(cat "$1/$2/port" 2> /dev/null) || { say "host $2 in $1 is not up"; return 125; }
    { exec {fd}<> "/dev/tcp/127.0.0.1/$port"; } 2> /dev/null ||
        { say "host $2 in $1 is gone, see $1/$2/console.log"; return 125; }
    printf '%d %d\n%s' "$3" "${#4}" "$4" >&"$fd"
    while read_line; do
        if [[ $line == '#exit '* ]]; then
            exec {fd}>&-
            printf '%s' "$pending"
            return "${line#\#exit }"
        fi
        [[ -z $begun ]] || printf '%s\n' "$pending"
        pending=$line begun=yes
    done
    exec {fd}>&-
    say "host $2 in $1 stopped answering, see $1/$2/console.log"
    return 125
}

read_line() {
    local part
    line=
    while status=0; IFS= read -r -t 60 -u "$fd" part || status=$?; do
        line+=$part
        [[ $status -gt 128 ]] || return "$status"
        answers "$port" || return 1
    done
}
answers() { # PORT
    local fd line
    { exec {fd}<> "/dev/tcp/127.0.0.1/$1"; } 2> /dev/null || return 1
    printf '30 1\n:' >&"$fd"
    until IFS= read -r -t 300 -u "$fd" line || { exec {fd}>&-; return 1; }; [[ $line == '#exit 0' ]]; do :; done
    exec {fd}>&-
}

# Two runs in one place would end each other's hosts. The machines themselves must not hold the lock.
one_at_a_time() { # NAME
    mkdir -p "$out"
    exec 9> "$out/$1.lock"
    flock -n 9 || die "another $1 goes on in $out (LAB_OUT names another place)"
}

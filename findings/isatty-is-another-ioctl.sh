#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Finding: with glibc 2.43 isatty() makes another ioctl, TCGETS2 (0x802c542a) instead of TCGETS (0x5401).
#
# A seccomp filter that lists ioctl requests, and ends the process for others, kills a program at a call that its
# author never wrote: isatty() is made by stdio, by loggers and by language runtimes when they first look at stdout.
# The same executable, not built again, works with the older C library and dies with the newer one.
#
# Seen:      one program, built on Debian 12, run with the loader of glibc 2.41-12 (Debian 13): ioctl(0, TCGETS);
#            of glibc 2.43 (Debian sid): ioctl(0, TCGETS2), or the bare number where strace does not know it.
# Expected:  isatty(3) names no request; "tcgetattr, that is TCGETS" is what every list of such calls has.
# Needs:     gcc, libc6-dev, strace, apt with a Debian source. Downloads libc6 of both releases, installs nothing.
#            Exits 1 when 2.43 makes the same call as 2.41.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mirror=$(find /etc/apt -name '*.list' -o -name '*.sources' | xargs cat |
    sed -n 's/^URIs: *\([^ ]*\/debian\)\/\{0,1\}$/\1/p; s/^deb .*\(http[^ ]*\/debian\)\/\{0,1\} .*/\1/p' | head -1)
[[ -n $mirror ]] || { echo "no Debian source in /etc/apt" >&2; exit 2; }
cat > "$work/tty.c" << 'END'
#include <unistd.h>
int main(void) { return isatty(0); }
END
gcc -o "$work/tty" "$work/tty.c"

request() { # SUITE VERSION: the request of isatty() with that release's C library
    local tree=$work/$1
    mkdir -p "$tree"/{lists/partial,archives/partial,root}
    echo "deb $mirror $1 main" > "$tree/sources"
    (
        cd "$tree"
        options=(-o Dir::Etc::sourcelist="$tree/sources" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$tree/lists"
            -o Dir::Cache="$tree" -o APT::Sandbox::User=root -qq)
        apt-get "${options[@]}" update
        version=$(apt-cache "${options[@]}" madison libc6 | sed -n 's/^ *libc6 | *\([^ ]*\) .*/\1/p' |
            grep "^$2" | head -1)
        [[ -n $version ]] || { echo "$1 has no libc6 $2 any more" >&2; exit 2; }
        apt-get "${options[@]}" download "libc6=$version"
        dpkg -x libc6_*.deb root
        echo "$1: libc6 $version" >&2
    )
    loader=$(find "$tree/root" -name 'ld-linux-x86-64.so.2' -type f | head -1)
    strace -e trace=ioctl -o "$tree/trace" "$loader" --library-path "$(dirname "$loader")" "$work/tty" \
        < /dev/null || true
    sed -n 's/^ioctl(0, \([^,]*\),.*/\1/p' "$tree/trace" | head -1
}

old=$(request trixie 2.41)
new=$(request sid 2.43)
echo "isatty() is ioctl $old with glibc 2.41, ioctl $new with glibc 2.43"
[[ $old == *TCGETS && ( $new == *TCGETS2* || ${new,,} == *802c542a* || $new == *'0x54, 0x2a'* ) ]] ||
    { echo "changed: not TCGETS with 2.41 and TCGETS2 with 2.43" >&2; exit 1; }

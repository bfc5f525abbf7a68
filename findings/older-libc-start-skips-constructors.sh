#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Finding: a program linked on glibc 2.34 or later whose __libc_start_main is bound to the older version GLIBC_2.2.5, so
# that it starts on older systems, does start there, and runs main() but none of its constructors, without a word.
#
# Up to 2.33 the start file (crt1.o) hands the program's own __libc_csu_init to __libc_start_main, which calls it. Since
# 2.34 it hands over NULL, and the C library looks for the constructors itself; an older one takes NULL for "none".
#
# Seen:      linked on Debian 12, run with glibc 2.36: "constructor: yes"; with 2.31-13+deb11u11 of Debian 11: "no".
# Expected:  that binding a symbol to its older version (.symver) is all it takes, as it is for other functions.
# Needs:     gcc, libc6-dev (2.34 or later), apt with a Debian source. Downloads libc6 of Debian 11, installs nothing.
#            Exits 1 when the constructor runs with 2.31 too.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mirror=$(find /etc/apt -name '*.list' -o -name '*.sources' | xargs cat |
    sed -n 's/^URIs: *\([^ ]*\/debian\)\/\{0,1\}$/\1/p; s/^deb .*\(http[^ ]*\/debian\)\/\{0,1\} .*/\1/p' | head -1)
[[ -n $mirror ]] || { echo "no Debian source in /etc/apt" >&2; exit 2; }
cat > "$work/start.c" << 'END'
#include <stdio.h>
static int ran;
__attribute__((constructor)) static void construct(void) { ran = 1; }
__asm__(".symver older_start,__libc_start_main@GLIBC_2.2.5\n"
        ".text\n.globl __wrap___libc_start_main\n__wrap___libc_start_main: jmp older_start@PLT\n");
int main(void) { printf("constructor: %s\n", ran ? "yes" : "no"); return 0; }
END
gcc -o "$work/start" "$work/start.c" -Wl,--wrap=__libc_start_main
mkdir -p "$work"/{lists/partial,archives/partial,root}
echo "deb $mirror bullseye main" > "$work/sources"
cd "$work"
options=(-o Dir::Etc::sourcelist="$work/sources" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$work/lists"
    -o Dir::Cache="$work" -o APT::Sandbox::User=root -qq)
apt-get "${options[@]}" update
version=$(apt-cache "${options[@]}" madison libc6 | sed -n 's/^ *libc6 | *\([^ ]*\) .*/\1/p' | grep '^2\.31-' | head -1)
[[ -n $version ]] || { echo "bullseye has no libc6 2.31 any more" >&2; exit 2; }
apt-get "${options[@]}" download "libc6=$version"
dpkg -x libc6_*.deb root
loader=$(find root -name 'ld-linux-x86-64.so.2' | head -1)
libraries=$(dirname "$(find root -name 'libc.so.6' | head -1)")
here=$("$work/start")
old=$("$(find root -name 'ld-2.31.so' | head -1)" --library-path "$libraries" "$work/start")
echo "this glibc ($(ldd --version | sed -n '1s/.* //p')): $here; libc6 $version: $old"
[[ $old == "constructor: no" ]] || { echo "changed: the constructor runs with 2.31" >&2; exit 1; }

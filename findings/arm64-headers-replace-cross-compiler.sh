#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Finding: on Debian 13, whoever installs the arm64 cross compiler together with the arm64 kernel's headers, to build a
# module, gets a compiler that itself runs on arm64 only, in the place and under the name of the cross compiler.
#
# linux-headers of arm64 need gcc-14 for arm64, which is gcc-14-aarch64-linux-gnu: the name that the cross compiler for
# arm64 has on amd64. apt takes the one of arm64 for both; gcc-aarch64-linux-gnu of amd64 stays, as links to it.
#
# Seen:      Debian 13, linux-headers-arm64 6.12, gcc-14 14.2.0-19: "aarch64-linux-gnu-gcc-14: Exec format error".
#            Unpacking the headers (dpkg-deb -x), with linux-kbuild of amd64, builds the module.
# Expected:  that kernel headers of another architecture (dpkg --add-architecture) do not change the compiler.
# Needs:     amd64, apt with a Debian source. Reads the lists of Debian 13, installs nothing.
#            Exits 1 when the cross compiler of amd64 is what would be installed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mirror=$(find /etc/apt -name '*.list' -o -name '*.sources' | xargs cat |
    sed -n 's/^URIs: *\([^ ]*\/debian\)\/\{0,1\}$/\1/p; s/^deb .*\(http[^ ]*\/debian\)\/\{0,1\} .*/\1/p' | head -1)
[[ -n $mirror ]] || { echo "no Debian source in /etc/apt" >&2; exit 2; }
mkdir -p "$work"/{lists/partial,archives/partial}
echo "deb [arch=amd64,arm64] $mirror trixie main" > "$work/sources"
: > "$work/status"
options=(-o Dir::Etc::sourcelist="$work/sources" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$work/lists"
    -o Dir::State::status="$work/status" -o Dir::Cache="$work" -o APT::Sandbox::User=root
    -o APT::Architecture=amd64 -o APT::Architectures::=amd64 -o APT::Architectures::=arm64)
apt-get "${options[@]}" -qq update
compiler() { # PACKAGE...
    apt-get "${options[@]}" --simulate --no-install-recommends install "$@" |
        sed -n 's/^Inst \(gcc-[0-9]*-aarch64-linux-gnu\(:[a-z0-9]*\)\{0,1\}\) (.*\[\(.*\)\]).*/\1 of \3/p'
}
alone=$(compiler gcc-aarch64-linux-gnu)
both=$(compiler gcc-aarch64-linux-gnu linux-headers-arm64:arm64)
echo "the cross compiler alone: $alone; with the headers: $both"
[[ $alone == *'of amd64' && $both == *'of arm64' ]] || { echo "changed: the compiler stays that of amd64" >&2; exit 1; }

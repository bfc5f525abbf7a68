#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Finding: tshark 4.4, run by root, ignores -X lua_script:FILE without a word and with status 0.
#
# A script that is not there, or that has a syntax error, is not missed either: the packets come out as if no dissector
# had been given, so that a test that runs as root (a container, a build) passes on nothing. 4.0 loads the script. What
# is in the global plugin directory is loaded for root in both.
#
# Seen:      Debian 13, Wireshark 4.4, as root: -X lua_script:/nonexistent.lua ends with 0 and no complaint; the same as
#            another user says that it cannot be opened. Debian 12, 4.0: root is told as well.
# Expected:  the script is run, or an error says why it is not.
# Needs:     root, debootstrap, apt with a Debian source. Makes a tree below /tmp, installs nothing. Exits 1 when root's
#            tshark says anything about the script.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
debootstrap --variant=minbase --include=tshark trixie "$work/tree" > "$work/log" || { tail "$work/log" >&2; exit 2; }
tree=$work/tree
# One empty capture: the header of the file alone.
printf '\xd4\xc3\xb2\xa1\x02\x00\x04\x00%8s\xff\xff\x00\x00\x01\x00\x00\x00' '' | tr ' ' '\0' > "$tree/srv/none.pcap"
run() { # OPTION...: of chroot
    chroot "$@" "$tree" env HOME=/tmp tshark -r /srv/none.pcap -X lua_script:/nonexistent.lua 2>&1 |
        grep -v 'could be dangerous' || true
}
root=$(run --userspec=0:0) other=$(run --userspec=65534:65534)
echo "$(chroot "$tree" tshark -v 2> /dev/null | head -1) root: '$root' another user: '$other'"
[[ -n $other ]] || { echo "changed: nobody is told of a script that is not there" >&2; exit 2; }
[[ -z $root ]] || { echo "changed: root is told" >&2; exit 1; }

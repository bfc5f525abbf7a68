#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Finding: `nft -j list ruleset` does not say what a rule of iptables matches or does; `nft list ruleset` does.
#
# With iptables-nft, which is what `iptables` is on most distributions, matches and targets that nftables has no
# expression for are kept as xt expressions. The text of nft translates them ("udp dport { 3935, 22 } reject"); its JSON
# names the module only. A program that reads a firewall as JSON takes a port for open that is rejected.
#
# Seen:      nftables 1.0.6, iptables 1.8.9: {"xt": {"type": "match", "name": "multiport"}} and
#            {"xt": {"type": "target", "name": "REJECT"}}; the port 3935 is nowhere in the JSON.
# Expected:  the same rule in both forms.
# Needs:     root, network namespaces, Debian's archive. Exits 1 when the JSON has the port.
set -euo pipefail
packages=(iptables nftables libnftables1 libnftnl11 libxtables12 libmnl0 libjansson4 libedit2 libbsd0 libmd0 libip4tc2
    libip6tc2)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get download -qq "${packages[@]}" > /dev/null 2>&1
for package in *.deb; do dpkg-deb -x "$package" root; done
libraries=$(dirname "$(find "$work/root" -name 'libxtables.so.12' | head -n 1)")
export LD_LIBRARY_PATH=$libraries XTABLES_LIBDIR=$libraries/xtables
both=$(unshare --net sh -ec '
    tools=$1/usr/sbin
    "$tools/xtables-nft-multi" iptables -A INPUT -p udp -m multiport --dports 3935,22 -j REJECT
    "$tools/nft" list ruleset 2> /dev/null
    echo ==
    "$tools/nft" -j list ruleset 2> /dev/null' sh "$work/root")
text=${both%%==*} json=${both#*==}
"$work/root/usr/sbin/nft" --version
grep -m 1 multiport <<< "$json" > /dev/null || { echo "no xt expression here: $json" >&2; exit 1; }
echo "text: $(grep -m 1 dport <<< "$text" | xargs)"
echo "json: $(grep -o '"expr": .*\]' <<< "$json" | tail -n 1)"
grep -q 3935 <<< "$text" || { echo "the text does not have the port either" >&2; exit 2; }
if grep -q 3935 <<< "$json"; then echo "changed: the JSON has the port" >&2; exit 1; fi

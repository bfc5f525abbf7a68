#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Finding: sos 4.0 on Debian never loads a plugin that is for every system (IndependentPlugin), and does not say so.
#
# The policy of each system is to add that class to its own; Debian's hides the property that does so behind a plain
# list. Such a plugin is in neither list of `sos report -l`, and naming it is answered with "non-existing".
#
# Seen:      sosreport 4.0-2 (Debian 12): of two plugins that differ in this class only, the one for Debian is listed.
# Expected:  both are.
# Needs:     root, python3, apt with a Debian source. Downloads sosreport and two modules, installs nothing. Exits 1
#            when both are listed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get download -qq -o APT::Sandbox::User=root sosreport python3-pexpect python3-ptyprocess
for package in *.deb; do dpkg -x "$package" tree; done
for kind in Debian Independent; do
    name=${kind,,}probe
    cat > "tree/usr/lib/python3/dist-packages/sos/report/plugins/$name.py" << END
from sos.report.plugins import Plugin, ${kind}Plugin
class ${kind}Probe(Plugin, ${kind}Plugin):
    short_desc = 'a probe'
    plugin_name = '$name'
    files = ('/etc/passwd',)
END
done
listed=$(PYTHONPATH=tree/usr/lib/python3/dist-packages python3 tree/usr/bin/sos report -l --tmp-dir "$work" \
    --config-file tree/etc/sos/sos.conf | grep -oE '(debian|independent)probe' | sort -u | xargs)
echo "sosreport $(dpkg-deb -f sosreport_*.deb Version) lists: $listed"
[[ $listed == *debianprobe* ]] || { echo "neither is listed" >&2; exit 2; }
[[ $listed == debianprobe ]] || { echo "changed: both are listed" >&2; exit 1; }

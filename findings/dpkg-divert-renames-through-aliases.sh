#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Finding: where /lib is a link to usr/lib, dpkg-divert --rename of the name in /lib moves a file that dpkg knows by its
# name in /usr/lib: dpkg then looks for it elsewhere, and the diversion of the other name can no longer be taken back.
#
# dpkg compares names, dpkg-divert --rename moves what is on disk. A package that has to divert both names, since the
# other package moved its file from /lib to /usr/lib between two releases, must therefore use --rename for the name
# that "dpkg-query --listfiles" has, and --no-rename for the other. The order of the two calls does not matter then.
#
# Seen:      dpkg 1.21.22 (Debian 12), 1.22.22 (13) and 1.23.11 (sid): after the two calls "dpkg --verify" misses the
#            file; after an update of the other package the last --remove --rename ends with "rename involves
#            overwriting", status 2. With --no-rename for the alias both are in order.
# Expected:  from dpkg-divert(1): --rename "actually moves the file aside (or back)", nothing about which names are one.
# Needs:     dpkg (dpkg-deb, dpkg-divert), root. Exits 1 when dpkg behaves otherwise.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

package() { # VERSION
	mkdir -p "$work/$1/DEBIAN" "$work/$1/usr/lib/example"
	printf '%s\n' 'Package: other' "Version: $1" 'Architecture: all' \
		'Maintainer: nobody <nobody@example.invalid>' 'Description: x' \
		> "$work/$1/DEBIAN/control"
	echo "$1" > "$work/$1/usr/lib/example/file"
	(cd "$work/$1" && md5sum usr/lib/example/file > DEBIAN/md5sums)
	dpkg-deb --build --root-owner-group "$work/$1" "$work/$1.deb" > "$work/log"
}
in_tree() { dpkg --root="$work/tree" --force-not-root --log="$work/log" "$@"; }
divert() { dpkg-divert --root "$work/tree" --package ours --quiet "$@"; }
begin() {
	rm -rf "$work/tree"
	mkdir -p "$work/tree/usr/lib" "$work"/tree/var/lib/dpkg/{info,updates}
	ln -s usr/lib "$work/tree/lib"
	touch "$work/tree/var/lib/dpkg/status"
	in_tree --install "$work/1.deb" > "$work/log"
}
both() { # ADD|REMOVE OPTION-FOR-LIB
	divert "--$1" "$2" --divert /lib/example/file.lib /lib/example/file
	divert "--$1" --rename --divert /usr/lib/example/file.usr /usr/lib/example/file
}

dpkg --version | sed -n 1p
package 1
package 2

begin
both add --rename
missing=$(in_tree --verify other || true)
in_tree --install "$work/2.deb" > "$work/log"
status=0
words=$(both remove --rename 2>&1) || status=$?
printf 'both renamed: verify says "%s"; after an update: status %d, "%s"\n' "$missing" "$status" \
	"$(echo "$words" | head -1)"

begin
both add --no-rename
quiet=$(in_tree --verify other || true)
in_tree --install "$work/2.deb" > "$work/log"
both remove --no-rename
content=$(cat "$work/tree/usr/lib/example/file")
printf 'only the name it has renamed: verify says "%s"; after an update and back: version %s\n' "$quiet" "$content"

[[ $missing == missing* && $status -ne 0 && $words == *"rename involves overwriting"* && -z $quiet &&
	$content == 2 ]] ||
	{ echo "changed: dpkg-divert knows of aliases, or does otherwise" >&2; exit 1; }

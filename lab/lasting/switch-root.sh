#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A daemon of the boot image, with live listeners, goes on when the real root is there, until the unit takes over from
# it.
. "${BASH_SOURCE%/*}/../lasting.sh"
known() { ! is_c a || echo "C does not take over"; }
known_by='lost|unit active|hosts start'
scenario() { root_changes --early; }
play "$@"

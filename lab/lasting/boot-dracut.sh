#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A boot image that dracut makes with our package: its daemon serves before the real root is there, until the unit takes
# over from it.
. "${BASH_SOURCE%/*}/../lasting.sh"
[[ $(cat "$1/a/kind") == ours ]] || builds=''
scenario() { root_changes --image dracut; }
play "$@"

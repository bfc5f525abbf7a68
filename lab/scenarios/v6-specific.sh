#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Connections over IPv6 to a listener on one address.
. "${BASH_SOURCE%/*}/../steps.sh"
scenario() { connects fd00::2 fd00::2; }
play "$@"

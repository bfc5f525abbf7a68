#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Connections over IPv6 to a wildcard listener.
. "${BASH_SOURCE%/*}/../steps.sh"
scenario() { connects :: fd00::2; }
play "$@"

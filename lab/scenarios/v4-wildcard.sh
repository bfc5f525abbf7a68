#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Connections over IPv4 to a wildcard listener.
. "${BASH_SOURCE%/*}/../steps.sh"
scenario() { connects 0.0.0.0 10.0.0.2; }
play "$@"

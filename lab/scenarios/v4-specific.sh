#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Connections over IPv4 to a listener on one address.
. "${BASH_SOURCE%/*}/../steps.sh"
scenario() { connects 10.0.0.2 10.0.0.2; }
play "$@"

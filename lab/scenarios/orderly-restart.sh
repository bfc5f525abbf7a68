#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The daemon is ended by SIGTERM and started again under live listeners and a live connection, on either side.
. "${BASH_SOURCE%/*}/../steps.sh"
builds="stock map"
scenario() { restarts stop; }
play "$@"

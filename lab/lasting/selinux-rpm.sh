#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The same from the files of the rpm.
package=rpm
. "${BASH_SOURCE%/*}/selinux.sh"

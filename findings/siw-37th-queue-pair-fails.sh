#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Finding: with soft iWARP a process has 36 queue pairs where pages have 4 KiB, 9 where they have 16 KiB.
#
# Each queue and each completion queue is mapped into the process by a key that the kernel gives: the lowest offset that
# is free, in pages. The library (libsiw of rdma-core) takes the key 0x90000 for "no queue" (SIW_INVAL_UOBJ_KEY of
# rdma/siw-abi.h). A queue pair with its own completion queues has four keys; so with pages of 4 KiB the 37th of a
# process gets that key, with 16 KiB the tenth. rdma_create_qp then returns -1, and errno is left as it was. The failed
# one gives its key back, so that the next one fails as well.
#
# Seen:      Linux 6.1.0-56-amd64, rdma-core 44.0: of 40 connections of one process 36 are established, and 4 have no
#            queue pair ("Success"); two processes at the same time have 20 of 20 each. Linux 7.2.13 on arm64 with pages
#            of 16 KiB, rdma-core 65.0: 9 of 32, in each of four runs.
# Expected:  102,400 queue pairs a device (SIW_MAX_QP), or an error that says what is full.
# Needs:     root, a host of the lab (lab/lab build). Exits 1 when one process has more than 36, or fewer.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap '"$top/lab/lab" down "$work/hosts"; rm -rf "$work"' EXIT
"$top/lab/lab" build
"$top/lab/lab" up "$work/hosts" --siw stock --no-daemon
on() { "$top/lab/lab" exec "$work/hosts" "$@"; } # HOST COMMAND
count() { grep -c "$1" || true; }

# A process each on the listening side, whose queue pairs are as few.
on b 'for port in 7001 7002; do rdmatest listen 10.0.0.2 $port > /tmp/listen.$port 2>&1 & done
    until [ -s /tmp/listen.7001 ] && [ -s /tmp/listen.7002 ]; do sleep 0.1; done'
one=$(on a "rdmatest connect 10.0.0.2 7001-7002 --parallel 40" || true) # its status is that of those that failed
two=$(on a "for port in 7001 7002; do rdmatest connect 10.0.0.2 \$port --parallel 20 & done; wait")
echo "$(on a uname -r): one process: $(count '^established' <<< "$one") of 40, $(count 'no queue pair' <<< "$one")" \
    "without a queue pair; two processes: $(count '^established' <<< "$two") of 40"
[[ $(count '^established' <<< "$one") -eq 36 && $(count 'no queue pair: Success' <<< "$one") -eq 4 &&
    $(count '^established' <<< "$two") -eq 40 ]]

#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Finding: once half of the ephemeral port range is bound, bind() to port 0 becomes several hundred times slower.
#
# The kernel's search (inet_csk_find_open_port) first tries only every second port of the range, from a random start.
# When all of those are taken it walks through that whole half before it tries the other one. Each step takes the lock
# of a hash bucket, so one call costs milliseconds. A bind to a port number that the caller picks itself stays cheap.
#
# Seen:      Linux 6.18 (x86-64, 2 busy processors), in a network namespace of its own with the range 32768-60999:
#            the first 1000 binds to port 0 take 13 us each, 200 after 14,200 take 9.1 ms each, to given ports 2 us.
#            The same shape was seen on emulated 5.10, 6.1, 6.12, 7.2 and 7.3 (72 to 110 ms, and 0.05 to 0.13 ms).
# Expected:  from the manual page ip(7): "port 0 picks a free port", nothing about the cost.
# Needs:     gcc, libc6-dev, util-linux (unshare), root. Exits 1 when the slope is gone.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/bind.c" << 'END'
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

/* Microseconds a bind, over so many of them. Port 0, or one after the other from the given one. */
static double binds(int count, int port)
{
    struct timespec start, end;
    double spent = 0;
    for (int i = 0; i < count; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port ? port + i : 0) };
        clock_gettime(CLOCK_MONOTONIC, &start);
        if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0) {
            perror("bind");
            exit(2);
        }
        clock_gettime(CLOCK_MONOTONIC, &end);
        spent += (end.tv_sec - start.tv_sec) * 1e6 + (end.tv_nsec - start.tv_nsec) / 1e3;
    }
    return spent / count;
}

int main(void)
{
    struct rlimit limit = { 20000, 20000 };
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
        perror("setrlimit");
        return 2;
    }
    double empty = binds(1000, 0);
    binds(13200, 0);
    double half = binds(200, 0);
    double given = binds(200, 20000); /* outside the range, as a caller's own choice */
    printf("port 0, range empty: %.1f us; half of it bound: %.1f us; a given port then: %.1f us\n", empty, half, given);
    return half > 50 * empty && half > 50 * given ? 0 : 1;
}
END
gcc -O2 -Wall -o "$work/bind" "$work/bind.c"
echo "Linux $(uname -r)"
unshare --net sh -c "echo 32768 60999 > /proc/sys/net/ipv4/ip_local_port_range && exec '$work/bind'" ||
    { echo "changed: bind to port 0 no longer slows down" >&2; exit 1; }

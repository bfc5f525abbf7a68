#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Finding: a TCP socket that is bound, but neither listens nor connects, polls as hung up (POLLHUP) from the start.
#
# Who holds a port by a bound socket and puts that socket into an epoll set is woken without end. A service manager that
# watches the descriptors it stores for one who has gone (systemd's file descriptor store, unless told FDPOLL=0) takes
# such a socket for dead and closes it: the port is free again, at once and without a word.
#
# Seen:      Linux 6.18 (x86-64): revents 0x10 (POLLHUP) with events 0, for AF_INET and AF_INET6.
#            tcp_poll() reports POLLHUP for the state TCP_CLOSE, which a bound socket is in.
# Expected:  poll(2): "POLLHUP: Hang up ... the peer closed its end of the channel"; here there never was a peer.
# Needs:     gcc, libc6-dev. Exits 1 when such a socket no longer polls as hung up.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/poll.c" << 'END'
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

int main(void)
{
    struct sockaddr_in6 any[2] = { { .sin6_family = AF_INET6 }, { .sin6_family = AF_INET } };
    int seen = 0;
    for (int i = 0; i < 2; i++) {
        int fd = socket(any[i].sin6_family, SOCK_STREAM, 0);
        if (bind(fd, (struct sockaddr *)&any[i], i ? sizeof(struct sockaddr_in) : sizeof any[i]) != 0) {
            perror("bind");
            return 2;
        }
        struct pollfd item = { .fd = fd };
        int bound = poll(&item, 1, 0);
        printf("family %d, bound: poll %d, revents 0x%x\n", any[i].sin6_family, bound, (unsigned)item.revents);
        seen += bound == 1 && (item.revents & POLLHUP);
        listen(fd, 1);
        item.revents = 0;
        printf("family %d, listening: poll %d, revents 0x%x\n", any[i].sin6_family, poll(&item, 1, 0),
            (unsigned)item.revents);
        seen += item.revents == 0;
    }
    return seen == 4 ? 0 : 1;
}
END
gcc -O2 -Wall -o "$work/poll" "$work/poll.c"
echo "Linux $(uname -r)"
"$work/poll" || { echo "changed: a bound socket no longer polls as hung up" >&2; exit 1; }

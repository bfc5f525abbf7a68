// SPDX-License-Identifier: MIT
// portwatch: another program that would like to have ports which the port mapper holds for RDMA connections.
//
//   portwatch FILE [--seconds LIFE]
//
// Tries to bind every TCP port in FILE (one a line), again and again until SIGTERM, gives back at once what it
// gets, and says in one line which ports could be had, when and for how long:
//   passes 412 longest 31 ms free 0 of 1000
//   passes 412 longest 31 ms free 1000 of 1000 from 10432 to 10711, 279 ms (41003 41004 41005 ...)
// Times are ms since boot, as in /proc/uptime. "from" is the last moment before at which the first of them was
// still held, "to" the first at which all of them were held again. Exit status: 0 when every port was held all the
// time, 1 when not.
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t ended;

static void end(int signal)
{
	(void)signal;
	ended = 1;
}

static long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

// Dual stack: whoever holds the port for either family is in the way.
static int open_socket(void)
{
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), off = 0;

	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
	return fd;
}

int main(int argc, char **argv)
{
	static unsigned short ports[65536];
	static char was_free[65536];
	int count = 0, port, fd, free_ports = 0;
	long passes = 0, longest = 0, from = 0, to = 0, begin, previous;
	FILE *file = argc > 1 ? fopen(argv[1], "r") : NULL;

	if (!file || (argc != 2 && (argc != 4 || strcmp(argv[2], "--seconds")))) {
		fputs("usage: portwatch FILE [--seconds LIFE]\n", stderr);
		return 64;
	}
	while (count < 65536 && fscanf(file, "%d", &port) == 1)
		ports[count++] = port;
	if (!count) {
		fprintf(stderr, "portwatch: no ports in %s\n", argv[1]);
		return 64;
	}
	nice(19); // else it would take half of the processor
	signal(SIGTERM, end);
	signal(SIGALRM, end);
	alarm(argc > 3 ? atoi(argv[3]) : 300);
	fd = open_socket();
	previous = begin = now_ms();
	while (!ended) {
		int free_now = 0;

		for (int i = 0; i < count; i++) {
			struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(ports[i]) };

			if (!bind(fd, (struct sockaddr *)&any, sizeof any)) {
				close(fd);
				fd = open_socket();
				free_now = 1;
				free_ports += !was_free[i];
				was_free[i] = 1;
			} else if (errno != EADDRINUSE) {
				perror("portwatch: bind");
				return 64;
			}
		}
		// Held at the last pass, free in this one.
		if (free_now && !from)
			from = previous;
		previous = begin;
		begin = now_ms();
		if (begin - previous > longest)
			longest = begin - previous;
		if (free_now)
			to = 0;
		else if (from && !to)
			to = begin;
		if (!passes++) {
			puts("watching");
			fflush(stdout);
		}
	}
	printf("passes %ld longest %ld ms free %d of %d", passes, longest, free_ports, count);
	if (free_ports) {
		printf(" from %ld to %ld, %ld ms (", from, to ? to : now_ms(), (to ? to : now_ms()) - from);
		for (int i = 0, shown = 0; i < count && shown < 5; i++)
			if (was_free[i])
				printf("%s%d", shown++ ? " " : "", ports[i]);
		printf("%s)", free_ports > 5 ? " ..." : "");
	}
	puts("");
	return free_ports > 0;
}

// SPDX-License-Identifier: MIT
// tcpport: the ordinary TCP program of the lab.
//
//   tcpport held PORT...        exit 0 when every one of the TCP ports is taken by somebody (bound is enough, listening
//                               is not needed), 1 when one is free
//   tcpport serve PORT [LIFE]   holds the port on all addresses of both families, answers every connection with the
//                               word "tcp"
//   tcpport ask ADDR PORT       prints what such a program answers
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static int bound_socket(int port)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int fd = socket(AF_INET6, SOCK_STREAM, 0), off = 0;

	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
	if (!bind(fd, (struct sockaddr *)&any, sizeof any))
		return fd;
	close(fd);
	return -1;
}

static int fail(const char *what)
{
	perror(what);
	return 2;
}

static int ask(const char *to, int port)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct timeval limit = { .tv_sec = 5 };
	char mapped[64], word[16];
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	ssize_t size;

	snprintf(mapped, sizeof mapped, "%s%s", strchr(to, ':') ? "" : "::ffff:", to);
	if (inet_pton(AF_INET6, mapped, &in6.sin6_addr) != 1)
		return fail(to);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	if (connect(fd, (struct sockaddr *)&in6, sizeof in6))
		return fail("connect");
	size = read(fd, word, sizeof word);
	if (size <= 0)
		return fail("read");
	printf("%.*s", (int)size, word);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 2 && !strcmp(argv[1], "held")) {
		int all_held = 1;

		for (int i = 2; i < argc; i++) {
			int fd = bound_socket(atoi(argv[i]));

			if (fd >= 0 || errno != EADDRINUSE) {
				printf("%s is free\n", argv[i]);
				all_held = 0;
			}
			close(fd);
		}
		return !all_held;
	}
	if (argc > 2 && !strcmp(argv[1], "serve")) {
		int fd = bound_socket(atoi(argv[2]));

		alarm(argc > 3 ? atoi(argv[3]) : 600);
		if (fd < 0 || listen(fd, 16))
			return fail(argv[2]);
		puts("serving");
		fflush(stdout);
		for (;;) {
			int peer = accept(fd, NULL, NULL);

			if (peer < 0 || write(peer, "tcp\n", 4) != 4)
				return fail("accept");
			close(peer);
		}
	}
	if (argc == 4 && !strcmp(argv[1], "ask"))
		return ask(argv[2], atoi(argv[3]));
	fputs("usage: tcpport held PORT... | serve PORT [LIFE] | ask ADDR PORT\n", stderr);
	return 64;
}

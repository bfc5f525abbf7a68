// SPDX-License-Identifier: MIT
/*
 * An ordinary program that wants TCP ports which are not its own:
 *
 *   prober FILE
 *
 * Tries to bind every port that stands in the file, a line each, on the IPv4 and the IPv6 wildcard address in turn,
 * round after round, until SIGTERM. Says "first round" after the first, "free PORT" when it got one, and at the end
 * how many rounds it made.
 */
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static volatile sig_atomic_t ended;

static void end(int signal) { ended = signal; }

static int is_free(int port, int family)
{
	struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in address4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(family, SOCK_STREAM, 0), result;

	result = bind(fd, family == AF_INET ? (void *)&address4 : (void *)&address,
		family == AF_INET ? sizeof address4 : sizeof address);
	close(fd);
	return result == 0;
}

int main(int argc, char **argv)
{
	static int ports[65536];
	FILE *file = argc == 2 ? fopen(argv[1], "r") : NULL;
	int count = 0;
	long rounds = 0;

	if (!file)
		return 2;
	while (count < 65536 && fscanf(file, "%d", &ports[count]) == 1)
		count++;
	signal(SIGTERM, end);
	for (; !ended; rounds++) {
		for (int i = 0; i < count && !ended; i++)
			if (is_free(ports[i], (rounds + i) % 2 ? AF_INET6 : AF_INET))
				fprintf(stderr, "free %d\n", ports[i]);
		if (rounds == 0)
			fprintf(stderr, "first round\n");
	}
	fprintf(stderr, "%ld rounds of %d ports\n", rounds, count);
	return 0;
}

// SPDX-License-Identifier: MIT
/*
 * Runs a program as a service manager does that keeps descriptors for it:
 *
 *   passfds SOCKET PROGRAM ARGUMENTS...
 *
 * Takes all descriptors that come over the listening unix socket of that path until it is closed, in order, and
 * passes them from 3 on, with LISTEN_PID and LISTEN_FDS.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FIRST 3
#define MOST 64
#define ASIDE 500 /* above all that is open */

static void die(const char *what)
{
	fprintf(stderr, "passfds: %s: %s\n", what, strerror(errno));
	exit(99);
}

int main(int argc, char **argv)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int from = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), count = 0;
	char number[16];

	if (argc < 3 || strlen(argv[1]) >= sizeof address.sun_path)
		die("usage");
	strcpy(address.sun_path, argv[1]);
	if (from < 0 || connect(from, (struct sockaddr *)&address, sizeof address) != 0)
		die(argv[1]);
	for (;;) {
		union { struct cmsghdr header; char bytes[CMSG_SPACE(sizeof(int))]; } control;
		char byte;
		struct iovec iov = { &byte, 1 };
		struct msghdr message = {
			.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
		};
		ssize_t size = recvmsg(from, &message, 0);
		int fd;

		if (size < 0)
			die("recvmsg");
		if (size == 0)
			break;
		memcpy(&fd, CMSG_DATA(&control.header), sizeof fd);
		if (count == MOST || dup2(fd, ASIDE + count++) < 0 || close(fd) != 0)
			die("dup2");
	}
	close(from);
	for (int i = 0; i < count; i++)
		if (dup2(ASIDE + i, FIRST + i) < 0 || close(ASIDE + i) != 0)
			die("dup2");
	snprintf(number, sizeof number, "%d", getpid());
	setenv("LISTEN_PID", number, 1);
	snprintf(number, sizeof number, "%d", count);
	setenv("LISTEN_FDS", number, 1);
	execv(argv[2], argv + 2);
	die(argv[2]);
}

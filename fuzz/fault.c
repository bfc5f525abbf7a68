// SPDX-License-Identifier: MIT
/* Deliberate faults, preloaded into the daemon: each must be found by the run. $FUZZ_FAULT names one. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SOON 3000 /* messages that pass before something happens */

static long sends;

static int is(const char *fault)
{
	const char *asked = getenv("FUZZ_FAULT");

	return asked && strcmp(asked, fault) == 0;
}

static void *sleep_on(void *nothing)
{
	poll(NULL, 0, -1);
	return nothing;
}

static void misbehave(void)
{
	pthread_t thread;

	sends++;
	if (is("memory"))
		memset(malloc(3072), 1, 3072); /* far from the limit of the address space, far above what may grow */
	if (sends == SOON && is("die"))
		abort();
	if (sends == SOON && is("exit"))
		_exit(0);
	if (sends == SOON && is("hang"))
		poll(NULL, 0, -1);
	if (sends % SOON == 0 && is("descriptor"))
		fcntl(2, F_DUPFD, 0);
	if (sends % SOON == 0 && is("thread"))
		pthread_create(&thread, NULL, sleep_on, NULL);
}

/* To peers. */
ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	static ssize_t (*real)(int, const struct msghdr *, int);
	uint8_t *bytes = message->msg_iov->iov_base;

	real = real ? real : (ssize_t(*)(int, const struct msghdr *, int))dlsym(RTLD_NEXT, "sendmsg");
	misbehave();
	if (sends > SOON && is("garbage"))
		bytes[1] = 1;
	if (sends > SOON && bytes[0] >> 4 == 1 && is("accept-twice"))
		real(fd, message, flags);
	return real(fd, message, flags);
}

/* To the kernel: nlmsg_type at 4, nlmsg_seq at 8, SEQ at 20, the mapped address of an ADD at 160. */
ssize_t send(int fd, const void *buffer, size_t size, int flags)
{
	static ssize_t (*real)(int, const void *, size_t, int);
	uint8_t *bytes = (uint8_t *)buffer;
	int is_add = size > 200 && (bytes[4] | bytes[5] << 8) == (2 << 10 | 1);

	real = real ? real : (ssize_t(*)(int, const void *, size_t, int))dlsym(RTLD_NEXT, "send");
	misbehave();
	if (sends > SOON && is_add && is("wrong-port"))
		bytes[162] = bytes[163] = 99; /* 25443 */
	if (sends > SOON && is("short"))
		size = bytes[0] -= 4;
	if (sends > SOON && is_add && is("answer-twice")) {
		real(fd, buffer, size, flags);
		bytes[11] ^= 0x80;
	}
	if (sends > SOON && is_add && is("unasked"))
		bytes[23] ^= 0x80;
	return real(fd, buffer, size, flags);
}

/* The port stays bound, the daemon does not know. */
int close(int fd)
{
	static int (*real)(int);
	static long closes;
	int type = 0;
	socklen_t length = sizeof type;

	real = real ? real : (int (*)(int))dlsym(RTLD_NEXT, "close");
	if (is("port") && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_STREAM && ++closes == 500)
		return 0;
	return real(fd);
}

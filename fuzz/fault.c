// SPDX-License-Identifier: MIT
/* Deliberate faults, preloaded into the daemon: each must be found by the run. $FUZZ_FAULT names one. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SOON 1000 /* messages that pass before something happens */

#define DEVICE_TYPE 0x000e0005 /* nla_type and nla_len of RDMA_NLDEV_ATTR_DEV_NODE_TYPE */

static long sends;
static bool is_set_up; /* it has said something to the kernel */

static int is(const char *fault)
{
	const char *asked = getenv("FUZZ_FAULT");

	return asked && strcmp(asked, fault) == 0;
}

/* Not the first process of a run. */
static bool is_next(void)
{
	const char *life = getenv("FUZZ_LIFE");

	return life && strcmp(life, "0") != 0;
}

static bool is_stream(int fd)
{
	int type = 0;
	socklen_t length = sizeof type;

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_STREAM;
}

/* One of the ports of the process before, without a word. */
static void forget(void)
{
	int fd = 3;

	while (fd < 2048 && !is_stream(fd))
		fd++;
	dup3(2, fd, O_CLOEXEC); /* which its sandbox lets it do */
}

static void *sleep_on(void *nothing)
{
	poll(NULL, 0, -1);
	return nothing;
}

/* Seconds since the first call. */
static double running(void)
{
	static struct timespec first;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (!first.tv_sec)
		first = now;
	return now.tv_sec - first.tv_sec + (now.tv_nsec - first.tv_nsec) / 1e9;
}

static void misbehave(void)
{
	static time_t last;
	static long leaked;
	pthread_t thread;

	sends++;
	/* However fast the machine is: far above what may grow, far from the limit of the address space. */
	if (is("memory") && leaked < 300 && leaked < 10 * running()) {
		leaked++;
		memset(malloc(1 << 20), 1, 1 << 20);
	}
	if (sends == SOON && is("die"))
		abort();
	if (sends == SOON && is("exit"))
		_exit(0);
	if (sends == SOON && is("hang"))
		poll(NULL, 0, -1);
	if (sends % SOON == 0 && is("descriptor"))
		fcntl(2, F_DUPFD, 0);
	if (is("thread") && time(NULL) != last) { /* one a second, however fast the machine is */
		last = time(NULL);
		pthread_create(&thread, NULL, sleep_on, NULL);
	}
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
	if (!is_set_up && is_next() && is("forgotten"))
		forget();
	is_set_up = true;
	if (bytes[5] >> 2 == 5 && is("no-audit"))
		return size;
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

/* From the kernel. */
ssize_t recvfrom(int fd, void *restrict buffer, size_t size, int flags, struct sockaddr *restrict from,
	socklen_t *restrict length)
{
	static ssize_t (*real)(int, void *, size_t, int, struct sockaddr *, socklen_t *);
	uint8_t *bytes = buffer;
	uint32_t attribute;
	ssize_t received;

	real = real ? real
		: (ssize_t(*)(int, void *, size_t, int, struct sockaddr *, socklen_t *))dlsym(RTLD_NEXT, "recvfrom");
	received = real(fd, buffer, size, flags, from, length);
	if (received < NLMSG_HDRLEN || !from || from->sa_family != AF_NETLINK)
		return received;
	if (is("foreign-audit"))
		((struct sockaddr_nl *)from)->nl_pid = 0;
	if (is("interrupted-audit"))
		bytes[6] &= ~NLM_F_DUMP_INTR;
	for (ssize_t at = NLMSG_HDRLEN; is("one-device") && at + 8 <= received; at += 4) {
		memcpy(&attribute, bytes + at, 4);
		if (attribute == DEVICE_TYPE && bytes[at - 5] == '1') /* siw1: behind its name */
			bytes[at + 4] = 1;
	}
	return received;
}

/* A port of an earlier process is claimed again, but is not. */
int bind(int fd, const struct sockaddr *address, socklen_t length)
{
	static int (*real)(int, const struct sockaddr *, socklen_t);
	static long binds;

	real = real ? real : (int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "bind");
	if (is("not-claimed") && is_next() && !is_set_up && is_stream(fd) && ++binds % 8 == 0)
		return 0;
	return real(fd, address, length);
}

/* The port stays bound, the daemon does not know; or what it was given stays open. */
int close(int fd)
{
	static int (*real)(int);
	static long closes;
	bool is_early = is_next() && !is_set_up;
	int domain = 0;
	socklen_t length = sizeof domain;

	real = real ? real : (int (*)(int))dlsym(RTLD_NEXT, "close");
	if (is("port") && is_stream(fd) && ++closes == 500)
		return 0;
	if (is("left-bound") && is_early && is_stream(fd))
		return 0;
	if (is("carrier") && is_early && getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 && domain == AF_UNIX)
		return 0;
	return real(fd);
}

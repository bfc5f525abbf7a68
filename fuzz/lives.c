// SPDX-License-Identifier: MIT
/* Episodes: with endpoints that the kernel has chosen (endpoints.c), so that it is known what the daemon must hold.
 * Audits: messages are lost, and the daemon asks for the endpoints. Lives: it ends in many ways, and another one
 * continues with what there is. */
#define _GNU_SOURCE
#include "fuzz.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define START_TIME 10.0        /* s */
#define HEADER 512             /* of the state: its rows follow */
#define OTHERS 3               /* programs that take ports */
#define CLAIM_RETRY 2100       /* ms */

static int others[OTHERS], taken;

static void noise(struct random *random)
{
	static struct input input;

	for (uint32_t n = below(random, 30); n && !has_failed(); n--) {
		input_make(&input, random->state, n);
		if (strchr("UCH", input.kind)) {
			judge_sent(&input);
			host_send(&input);
		}
	}
	host_dismiss();
}

/* ---- audits ---- */

/* The kernel asks who is its port mapper. */
static void ask_registration(uint32_t sequence)
{
	static struct input input = { .kind = 'K' };
	static const uint32_t zero;
	uint8_t *at = begin(input.bytes, CLIENT << 10 | REG_PID, NLM_F_REQUEST, sequence);

	at = attribute(attribute(at, 1, &zero, 4), 2, "eth0\0\0\0\0\0\0\0\0\0\0\0", 16);
	at = attribute(at, 3, "siw0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 32);
	at = attribute(at, 4, "iWarpPortMapperUser\0\0\0\0\0\0\0\0\0\0\0\0", 32);
	input.size = finish(input.bytes, at);
	judge_sent(&input);
	host_send(&input);
	fence();
	pass(400); /* and it is answered */
}

/* So another process was it meanwhile. */
static void register_again(void) { ask_registration(host_sequence()); }

/* iw_cm is loaded again, and knows nothing of what noise said. */
static void reload(void) { ask_registration(1); }

static void audits(struct random *random)
{
	for (uint32_t n = 3 + below(random, 4); n && !has_failed(); n--) {
		endpoints_change(random, below(random, 40), below(random, 20), below(random, 2));
		if (!endpoints_await())
			return fail("hang: an ADD or QUERY is not answered");
		register_again();
		for (uint32_t lies = below(random, 8), number = 0; lies && !has_failed(); lies--) {
			/* one that is told again could be believed */
			number = number && below(random, 3) ? number : 1 + below(random, UINT32_MAX);
			endpoints_audit(number);
			endpoints_change(random, below(random, 3), below(random, 4), below(random, 2));
			noise(random);
			endpoints_await();
		}
		register_again(); /* what nobody heard of it can know of only by this */
		endpoints_settle();
	}
}

/* ---- what the next process finds ---- */

static int open_strange(struct random *random)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(below(random, 2) ? INADDR_LOOPBACK : 0),
		.sin_port = htons(LOWEST_PORT + below(random, HIGHEST_PORT - LOWEST_PORT)) };
	int kind = below(random, 3) ? below(random, 12) : 5, pair[2] = { -1, -1 }, inner[2];
	int type = kind % 2 ? SOCK_STREAM : SOCK_DGRAM;

	switch (kind) {
	case 0: (void)!pipe2(pair, O_CLOEXEC); break;
	case 1: pair[0] = open("/dev/null", O_RDWR | O_CLOEXEC); break;
	case 2: pair[0] = open(host_folder(), O_RDONLY | O_CLOEXEC); break;
	case 3: pair[0] = open("/proc/self/exe", O_RDONLY | O_CLOEXEC); break;
	case 4: case 5: pair[0] = host_open_there(AF_INET, type, (struct sockaddr *)&any, sizeof any); break;
	case 6: case 7: pair[0] = host_open_there(AF_INET6, type, NULL, 0); break;
	case 8:
		any.sin_port = htons(41002);
		if ((pair[0] = host_open_there(AF_INET, type, NULL, 0)) >= 0)
			(void)!connect(pair[0], (struct sockaddr *)&any, sizeof any);
		break;
	case 9:
		if ((pair[0] = host_open_there(AF_INET, type, (struct sockaddr *)&any, sizeof any)) >= 0)
			listen(pair[0], 1);
		break;
	case 10: (void)!socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair); break;
	case 11: /* a carrier of strange things, or one with nothing inside that does not end */
		(void)!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
		inner[0] = eventfd(0, EFD_CLOEXEC);
		inner[1] = host_open_there(AF_INET, SOCK_STREAM, (struct sockaddr *)&any, sizeof any);
		for (uint32_t n = below(random, 4); n; n--)
			host_send_fds(pair[1], "PxP" + below(random, 3), 1, inner, below(random, 3));
		close(inner[0]);
		close(inner[1]);
	}
	if (pair[1] >= 0 && below(random, 3))
		close(pair[1]); /* else it is open as long as this process */
	return pair[0];
}

/* What the manager gives to the next process: all that it has, or less, and more. Returns whether the netlink socket
 * is among it. */
static int choose_store(struct random *random, int *fds, bool *has_netlink)
{
	int had = host_take_stored(fds), count = 0, room = 2 * STORED, way = below(random, 4);

	*has_netlink = false;
	for (int i = 0; i < had; i++) {
		int domain = 0;
		socklen_t length = sizeof domain;

		if (way == 0 || (way == 1 && below(random, 2))) {
			close(fds[i]);
			continue;
		}
		/* the daemon's netlink socket is one of unix here; carriers of ports are stored later */
		getsockopt(fds[i], SOL_SOCKET, SO_DOMAIN, &domain, &length);
		*has_netlink |= domain == AF_UNIX && i == 0;
		fds[count++] = fds[i];
	}
	for (uint32_t n = below(random, 2) ? below(random, 6) : 0; n && count < room; n--) {
		int at = below(random, count + 1), strange = count && below(random, 4) == 0 ? dup(fds[below(random, count)])
			: open_strange(random);

		if (strange < 0)
			continue;
		memmove(fds + at + 1, fds + at, (count++ - at) * sizeof *fds);
		fds[at] = strange;
	}
	return count;
}

static void state_path(char *path, const char *name) { snprintf(path, 100, "%s/state/%s", host_folder(), name); }

static void copy(const char *from, const char *to)
{
	static char bytes[4 << 20];
	int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ssize_t size = read(in, bytes, sizeof bytes);

	(void)!write(out, bytes, size < 0 ? 0 : size);
	close(in);
	close(out);
}

/* What stands in the state directory: mostly what the last process left. True when it does not say any more how old
 * the requests in the socket can be. */
static bool change_state(struct random *random, bool has_netlink)
{
	char path[100], old[100], fresh[100];
	struct stat status;
	int fd, way = below(random, 12);

	state_path(path, "state");
	state_path(old, "old");
	state_path(fresh, "state.new");
	if ((fd = open(path, O_RDWR | O_CLOEXEC)) < 0 || fstat(fd, &status) != 0)
		return true;
	switch (way) {
	case 0: (void)!ftruncate(fd, below(random, status.st_size)); break;
	case 1: /* rows of which some are damaged */
		for (uint32_t n = 1 + below(random, 40); n && status.st_size > HEADER; n--) {
			uint32_t value = below(random, UINT32_MAX), range = below(random, 2) ? 16384 : status.st_size - HEADER;

			(void)!pwrite(fd, &value, 4, HEADER + below(random, range));
		}
		break;
	case 2: unlink(path); break;
	case 3: copy(path, old); break;
	case 4: /* of an earlier time, which only a socket of that time would make believable */
		if (!has_netlink && access(old, R_OK) == 0)
			copy(old, path);
		break;
	case 5: copy("/proc/self/exe", fresh); break; /* of a start that did not come to its end */
	case 6: host_configure(3000 + below(random, 3000)); break;
	}
	close(fd);
	return way == 0 || way == 2;
}

/* ---- lives ---- */

static bool is_ready(void) { return host_is_ready() || !host_runs(); }
static bool is_alone(void) { return !host_has_next(); }
static bool has_ended(void) { return !host_runs(); }

static void wait_for(bool (*is_there)(void), const char *what)
{
	for (double since = patience(); !is_there() && !has_failed(); host_wait(5)) {
		host_drain();
		if (patience() - since > START_TIME)
			fail("hang: %s within %.0f s", what, START_TIME);
	}
}

/* A little later, in the middle of something. */
static void linger(struct random *random, uint32_t microseconds)
{
	for (double until = seconds() + below(random, microseconds) / 1e6; seconds() < until; host_wait(1))
		host_drain();
}

static void start_next(struct random *random, bool *is_lossy)
{
	int fds[3 * STORED], count;
	bool has_netlink;

	count = choose_store(random, fds, &has_netlink);
	*is_lossy |= change_state(random, has_netlink) || !has_netlink;
	host_drain();
	for (uint32_t n = below(random, 8) ? 0 : OTHERS; n; n--) {
		struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(endpoints_port(below(random, 100))) };

		if (any.sin6_port)
			others[taken++] = host_open_there(AF_INET6, SOCK_STREAM, (struct sockaddr *)&any, sizeof any);
	}
	host_launch(NULL, fds, count);
	while (count)
		close(fds[--count]);
	wait_for(is_ready, "the next daemon is not ready");
}

static void one_life(struct random *random)
{
	bool is_lossy = false, by_takeover = below(random, 3) == 0;

	endpoints_change(random, below(random, 12), below(random, 8), true);
	linger(random, 2000);
	if (by_takeover) {
		if (below(random, 4) == 0)
			host_configure(3000 + below(random, 3000));
		host_let_end();
		host_launch("--takeover", NULL, 0);
		if (below(random, 3) == 0) {
			linger(random, 60000);
			host_kill_next();
			wait_for(is_alone, "a process does not end");
			is_lossy = !fence() || !host_runs(); /* the first one continues, or had nothing more to do */
		} else {
			linger(random, 5000);
			endpoints_change(random, below(random, 6), below(random, 4), true);
			wait_for(is_ready, "the daemon that takes over is not ready");
			if (!has_failed() && host_has_next() && host_runs())
				wait_for(has_ended, "the daemon that was taken over does not end");
		}
	} else {
		bool is_crash = below(random, 2);

		is_lossy = is_crash;
		host_signal(is_crash ? SIGKILL : SIGTERM);
		if (!is_crash && below(random, 6) == 0) {
			linger(random, 3000);
			host_signal(SIGKILL);
			is_lossy = true;
		}
		endpoints_change(random, below(random, 4), below(random, 4), true);
		wait_for(has_ended, "the daemon does not end");
	}
	if (!host_runs() && !host_has_next() && !has_failed())
		start_next(random, &is_lossy);
	if (has_failed())
		return;
	host_settle();
	if (!endpoints_await() && !has_failed()) {
		if (!is_lossy)
			return fail("hang: an ADD or QUERY is not answered by either process");
		endpoints_give_up();
	}
	endpoints_check();
	if (taken) {
		while (taken)
			close(others[--taken]);
		pass(CLAIM_RETRY);
		endpoints_check();
	}
	if (!has_failed())
		endpoints_check_ports();
}

static void lives(struct random *random)
{
	for (uint32_t n = 3 + below(random, 6); n && !has_failed(); n--) {
		one_life(random);
		noise(random);
		if (below(random, 2) && !has_failed())
			endpoints_settle();
	}
	if (!has_failed())
		endpoints_settle();
	host_configure(MAPPINGS);
}

void episode(const struct input *input)
{
	struct random random = { get64(input->bytes) };
	int port;

	calm();
	if (!fence())
		return;
	remove_all();
	reload();
	endpoints_begin();
	endpoints_change(&random, 20 + below(&random, 40), 0, true);
	if (!endpoints_await() && !has_failed())
		return fail("hang: an ADD or QUERY is not answered");
	if (input->to == 0)
		audits(&random);
	else
		lives(&random);
	if (has_failed())
		return;
	endpoints_end();
	endpoints_settle();
	if ((port = host_held(1, 65535)))
		fail("port: TCP port %d is bound though there are no mappings", port);
}

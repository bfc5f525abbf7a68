// SPDX-License-Identifier: MIT
/* Where the daemon runs: a network namespace of its own, joined to ours by a cable; the player of the simulated
 * kernel; a service manager; sockets of its peers. */
#define _GNU_SOURCE
#include "fuzz.h"
#include "../simkernel/simkernel.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <poll.h>
#include <rdma/rdma_netlink.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define ADDRESS_SPACE (1ul << 30)  /* as the service unit has it */
#define DESCRIPTORS 2048
#define CHARGE 1280
#define REPLAY_ROOM (64 << 10)
#define LINKS 8

static char folder[64];
static const char *daemon_path, *preloaded, *fault_name;
static pid_t daemon_pid, next_pid;  /* next_pid: takes over from the other */
static int lives, log_pipe[2], own_namespace, daemon_namespace;
static int listener, manager, silent_peer = -1;
static struct simkernel *kernel;
static bool is_stopped, may_end, is_ready;

/* The netlink sockets that are open, by whomever. */
static struct link {
	int fd, page_fd;
	uint64_t inode;
	struct simsocket *page;
	bool asks; /* about devices */
} links[LINKS], *speaking = links, *port_mapper; /* whose message it is; whom the kernel takes for its port mapper */

/* What the manager keeps for the next start. */
static struct { char name[16]; int fd; } stored[STORED];
static int stored_count;
static int sockets[SOCKETS];
static struct sockaddr_in6 destinations[DESTINATIONS];

static char log_lines[64][400];
static unsigned log_count;
static struct dumped *dump_rows;
static int dump_shown, dump_total;

static void need(bool good, const char *what)
{
	if (!good) {
		fprintf(stderr, "fuzz: %s: %s\n", what, strerror(errno));
		if (daemon_pid > 0)
			host_print_log(stderr);
		exit(2);
	}
}

static void shell(const char *format, ...)
{
	char command[2048];
	va_list arguments;

	__builtin_va_start(arguments, format);
	vsnprintf(command, sizeof command, format, arguments);
	__builtin_va_end(arguments);
	need(system(command) == 0, command);
}

/* ---- the simulated kernel's side ---- */

static int listen_at(int type, const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", folder, name);
	need(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0, address.sun_path);
	return fd;
}

static void make_kernel(void)
{
	char path[100];
	int fd;

	snprintf(folder, sizeof folder, "/tmp/iwpmd-fuzz-XXXXXX");
	need(mkdtemp(folder), "mkdtemp");
	snprintf(path, sizeof path, "%s/kernel", folder);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	need(fd >= 0 && ftruncate(fd, SIMKERNEL_REPLAY_AT + REPLAY_ROOM) == 0, path);
	kernel = mmap(NULL, SIMKERNEL_REPLAY_AT + REPLAY_ROOM, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	need(kernel != MAP_FAILED, "mmap");
	close(fd);
	*kernel = (struct simkernel){ .magic = SIMKERNEL_MAGIC,
		.next_sequence = 1,
		.abi = 4,
		.clients = 1 << CLIENT | 1 << 3 | 1 << RDMA_NL_NLDEV,
		.replay_per_datagram = 12,
		.rmem_max = 212992,
		.own_end = 1 };
	listener = listen_at(SOCK_SEQPACKET, "socket");
	need(listen(listener, 4) == 0, "listen");
	manager = listen_at(SOCK_DGRAM, "notify");
}

/* A datagram that may carry descriptors; the number of these, or -1. */
static int receive_fds(int from, void *text, size_t *size, int *fds, int flags)
{
	union { struct cmsghdr header; char bytes[CMSG_SPACE(MAX_FDS * sizeof(int))]; } control;
	struct iovec iov = { text, *size };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
	};
	ssize_t received = recvmsg(from, &message, flags | MSG_CMSG_CLOEXEC);
	int count = 0;

	*size = received < 0 ? 0 : received;
	for (struct cmsghdr *at = CMSG_FIRSTHDR(&message); received >= 0 && at; at = CMSG_NXTHDR(&message, at))
		if (at->cmsg_level == SOL_SOCKET && at->cmsg_type == SCM_RIGHTS) {
			count = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);
			memcpy(fds, CMSG_DATA(at), count * sizeof(int));
		}
	return received < 0 ? -1 : count;
}

bool host_send_fds(int to, const void *text, size_t size, const int *fds, int count)
{
	union { struct cmsghdr header; char bytes[CMSG_SPACE(MAX_FDS * sizeof(int))]; } control;
	struct iovec iov = { (void *)text, size };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (count) {
		control.header = (struct cmsghdr){ CMSG_LEN(count * sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.header), fds, count * sizeof(int));
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
	}
	return sendmsg(to, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

static void add_link(const struct simannounce *hello, const int *fds)
{
	struct link *link = links;

	while (link->page && link < links + LINKS - 1)
		link++;
	need(!link->page, "so many netlink sockets");
	*link = (struct link){ fds[0], fds[1], hello->inode,
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fds[1], 0), false };
	need(link->page != MAP_FAILED, "page");
}

static void drop_link(struct link *link)
{
	if (link->asks)
		endpoints_audited();
	if (port_mapper == link)
		port_mapper = NULL;
	munmap(link->page, 4096);
	close(link->fd);
	close(link->page_fd);
	*link = (struct link){ 0 };
}

/* One that has died gets none: the number 0 means this process and all beside it. */
static bool signal_daemon(int number)
{
	return daemon_pid > 0 && kill(daemon_pid, number) == 0;
}

void host_go_on(void)
{
	if (is_stopped)
		signal_daemon(SIGCONT);
	is_stopped = false;
}

/* A process opened a netlink socket, or was handed one. It may have been killed meanwhile. */
static void take_announcements(void)
{
	for (int player; (player = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0; close(player)) {
		host_go_on(); /* it may stand still before it has said what it opened */
		struct simannounce hello = { 0 };
		size_t size = sizeof hello;
		int fds[MAX_FDS], count = receive_fds(player, &hello, &size, fds, 0);
		struct link *known = NULL;

		if (hello.magic == SIMKERNEL_MAGIC && count == 2) {
			add_link(&hello, fds);
			host_send_fds(player, "", 1, NULL, 0);
		} else if (hello.magic == SIMKERNEL_ADOPT) {
			for (int i = 0; i < LINKS; i++)
				known = links[i].page && links[i].inode == hello.inode ? &links[i] : known;
			if (known)
				host_send_fds(player, "\1", 1, (int[]){ known->fd, known->page_fd }, 2);
			else
				host_send_fds(player, "", 1, NULL, 0);
		}
	}
}

static bool has_room(const struct simsocket *page)
{
	return __atomic_load_n(&page->rmem, __ATOMIC_SEQ_CST) <= page->rcvbuf &&
		!__atomic_load_n(&page->congested, __ATOMIC_SEQ_CST);
}

static void enqueue(struct link *to, uint32_t source, const uint8_t *bytes, size_t size)
{
	struct simheader header = { CHARGE, source };
	struct iovec iov[2] = { { &header, sizeof header }, { (void *)bytes, size } };
	struct msghdr message = { .msg_iov = iov, .msg_iovlen = 2 };

	__atomic_add_fetch(&to->page->rmem, CHARGE, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&to->page->queued, 1, __ATOMIC_SEQ_CST);
	while (sendmsg(to->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
		if (errno == EAGAIN) {
			host_wait(1);
			continue;
		}
		__atomic_sub_fetch(&to->page->rmem, CHARGE, __ATOMIC_SEQ_CST); /* it is closed */
		__atomic_sub_fetch(&to->page->queued, 1, __ATOMIC_SEQ_CST);
		return;
	}
}

/* A kernel whose port mapper is gone says nothing. */
static void send_kernel(uint32_t source, const uint8_t *bytes, size_t size)
{
	for (double since = patience(); port_mapper && !has_room(port_mapper->page); host_wait(1)) {
		host_go_on();
		host_drain();
		if (port_mapper && patience() - since > ANSWER_TIME)
			return fail("hang: the daemon does not read its netlink socket, which has %d of %d bytes, %d "
			            "datagrams, congested %d",
				port_mapper->page->rmem, port_mapper->page->rcvbuf, port_mapper->page->queued,
				port_mapper->page->congested);
	}
	if (port_mapper)
		enqueue(port_mapper, source, bytes, size);
}

bool host_is_auditing(void)
{
	bool result = false;

	for (int i = 0; i < LINKS; i++)
		result |= links[i].page && links[i].asks;
	return result;
}

bool host_is_asked(void) { return port_mapper != NULL; }

void host_say(uint32_t source, const uint8_t *bytes, size_t size) { enqueue(speaking, source, bytes, size); }

void host_say_lost(void) { __atomic_store_n(&speaking->page->error, ENOBUFS, __ATOMIC_SEQ_CST); }

void host_advance(uint64_t milliseconds)
{
	__atomic_add_fetch(&kernel->clock_ahead, milliseconds * 1000000, __ATOMIC_SEQ_CST);
}

static void drop_one(void)
{
	struct simsocket *page = port_mapper ? port_mapper->page : NULL;

	if (page && !__atomic_exchange_n(&page->congested, page->queued > 0, __ATOMIC_SEQ_CST))
		__atomic_store_n(&page->error, ENOBUFS, __ATOMIC_SEQ_CST);
}

void host_set_replay(const uint8_t *bytes, size_t size)
{
	/* All replayed messages have the length of the first. */
	uint32_t each = size >= 16 ? get32(bytes) : 0;

	need(size <= REPLAY_ROOM, "so long a replay");
	__atomic_add_fetch(&kernel->replay_version, 1, __ATOMIC_SEQ_CST);
	memcpy((uint8_t *)kernel + SIMKERNEL_REPLAY_AT, bytes, size);
	kernel->replay_bytes = size;
	kernel->replay_count = each ? size / each : 0;
	__atomic_add_fetch(&kernel->replay_version, 1, __ATOMIC_SEQ_CST);
}

uint32_t host_sequence(void) { return __atomic_fetch_add(&kernel->next_sequence, 1, __ATOMIC_SEQ_CST); }
uint32_t host_port_id(void) { return speaking->page->portid; }
uint32_t host_replay_count(void) { return kernel->replay_count; }

/* ---- the daemon's process ---- */

static uint16_t asking_port(int family);
static void set_destination(enum destination name, const char *address, uint16_t port);
static void heckle(const struct input *input);

static void run_daemon(const char *option, const int *fds, int count)
{
	char config[100], notify[100], number[16];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	need(setns(daemon_namespace, CLONE_NEWNET) == 0, "setns");
	snprintf(config, sizeof config, "%s/conf", folder);
	snprintf(notify, sizeof notify, "%s/notify", folder);
	setenv("LD_PRELOAD", preloaded, 1);
	setenv("SIMKERNEL", folder, 1);
	setenv("NOTIFY_SOCKET", notify, 1);
	if (fault_name)
		setenv("FUZZ_FAULT", fault_name, 1);
	snprintf(number, sizeof number, "%d", lives);
	setenv("FUZZ_LIFE", number, 1);
	snprintf(number, sizeof number, "%d", getpid());
	setenv("LISTEN_PID", number, 1);
	snprintf(number, sizeof number, "%d", count);
	setenv("LISTEN_FDS", number, 1);
	unsetenv("WATCHDOG_USEC");
	setrlimit(RLIMIT_AS, &(struct rlimit){ ADDRESS_SPACE, ADDRESS_SPACE });
	close_range(3, ~0u, CLOSE_RANGE_CLOEXEC); /* also what this process was given */
	setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
	dup2(log_pipe[1], 1);
	dup2(log_pipe[1], 2);
	for (int i = 0; i < count; i++) /* above all that is open */
		need(fcntl(fds[i], F_DUPFD_CLOEXEC, 1000) == 1000 + i, "fcntl");
	for (int i = 0; i < count; i++)
		dup2(1000 + i, 3 + i);
	setrlimit(RLIMIT_NOFILE, &(struct rlimit){ DESCRIPTORS, DESCRIPTORS });
	execl(daemon_path, daemon_path, "-f", "-c", config, option, (char *)NULL);
	_exit(127);
}

/* With an option, --takeover, beside the one that runs. The descriptors stay ours. */
void host_launch(const char *option, const int *fds, int count)
{
	pid_t pid = fork();

	need(pid >= 0, "fork");
	if (pid == 0)
		run_daemon(option, fds, count);
	is_ready = false;
	lives++;
	if (daemon_pid) {
		next_pid = pid;
	} else {
		daemon_pid = pid;
		may_end = false;
	}
}

void host_signal(int number)
{
	may_end = true;
	signal_daemon(number);
}

void host_kill_next(void)
{
	if (next_pid > 0)
		kill(next_pid, SIGKILL);
}

bool host_is_ready(void) { return is_ready; }
bool host_runs(void) { return daemon_pid > 0; }
bool host_has_next(void) { return next_pid > 0; }

/* From now on its end is a fault. */
void host_settle(void)
{
	if (next_pid && !daemon_pid) {
		daemon_pid = next_pid;
		next_pid = 0;
	}
	may_end = false;
	set_destination(V4_ASKING, "10.0.0.1", asking_port(AF_INET));
	set_destination(V6_ASKING, "fd00::1", asking_port(AF_INET6));
}

void host_let_end(void) { may_end = true; }

void host_configure(int max_mappings)
{
	char name[100];
	FILE *config;

	snprintf(name, sizeof name, "%s/conf", folder);
	need((config = fopen(name, "w")) != NULL, name);
	fprintf(config,
		"state_dir=%s/state\nmax_mappings=%d\nport_range=%d-%d\nquery_deadline=800\nquery_retry=200\n"
		"unreachable_memory=50\n",
		folder, max_mappings, LOWEST_PORT, HIGHEST_PORT);
	fclose(config);
}

const char *host_folder(void) { return folder; }

/* ---- the service manager ---- */

static void drain_manager(void)
{
	char text[2048], *name;
	int fds[MAX_FDS], count;

	for (size_t size; size = sizeof text - 1, (count = receive_fds(manager, text, &size, fds, MSG_DONTWAIT)) >= 0;) {
		text[size] = 0;
		name = strstr(text, "FDNAME=");
		name = name ? strtok(name + 7, "\n") : NULL;
		is_ready |= strstr(text, "READY=1") == text;
		for (int i = stored_count - 1; i >= 0 && name && strstr(text, "FDSTOREREMOVE=1"); i--)
			if (!strcmp(stored[i].name, name)) {
				close(stored[i].fd);
				stored[i] = stored[--stored_count];
			}
		for (int i = 0; i < count; i++)
			if (name && strstr(text, "FDSTORE=1") == text && stored_count < STORED) {
				snprintf(stored[stored_count].name, sizeof stored->name, "%s", name);
				stored[stored_count++].fd = fds[i];
			} else {
				close(fds[i]); /* of BARRIER=1: the sender waits for it */
			}
	}
}

/* What is stored is the caller's from now on; the netlink socket stands first. */
int host_take_stored(int *fds)
{
	int count = stored_count;

	for (int i = 0; i < count; i++)
		fds[i] = stored[i].fd;
	stored_count = 0;
	return count;
}

/* ---- who speaks to the hand-over socket ---- */

enum heckler { CLOSES, SPEAKS, PASSES, ASKS, ASKS_AND_READS, RELOADS, STAYS, STALLS };

static void heckle(const struct input *input)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int peer = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), fds[MAX_FDS], count;
	char text[4096];

	snprintf(address.sun_path, sizeof address.sun_path, "%s/state/takeover", folder);
	if (connect(peer, (struct sockaddr *)&address, sizeof address) != 0) {
		close(peer);
		return;
	}
	switch (input->to) {
	case SPEAKS:
		send(peer, input->bytes, input->size, MSG_NOSIGNAL);
		break;
	case PASSES:
		host_send_fds(peer, input->bytes, input->size, (int[]){ peer, manager, log_pipe[1] }, 3);
		break;
	case RELOADS: /* the configuration that it has, or nonsense for another one */
		count = snprintf(text, sizeof text, "C%s/conf%s", folder, input->size & 1 ? "" : "x") + 1;
		memcpy(text + count, input->bytes, input->size < 3000 ? input->size : 3000);
		if (input->size & 1) {
			snprintf(text + count, sizeof text - count, "%s/conf", folder);
			FILE *config = fopen(text + count, "r");

			count += fread(text + count, 1, sizeof text - count, config);
			fclose(config);
		} else {
			count += input->size < 3000 ? input->size : 3000;
		}
		send(peer, text, count, MSG_NOSIGNAL);
		break;
	case ASKS: case ASKS_AND_READS: case STALLS:
		send(peer, "T", 1, MSG_NOSIGNAL);
		for (uint32_t n = 0; input->to != ASKS && n < input->size % 4; n++) {
			size_t size = sizeof text;

			if (poll(&(struct pollfd){ peer, POLLIN, 0 }, 1, 100) == 1)
				for (count = receive_fds(peer, text, &size, fds, MSG_DONTWAIT); count > 0;)
					close(fds[--count]);
		}
		if (input->to == ASKS_AND_READS && input->size)
			send(peer, "x", 1, MSG_NOSIGNAL); /* in place of the receipt */
	}
	if (input->to < STAYS) {
		close(peer);
		return;
	}
	host_dismiss();
	silent_peer = peer;
}

void host_dismiss(void)
{
	if (silent_peer >= 0)
		close(silent_peer);
	silent_peer = -1;
}

/* ---- the cable ---- */

/* Ours is b: 10.0.0.2 and .3 have port mappers, all other addresses closed ports; the daemon's is a. What it sends
 * to 10.2/16 is lost. */
static void lay_cable(void)
{
	shell("set -e; echo 0 > /proc/sys/net/ipv4/icmp_ratelimit\n"
		"echo 1 > /proc/sys/net/ipv6/conf/default/accept_dad; ip link set lo up\n"
		"nsenter --net=/proc/%d/fd/%d ip link add eth0 type veth peer name eth0 netns %d; ip link set eth0 up\n"
		"for n in 2 3 4 5; do ip addr add 10.0.0.$n/24 dev eth0; ip addr add fd00::$n/64 dev eth0 nodad; done\n"
		"ip addr add fe80::2/64 dev eth0 nodad\n"
		"ip route add local 10.1.0.0/16 dev lo; ip route add local fd01::/64 dev lo\n"
		"ip route add default via 10.0.0.1\n"
		"nsenter --net=/proc/%d/fd/%d sh -ec 'ip link set lo up; ip link set eth0 up\n"
		"ip addr add 10.0.0.1/24 dev eth0\n"
		"ip addr add fd00::1/64 dev eth0 nodad; ip addr add fe80::1/64 dev eth0 nodad\n"
		"ip route add default via 10.0.0.2; ip -6 route add default via fd00::2'",
		getpid(), daemon_namespace, getpid(), getpid(), daemon_namespace);
}

static int open_peer(int family, const char *address, uint16_t port)
{
	union { struct sockaddr any; struct sockaddr_in v4; struct sockaddr_in6 v6; } name = { .any.sa_family = family };
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), yes = 1, buffer = 8 << 20;

	if (family == AF_INET) {
		name.v4.sin_port = htons(port);
		inet_pton(family, address, &name.v4.sin_addr);
		setsockopt(fd, IPPROTO_IP, 15 /* IP_FREEBIND */, &yes, sizeof yes);
	} else {
		name.v6.sin6_port = htons(port);
		inet_pton(family, address, &name.v6.sin6_addr);
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes);
		setsockopt(fd, IPPROTO_IPV6, 78 /* IPV6_FREEBIND */, &yes, sizeof yes);
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
	need(bind(fd, &name.any, sizeof name) == 0, "bind");
	return fd;
}

/* The port that the daemon asks from: the UDP socket that is not on 3935. */
static uint16_t asking_port(int family)
{
	char path[64], line[512];
	unsigned port, found = 0;
	FILE *file;

	if (!daemon_pid)
		return 0;
	snprintf(path, sizeof path, "/proc/%d/net/udp%s", daemon_pid, family == AF_INET ? "" : "6");
	need((file = fopen(path, "r")) != NULL, path);
	while (fgets(line, sizeof line, file))
		if (sscanf(line, " %*d: %*[0-9A-F]:%X", &port) == 1 && port != 3935)
			found = port;
	fclose(file);
	return found;
}

static void set_destination(enum destination name, const char *address, uint16_t port)
{
	struct sockaddr_in6 *to = &destinations[name];

	if (strchr(address, ':')) {
		to->sin6_family = AF_INET6;
		to->sin6_port = htons(port);
		inet_pton(AF_INET6, address, &to->sin6_addr);
		to->sin6_scope_id = if_nametoindex("eth0");
	} else {
		struct sockaddr_in *v4 = (struct sockaddr_in *)to;

		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		inet_pton(AF_INET, address, &v4->sin_addr);
	}
}

void host_start(const char *path, const char *preload, const char *fault)
{
	make_kernel();
	daemon_path = path;
	preloaded = preload;
	fault_name = fault;
	host_configure(MAPPINGS);
	need(pipe2(log_pipe, O_CLOEXEC) == 0, "pipe");
	fcntl(log_pipe[0], F_SETFL, O_NONBLOCK);
	need(unshare(CLONE_NEWNET) == 0, "unshare: must be root");
	daemon_namespace = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	need(unshare(CLONE_NEWNET) == 0, "unshare");
	own_namespace = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	lay_cable();
	sockets[PEER4_A] = open_peer(AF_INET, "10.0.0.2", 3935);
	sockets[PEER4_B] = open_peer(AF_INET, "10.0.0.3", 3935);
	sockets[ANY4] = open_peer(AF_INET, "0.0.0.0", 0);
	sockets[PEER6_A] = open_peer(AF_INET6, "fd00::2", 3935);
	sockets[PEER6_B] = open_peer(AF_INET6, "fd00::3", 3935);
	sockets[ANY6] = open_peer(AF_INET6, "::", 0);
	set_destination(V4_ANSWERING, "10.0.0.1", 3935);
	set_destination(V6_ANSWERING, "fd00::1", 3935);
	set_destination(V6_LINK_LOCAL, "fe80::1", 3935);
	host_launch(NULL, NULL, 0);
	for (double since = patience(); !is_ready; host_wait(20)) {
		host_drain();
		need(daemon_pid > 0 && patience() - since < ANSWER_TIME, "the daemon is not ready");
	}
	host_settle();
}

void host_stop(void)
{
	pid_t pids[] = { daemon_pid, next_pid };

	for (int i = 0; i < 2; i++)
		if (pids[i] > 0) {
			kill(pids[i], SIGKILL);
			waitpid(pids[i], NULL, 0);
		}
	if (*folder)
		shell("rm -rf %s", folder);
}

/* ---- in ---- */

static void send_peer(const struct input *input)
{
	const struct sockaddr_in6 *to = &destinations[input->to % DESTINATIONS];
	bool v4 = to->sin6_family == AF_INET;
	int named = input->from % SOCKETS, from = v4 == (named < PEER6_A) ? named : v4 ? ANY4 : ANY6;
	int fd = input->kind == 'C' ? socket(to->sin6_family, SOCK_DGRAM | SOCK_CLOEXEC, 0) : sockets[from];
	union { struct cmsghdr header; char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))]; } control = { .bytes = { 0 } };
	struct iovec iov = { (void *)input->bytes, input->size };
	struct msghdr message = { .msg_name = (void *)to,
		.msg_namelen = v4 ? sizeof(struct sockaddr_in) : sizeof *to,
		.msg_iov = &iov,
		.msg_iovlen = 1 };

	if (input->address && input->to != V6_LINK_LOCAL && (fd == sockets[ANY4] || fd == sockets[ANY6])) {
		message.msg_control = &control;
		if (v4) {
			struct in_pktinfo source = { .ipi_spec_dst.s_addr = htonl(0x0a010000 | (input->address & 0xffff)) }; /* 10.1/16 */

			control.header = (struct cmsghdr){ CMSG_LEN(sizeof source), IPPROTO_IP, IP_PKTINFO };
			memcpy(CMSG_DATA(&control.header), &source, sizeof source);
			message.msg_controllen = CMSG_SPACE(sizeof source);
		} else {
			struct in6_pktinfo source = { .ipi6_addr.s6_addr = { 0xfd, 0x01 } };
			source.ipi6_addr.s6_addr[14] = input->address >> 8;
			source.ipi6_addr.s6_addr[15] = input->address;

			control.header = (struct cmsghdr){ CMSG_LEN(sizeof source), IPPROTO_IPV6, IPV6_PKTINFO };
			memcpy(CMSG_DATA(&control.header), &source, sizeof source);
			message.msg_controllen = CMSG_SPACE(sizeof source);
		}
	}
	sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL); /* a pending ICMP error may eat it: one input less */
	if (input->kind == 'C')
		close(fd);
}

void host_send(const struct input *input)
{
	switch (input->kind) {
	case 'K': send_kernel(0, input->bytes, input->size); break;
	case 'F': send_kernel(input->to ? input->to : 1, input->bytes, input->size); break;
	case 'U': case 'u': case 'C': send_peer(input); break;
	case 'A':
		if (input->to < SIMKERNEL_OPERATIONS)
			kernel->action[input->to] = (int32_t)get32(input->bytes);
		else
			memset(kernel->action, 0, sizeof kernel->action);
		break;
	case 'R': host_set_replay(input->bytes, input->size); break;
	case 'O': drop_one(); break;
	case 'S': is_stopped = signal_daemon(SIGSTOP); break;
	case 'B': kernel->abi = input->to; break;
	case 'N': endpoints_lie(input->to); break;
	case 'H': heckle(input); break;
	}
}

/* ---- out ---- */

static void take_log_line(const char *line)
{
	const char *text = strstr(line, " info: mapping: ");
	char local[100], mapped[100], *port;
	int number;

	if (text && sscanf(text, " info: mapping: %d mappings", &number) == 1 && strstr(text, "mappings")) {
		dump_total = number;
		dump_shown = 0;
		dump_rows = realloc(dump_rows, (number + 1) * sizeof *dump_rows);
	} else if (text && dump_shown < dump_total &&
		sscanf(text, " info: mapping: %d: %99s -> %99s (client", &number, local, mapped) == 3 &&
		(port = strrchr(local, ':')) && strrchr(mapped, ':')) {
		struct dumped *row = &dump_rows[dump_shown];
		char *scope = strchr(local, '%');
		struct sockaddr_in *v4 = (struct sockaddr_in *)&row->local;

		memset(row, 0, sizeof *row);
		if ((text = strstr(text, "(client ")) &&
			sscanf(text, "(client %d, references %d", &row->client, &row->references) == 2) {
			dump_shown++;
			row->local.sin6_port = htons(atoi(port + 1));
			row->mapped_port = atoi(strrchr(mapped, ':') + 1);
			*port = 0;
			if (*local == '[') {
				row->local.sin6_family = AF_INET6;
				row->local.sin6_scope_id = scope ? strtoul(scope + 1, NULL, 10) : 0;
				*(scope ? scope : port - 1) = 0;
				inet_pton(AF_INET6, local + 1, &row->local.sin6_addr);
			} else {
				v4->sin_family = AF_INET;
				inet_pton(AF_INET, local, &v4->sin_addr);
			}
		}
	} else {
		snprintf(log_lines[log_count++ % 64], sizeof *log_lines, "%s", line);
	}
}

static void drain_log(void)
{
	static char text[16384];
	static size_t kept;
	ssize_t size;
	char *line, *end;

	while ((size = read(log_pipe[0], text + kept, sizeof text - 1 - kept)) > 0) {
		text[kept += size] = 0;
		for (line = text; (end = strchr(line, '\n')); line = end + 1) {
			*end = 0;
			take_log_line(line);
		}
		kept = strlen(line);
		memmove(text, line, kept + 1);
		if (kept == sizeof text - 1)
			kept = 0;
	}
}

void host_print_log(FILE *to)
{
	drain_log();
	for (unsigned i = log_count < 64 ? 0 : log_count - 64; i < log_count; i++)
		fprintf(to, "  %s\n", log_lines[i % 64]);
}

/* What the daemon's own command says of it, from its state file, and where its threads are. */
void host_print_state(const char *path)
{
	fflush(stdout);
	shell("timeout 5 %s status --json -c %s/conf; grep -H . /proc/%d/task/*/wchan /proc/%d/task/*/syscall;"
		"ls -l /proc/%d/fd | sed -E 's/.*-> //; s/[0-9]+/N/g' | sort | uniq -c; true",
		path, folder, daemon_pid, daemon_pid, daemon_pid);
}

static void look_after(pid_t *pid)
{
	int status;

	if (*pid <= 0 || waitpid(*pid, &status, WNOHANG) != *pid)
		return;
	*pid = 0;
	if (may_end && (WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0))
		return;
	fail(WIFSIGNALED(status) ? "life: the daemon died of signal %d" : "life: the daemon ended with status %d",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

static bool is_device_question(const uint8_t *message)
{
	return get16(message + 4) >> 10 == RDMA_NL_NLDEV &&
		((get16(message + 6) & NLM_F_DUMP) == NLM_F_DUMP || (get16(message + 4) & 1023) == RDMA_NLDEV_CMD_SYS_GET);
}

/* False when the socket is closed. */
static bool drain_link(struct link *link)
{
	static uint8_t bytes[MAX_INPUT * 4];
	ssize_t size;

	while ((size = recv(link->fd, bytes, sizeof bytes, MSG_DONTWAIT)) != 0) {
		const uint8_t *message = bytes + sizeof(struct simrecord);
		uint16_t operation = get16(message + 4) & 1023;

		if (size < 0 && errno != ECONNRESET)
			return true;
		if (size < (ssize_t)sizeof(struct simrecord))
			continue;
		size -= sizeof(struct simrecord);
		speaking = link;
		if (is_device_question(message)) {
			link->asks = true;
			endpoints_asked(message, size);
			continue;
		}
		if (get16(message + 4) >> 10 == RDMA_NL_NLDEV) { /* an answer to noise of this client */
			uint8_t refusal[64], *at = begin(refusal, NLMSG_ERROR, 0, get32(message + 8));

			put32(at, -EINVAL);
			host_say(0, refusal, finish(refusal, at + 4));
		}
		if (operation == REG_PID || operation == HELLO || operation == MAPINFO)
			port_mapper = link;
		on_kernel((int32_t)get32(bytes + offsetof(struct simrecord, verdict)), message, size);
	}
	return false;
}

void host_drain(void)
{
	static uint8_t bytes[MAX_INPUT * 4];
	struct sockaddr_in6 from;
	ssize_t size;

	take_announcements();
	for (int i = 0; i < LINKS; i++)
		if (links[i].page && !drain_link(&links[i]))
			drop_link(&links[i]);
	drain_manager();
	for (int i = 0; i < SOCKETS; i++)
		for (socklen_t length = sizeof from;
			(size = recvfrom(sockets[i], bytes, sizeof bytes, MSG_DONTWAIT, (struct sockaddr *)&from, &length)) >= 0 ||
			errno != EAGAIN; length = sizeof from)
			if (size >= 0)
				on_peer(i, &from, bytes, size);
	drain_log();
	look_after(&daemon_pid);
	look_after(&next_pid);
}

void host_wait(int milliseconds)
{
	struct pollfd polled[SOCKETS + LINKS + 3] = { { listener, POLLIN, 0 }, { manager, POLLIN, 0 },
		{ log_pipe[0], POLLIN, 0 } };

	for (int i = 0; i < SOCKETS; i++)
		polled[i + 3] = (struct pollfd){ sockets[i], POLLIN, 0 };
	for (int i = 0; i < LINKS; i++)
		polled[i + 3 + SOCKETS] = (struct pollfd){ links[i].page ? links[i].fd : -1, POLLIN, 0 };
	poll(polled, SOCKETS + LINKS + 3, milliseconds);
}

/* ---- what can be seen from outside ---- */

struct measure host_measure(void)
{
	struct measure result = { 0 };
	char path[64], line[200];
	FILE *status;
	DIR *fds;

	snprintf(path, sizeof path, "/proc/%d/status", daemon_pid);
	if (!(status = fopen(path, "r")))
		return result;
	while (fgets(line, sizeof line, status)) {
		sscanf(line, "VmRSS: %ld", &result.rss);
		sscanf(line, "RssAnon: %ld", &result.anonymous);
		sscanf(line, "Threads: %d", &result.threads);
	}
	fclose(status);
	snprintf(path, sizeof path, "/proc/%d/fd", daemon_pid);
	if ((fds = opendir(path))) {
		while (readdir(fds))
			result.descriptors++;
		closedir(fds);
	}
	result.descriptors -= 2;
	return result;
}

/* The main thread, which serves, waited in a run queue so many nanoseconds: the second number. */
static double waited(pid_t pid)
{
	unsigned long long nanoseconds = 0;
	char path[40];
	FILE *file;

	snprintf(path, sizeof path, "/proc/%d/schedstat", pid);
	if ((file = fopen(path, "r"))) {
		(void)!fscanf(file, "%*u %llu", &nanoseconds);
		fclose(file);
	}
	return nanoseconds / 1e9;
}

double host_waited(void)
{
	static struct { pid_t pid; double last; } seen[3];
	static double total;
	pid_t pids[] = { getpid(), daemon_pid, next_pid };

	for (int i = 0; i < 3; i++) {
		double now = pids[i] > 0 ? waited(pids[i]) : 0;

		if (seen[i].pid == pids[i] && now > seen[i].last)
			total += now - seen[i].last;
		seen[i].pid = pids[i];
		seen[i].last = now;
	}
	return total;
}

static int links_open(void)
{
	int count = 0;

	for (int i = 0; i < LINKS; i++)
		count += links[i].page != NULL;
	return count;
}

struct measure host_measure_at_rest(int descriptors)
{
	struct measure before = host_measure(), result;

	for (double since = patience();; before = result) {
		host_wait(20);
		host_drain();
		result = host_measure();
		if (patience() - since > AUDIT_TIME || (links_open() == 1 && before.descriptors == result.descriptors &&
			(!descriptors || result.descriptors == descriptors)))
			return result;
	}
}

int host_dump(struct dumped **rows)
{
	double since = patience(), asked = 0;
	int shown = -1;

	dump_total = -1;
	dump_shown = 0;
	while (daemon_pid > 0 && (dump_total < 0 || dump_shown < dump_total)) {
		if (dump_total < 0 && seconds() - asked > 1) { /* the logger drops lines when it has too many, its first one too */
			signal_daemon(SIGUSR1);
			asked = seconds();
		}
		host_wait(50);
		host_drain();
		if (dump_total >= 0 && shown == dump_shown)
			break;
		shown = dump_shown;
		if (patience() - since > ANSWER_TIME) {
			fail("hang: no dump of the mappings after SIGUSR1");
			break;
		}
	}
	*rows = dump_rows;
	return dump_total;
}

int host_shown(void) { return dump_shown; }

/* A dual-stack bind meets whoever has the port, of either family. */
static bool can_bind(uint16_t port)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool free = fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof any) == 0 || errno != EADDRINUSE;

	close(fd);
	return free;
}

int host_held(int from, int to)
{
	need(setns(daemon_namespace, CLONE_NEWNET) == 0, "setns");
	while (from <= to && can_bind(from))
		from++;
	need(setns(own_namespace, CLONE_NEWNET) == 0, "setns");
	return from <= to ? from : 0;
}

/* Another program takes a port of the daemon's host. */
int host_open_there(int family, int type, const struct sockaddr *address, socklen_t length)
{
	need(setns(daemon_namespace, CLONE_NEWNET) == 0, "setns");
	int fd = socket(family, type | SOCK_CLOEXEC, 0);
	need(setns(own_namespace, CLONE_NEWNET) == 0, "setns");
	if (fd >= 0 && address)
		(void)!bind(fd, address, length);
	return fd;
}

bool host_port_is_free(uint16_t port) { return host_held(port, port) == 0; }

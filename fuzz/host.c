// SPDX-License-Identifier: MIT
/* Where the daemon runs: a network namespace of its own, joined to ours by a cable; the player of the simulated
 * kernel; sockets of its peers. */
#define _GNU_SOURCE
#include "fuzz.h"
#include "../simkernel/simkernel.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
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
#define MAPPINGS "4096"
#define PORTS "20000-21599"        /* fewer than descriptors, these fewer than mappings: each can run out */
#define CHARGE 1280
#define ANSWER_TIME 10
#define REPLAY_ROOM (64 << 10)

static char folder[64];
static pid_t daemon_pid;
static int listener, kernel_end = -1, log_pipe, own_namespace, daemon_namespace;
static struct simkernel *kernel;
static struct simsocket *page;
static bool is_stopped;
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

static void make_kernel(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
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
		.clients = 1 << CLIENT | 1 << 3,
		.replay_per_datagram = 12,
		.rmem_max = 212992 };
	snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", folder);
	listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	need(bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 4) == 0, "listen");
}

static void accept_socket(void)
{
	struct simannounce hello;
	union { struct cmsghdr header; char bytes[CMSG_SPACE(2 * sizeof(int))]; } control;
	struct iovec iov = { &hello, sizeof hello };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
	};
	int fds[2], player;

	need(poll(&(struct pollfd){ listener, POLLIN, 0 }, 1, ANSWER_TIME * 1000) == 1, "the daemon opens no netlink socket");
	player = accept4(listener, NULL, NULL, SOCK_CLOEXEC); /* stays open: its end ends the daemon */
	need(recvmsg(player, &message, MSG_CMSG_CLOEXEC) == sizeof hello && write(player, "", 1) == 1, "announce");
	memcpy(fds, CMSG_DATA(&control.header), sizeof fds);
	kernel_end = fds[0];
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fds[1], 0);
	need(page != MAP_FAILED, "page");
	close(fds[1]);
	kernel->socket_errno = EMFILE; /* a second one, for the audit of endpoints, would wait for ever to be taken here */
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

static bool has_room(void)
{
	return __atomic_load_n(&page->rmem, __ATOMIC_SEQ_CST) <= page->rcvbuf &&
		!__atomic_load_n(&page->congested, __ATOMIC_SEQ_CST);
}

static void send_kernel(uint32_t source, const uint8_t *bytes, size_t size)
{
	struct simheader header = { CHARGE, source };
	struct iovec iov[2] = { { &header, sizeof header }, { (void *)bytes, size } };
	struct msghdr message = { .msg_iov = iov, .msg_iovlen = 2 };

	for (double since = seconds(); !has_room(); host_wait(1)) {
		host_go_on();
		host_drain();
		if (seconds() - since > ANSWER_TIME)
			return fail("hang: the daemon does not read its netlink socket, which has %d of %d bytes, %d "
			            "datagrams, congested %d",
				page->rmem, page->rcvbuf, page->queued, page->congested);
	}
	__atomic_add_fetch(&page->rmem, CHARGE, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&page->queued, 1, __ATOMIC_SEQ_CST);
	while (sendmsg(kernel_end, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == EAGAIN)
		host_wait(1);
}

static void drop_one(void)
{
	if (!__atomic_exchange_n(&page->congested, page->queued > 0, __ATOMIC_SEQ_CST))
		__atomic_store_n(&page->error, ENOBUFS, __ATOMIC_SEQ_CST);
}

static void set_replay(const struct input *input)
{
	/* All replayed messages have the length of the first. */
	uint32_t each = input->size >= 16 ? get32(input->bytes) : 0;

	kernel->replay_count = 0;
	memcpy((uint8_t *)kernel + SIMKERNEL_REPLAY_AT, input->bytes, input->size);
	kernel->replay_bytes = input->size;
	kernel->replay_count = each ? input->size / each : 0;
}

uint32_t host_sequence(void) { return __atomic_fetch_add(&kernel->next_sequence, 1, __ATOMIC_SEQ_CST); }
uint32_t host_port_id(void) { return page->portid; }
uint32_t host_replay_count(void) { return kernel->replay_count; }

/* ---- the daemon's process ---- */

static void run_daemon(const char *path, const char *preload, const char *fault, int ready, int log)
{
	char config[100], go;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	need(unshare(CLONE_NEWNET) == 0 && write(ready, "", 1) == 1 && read(ready, &go, 1) == 1, "unshare");
	snprintf(config, sizeof config, "%s/conf", folder);
	setenv("LD_PRELOAD", preload, 1);
	setenv("SIMKERNEL", folder, 1);
	if (fault)
		setenv("FUZZ_FAULT", fault, 1);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	setrlimit(RLIMIT_AS, &(struct rlimit){ ADDRESS_SPACE, ADDRESS_SPACE });
	setrlimit(RLIMIT_NOFILE, &(struct rlimit){ DESCRIPTORS, DESCRIPTORS });
	setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
	dup2(log, 1);
	dup2(log, 2);
	execl(path, path, "-f", "-c", config, (char *)NULL);
	_exit(127);
}

/* Ours is b: 10.0.0.2 and .3 have port mappers, all other addresses closed ports; the daemon's is a. What it sends
 * to 10.2/16 is lost. */
static void lay_cable(void)
{
	shell("set -e; echo 0 > /proc/sys/net/ipv4/icmp_ratelimit\n"
		"echo 1 > /proc/sys/net/ipv6/conf/default/accept_dad; ip link set lo up\n"
		"ip link add eth0 type veth peer name eth0 netns %d; ip link set eth0 up\n"
		"for n in 2 3 4 5; do ip addr add 10.0.0.$n/24 dev eth0; ip addr add fd00::$n/64 dev eth0 nodad; done\n"
		"ip addr add fe80::2/64 dev eth0 nodad\n"
		"ip route add local 10.1.0.0/16 dev lo; ip route add local fd01::/64 dev lo\n"
		"ip route add default via 10.0.0.1\n"
		"nsenter -t %d -n sh -ec 'ip link set lo up; ip link set eth0 up; ip addr add 10.0.0.1/24 dev eth0\n"
		"ip addr add fd00::1/64 dev eth0 nodad; ip addr add fe80::1/64 dev eth0 nodad\n"
		"ip route add default via 10.0.0.2; ip -6 route add default via fd00::2'", daemon_pid, daemon_pid);
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
	int ready[2], log[2];
	char name[100], byte;
	FILE *config;

	make_kernel();
	snprintf(name, sizeof name, "%s/conf", folder);
	need((config = fopen(name, "w")) != NULL, name);
	fprintf(config,
		"state_dir=%s/state\nmax_mappings=" MAPPINGS "\nport_range=" PORTS
		"\nquery_deadline=800\nquery_retry=200\nunreachable_memory=50\n",
		folder);
	fclose(config);
	need(unshare(CLONE_NEWNET) == 0, "unshare: must be root");
	need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ready) == 0 && pipe2(log, O_CLOEXEC) == 0, "pipe");
	log_pipe = log[0];
	fcntl(log_pipe, F_SETFL, O_NONBLOCK);
	if ((daemon_pid = fork()) == 0)
		run_daemon(path, preload, fault, ready[1], log[1]);
	close(log[1]);
	close(ready[1]);
	need(read(ready[0], &byte, 1) == 1, "the daemon's process");
	lay_cable();
	own_namespace = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	snprintf(name, sizeof name, "/proc/%d/ns/net", daemon_pid);
	daemon_namespace = open(name, O_RDONLY | O_CLOEXEC);
	sockets[PEER4_A] = open_peer(AF_INET, "10.0.0.2", 3935);
	sockets[PEER4_B] = open_peer(AF_INET, "10.0.0.3", 3935);
	sockets[ANY4] = open_peer(AF_INET, "0.0.0.0", 0);
	sockets[PEER6_A] = open_peer(AF_INET6, "fd00::2", 3935);
	sockets[PEER6_B] = open_peer(AF_INET6, "fd00::3", 3935);
	sockets[ANY6] = open_peer(AF_INET6, "::", 0);
	need(write(ready[0], "", 1) == 1, "the daemon's process");
	close(ready[0]);
	accept_socket();
	for (double since = seconds(); !asking_port(AF_INET) || !asking_port(AF_INET6); usleep(1000)) {
		host_drain();
		need(seconds() - since < ANSWER_TIME, "the daemon opens no UDP sockets");
	}
	set_destination(V4_ANSWERING, "10.0.0.1", 3935);
	set_destination(V4_ASKING, "10.0.0.1", asking_port(AF_INET));
	set_destination(V6_ANSWERING, "fd00::1", 3935);
	set_destination(V6_ASKING, "fd00::1", asking_port(AF_INET6));
	set_destination(V6_LINK_LOCAL, "fe80::1", 3935);
}

void host_stop(void)
{
	if (daemon_pid > 0) {
		kill(daemon_pid, SIGKILL);
		waitpid(daemon_pid, NULL, 0);
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
	case 'R': set_replay(input); break;
	case 'O': drop_one(); break;
	case 'S': is_stopped = signal_daemon(SIGSTOP); break;
	case 'B': kernel->abi = input->to; break;
	}
}

/* ---- out ---- */

static void take_log_line(const char *line)
{
	const char *text = strstr(line, " info: mapping: ");
	char local[100], *port;
	int number;

	if (text && sscanf(text, " info: mapping: %d mappings", &number) == 1 && strstr(text, "mappings")) {
		dump_total = number;
		dump_shown = 0;
		dump_rows = realloc(dump_rows, (number + 1) * sizeof *dump_rows);
	} else if (text && dump_shown < dump_total &&
		sscanf(text, " info: mapping: %d: %99s -> %*s (client", &number, local) == 2 &&
		(port = strrchr(local, ':'))) {
		struct dumped *row = &dump_rows[dump_shown];
		char *scope = strchr(local, '%');
		struct sockaddr_in *v4 = (struct sockaddr_in *)&row->local;

		memset(row, 0, sizeof *row);
		if ((text = strstr(text, "(client ")) &&
			sscanf(text, "(client %d, references %d", &row->client, &row->references) == 2) {
			dump_shown++;
			row->local.sin6_port = htons(atoi(port + 1));
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

	while ((size = read(log_pipe, text + kept, sizeof text - 1 - kept)) > 0) {
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
	shell("timeout 5 %s status --json -c %s/conf; grep -H . /proc/%d/task/*/wchan /proc/%d/task/*/syscall; true",
		path, folder, daemon_pid, daemon_pid);
}

void host_drain(void)
{
	static uint8_t bytes[MAX_INPUT * 4];
	struct sockaddr_in6 from;
	ssize_t size;
	int status;

	if (kernel_end < 0 || waitpid(daemon_pid, &status, WNOHANG) == daemon_pid) {
		if (kernel_end >= 0) {
			daemon_pid = 0;
			fail(WIFSIGNALED(status) ? "life: the daemon died of signal %d"
									 : "life: the daemon ended with status %d",
				WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		}
		return;
	}
	while ((size = recv(kernel_end, bytes, sizeof bytes, MSG_DONTWAIT)) >= (ssize_t)sizeof(struct simrecord))
		on_kernel((int32_t)get32(bytes + offsetof(struct simrecord, verdict)), bytes + sizeof(struct simrecord),
			size - sizeof(struct simrecord));
	for (int i = 0; i < SOCKETS; i++)
		for (socklen_t length = sizeof from;
			(size = recvfrom(sockets[i], bytes, sizeof bytes, MSG_DONTWAIT, (struct sockaddr *)&from, &length)) >= 0 ||
			errno != EAGAIN; length = sizeof from)
			if (size >= 0)
				on_peer(i, &from, bytes, size);
	drain_log();
}

void host_wait(int milliseconds)
{
	struct pollfd polled[SOCKETS + 2] = { { kernel_end, POLLIN, 0 }, { log_pipe, POLLIN, 0 } };

	for (int i = 0; i < SOCKETS; i++)
		polled[i + 2] = (struct pollfd){ sockets[i], POLLIN, 0 };
	poll(polled, SOCKETS + 2, milliseconds);
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

int host_dump(struct dumped **rows)
{
	double since = seconds(), asked = 0;
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
		if (seconds() - since > ANSWER_TIME) {
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

static int first_held(int from, int to)
{
	need(setns(daemon_namespace, CLONE_NEWNET) == 0, "setns");
	while (from <= to && can_bind(from))
		from++;
	need(setns(own_namespace, CLONE_NEWNET) == 0, "setns");
	return from <= to ? from : 0;
}

int host_held_port(void) { return first_held(1, 65535); }

bool host_port_is_free(uint16_t port) { return first_held(port, port) == 0; }

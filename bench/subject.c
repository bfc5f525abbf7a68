// SPDX-License-Identifier: MIT
/* A daemon under measurement: its namespace, its simulated kernel, its processor time and memory. */
#define _GNU_SOURCE
#include "bench.h"
#include "../simkernel/simkernel.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE 60              /* seconds for anything that must happen */
#define REPLAY_ROOM (16 << 20)
#define DAEMON_CPU 0             /* each on a processor of its own, the generator on the other */
#define GENERATOR_CPU 1

const char *const program_names[PROGRAMS] = { "iwpmd", "C", "reference", "floor" };
const char *program_paths[PROGRAMS];

_Noreturn void die(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("bench: ", stderr);
	vfprintf(stderr, format, arguments);
	fprintf(stderr, " (%s)\n", strerror(errno));
	exit(1);
}

double seconds(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static void shell(const char *format, ...)
{
	char command[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(command, sizeof command, format, arguments);
	va_end(arguments);
	if (system(command) != 0)
		die("failed: %s", command);
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	if (!file || fputs(text, file) < 0 || fclose(file) != 0)
		die("%s", path);
}

static void run_on(int processor)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(processor, &set);
	sched_setaffinity(0, sizeof set, &set); /* where there is only one it stays there */
}

static void make_kernel(struct subject *s, const struct options *options)
{
	char path[100];
	int fd;

	snprintf(path, sizeof path, "%s/kernel", s->folder);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, SIMKERNEL_REPLAY_AT + REPLAY_ROOM) != 0)
		die("%s", path);
	s->kernel = mmap(NULL, SIMKERNEL_REPLAY_AT + REPLAY_ROOM, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	/* A detached daemon is nobody's child: the simulated kernel must end it should we die. */
	*s->kernel = (struct simkernel){ .magic = SIMKERNEL_MAGIC,
		.next_sequence = 1,
		.abi = 4,
		.clients = 1 << CLIENT,
		.replay_per_datagram = 12,
		.replay_whole = 1,
		.rmem_max = 212992,
		.own_end = options->way == FOREGROUND };
	for (int i = 0; i < options->replay; i++)
		s->kernel->replay_bytes += put_mapping((uint8_t *)s->kernel + SIMKERNEL_REPLAY_AT + s->kernel->replay_bytes,
			s, 6, options->first_mapping + i, options->replay_flags);
	s->kernel->replay_count = options->replay;
}

static void listen_for_sockets(struct subject *s)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", s->folder);
	unlink(address.sun_path);
	s->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (bind(s->listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(s->listener, 4) != 0)
		die("%s", address.sun_path);
}

/* rdma-core's daemon reads /etc/iwpmd.conf only. Without the one that it ships its receive buffer holds 48 datagrams of
 * a replay, and an answer to the kernel may be refused while 64 requests are outstanding. */
static void ship_configuration(void)
{
	char layers[300];

	snprintf(layers, sizeof layers, "lowerdir=%s:/etc", getenv("BENCH_ETC"));
	if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
		mount("overlay", "/etc", "overlay", MS_RDONLY, layers) != 0)
		die("/etc: %s", layers);
}

/* $BENCH_WRAP goes before the command: valgrind, strace. */
static void run_daemon(struct subject *s, const struct options *options, int ready)
{
	char config[100], log[100], byte, *wrap = getenv("BENCH_WRAP"), *arguments[24];
	int count = 0, fd;
	struct rlimit limit;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (s->program == THEIRS)
		ship_configuration();
	if (unshare(CLONE_NEWNET) != 0 || write(ready, "", 1) != 1 || read(ready, &byte, 1) != 1)
		die("unshare: must be root");
	write_file("/proc/sys/net/ipv4/ip_local_port_range", options->ports);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	setenv("LD_PRELOAD", getenv("BENCH_SIMKERNEL"), 1);
	setenv("SIMKERNEL", s->folder, 1);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	snprintf(config, sizeof config, "%s/conf", s->folder);
	snprintf(log, sizeof log, "%s/log", s->folder);
	for (char *word = wrap ? strtok(strdup(wrap), " ") : NULL; word && count < 16; word = strtok(NULL, " "))
		arguments[count++] = word;
	arguments[count++] = (char *)program_paths[s->program];
	if (options->way == FOREGROUND)
		arguments[count++] = "-s";
	if (s->program == OURS && getenv("BENCH_NO_SANDBOX")) /* to see what its filter costs */
		arguments[count++] = "--no-sandbox";
	if (s->program == OURS) {
		arguments[count++] = "-c";
		arguments[count++] = config;
	}
	if (s->program == FLOOR)
		arguments[count++] = "--floor";
	arguments[count] = NULL;
	fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	dup2(fd, 1);
	dup2(fd, 2);
	dup2(open("/dev/null", O_RDONLY), 0);
	run_on(DAEMON_CPU);
	execv(arguments[0], arguments);
	_exit(127);
}

/* The daemon can be reached at 10.9.N.1; we are 10.9.N.2, and all of 10.(64+N)/16. */
static void lay_cable(struct subject *s)
{
	int n = s->number;

	shell("ip link add cable%d type veth peer name eth0 netns %d && ip link set cable%d up && ip addr add "
	      "10.9.%d.2/24 dev cable%d && ip route replace local 10.%d.0.0/16 dev lo\n"
		  "exec nsenter -t %d -n sh -c 'ip link set lo up && ip link set eth0 up && ip addr add 10.9.%d.1/24 dev "
	      "eth0 && ip route add default via 10.9.%d.2'",
		n, s->child, n, n, n, 64 + n, s->child, n, n);
}

static int open_peer(struct subject *s, uint16_t port)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct timeval patience = { .tv_sec = PATIENCE };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), buffer = 8 << 20;
	char device[16];

	snprintf(device, sizeof device, "cable%d", s->number);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	if (port) {
		char address[32];

		snprintf(address, sizeof address, "10.9.%d.2", s->number);
		inet_pton(AF_INET, address, &any.sin_addr);
	}
	if (bind(fd, (struct sockaddr *)&any, sizeof any) != 0)
		die("bind");
	return fd;
}

void accept_socket(struct subject *s)
{
	struct simannounce hello;
	union { struct cmsghdr header; char bytes[CMSG_SPACE(2 * sizeof(int))]; } control;
	struct iovec iov = { &hello, sizeof hello };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
	};
	struct timeval patience = { .tv_sec = PATIENCE };
	int fds[2];

	if (poll(&(struct pollfd){ s->listener, POLLIN, 0 }, 1, PATIENCE * 1000) != 1)
		die("%s opens no netlink socket: see %s/log", program_names[s->program], s->folder);
	s->player = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
	if (recvmsg(s->player, &message, MSG_CMSG_CLOEXEC) != sizeof hello || write(s->player, "", 1) != 1)
		die("announce");
	memcpy(fds, CMSG_DATA(&control.header), sizeof fds);
	s->kernel_end = fds[0];
	s->page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fds[1], 0);
	close(fds[1]);
	s->pid = hello.pid;
	fcntl(s->kernel_end, F_SETFL, 0); /* the daemon's side of it never waits, by flags of its own */
	setsockopt(s->kernel_end, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
}

void subject_start(struct subject *s, enum program program, const struct options *options)
{
	static int numbers;
	struct options defaults = *options;
	char path[100], text[200], byte;
	double started;
	int ready[2], operation;

	if (!options->keep_state) {
		*s = (struct subject){ .folder = "/dev/shm/iwpmd-bench-XXXXXX" };
		if (!mkdtemp(s->folder))
			die("mkdtemp");
	}
	s->program = program;
	s->number = ++numbers;
	s->size = options->keep_state ? s->size : 0;
	defaults.ports = options->ports ? options->ports : "1024 65535";
	make_kernel(s, &defaults);
	listen_for_sockets(s);
	snprintf(path, sizeof path, "%s/conf", s->folder);
	/* The generator is one host that asks more than the bounds allow. */
	snprintf(text, sizeof text, "state_dir=%s/state\nmax_mappings=%d\n%s", s->folder,
		options->max_mappings ? options->max_mappings : 65536,
		options->bounded ? "" : "request_rate=1000000\nsource_rate=1000000\nremote_info_rate=100000\n");
	write_file(path, text);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ready) != 0)
		die("socketpair");
	run_on(GENERATOR_CPU);
	if ((s->child = fork()) == 0)
		run_daemon(s, &defaults, ready[1]);
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		die("the daemon's process");
	lay_cable(s);
	s->peer = open_peer(s, 0);
	s->answering = open_peer(s, 3935);
	started = seconds(CLOCK_BOOTTIME);
	if (write(ready[0], "", 1) != 1)
		die("the daemon's process");
	close(ready[0]);
	accept_socket(s);
	if (clock_getcpuclockid(s->pid, &s->clock) != 0)
		die("no clock of process %d", s->pid);
	/* HELLO, MAPINFO, and MAPINFO_NUM when there was a replay. */
	do {
		uint8_t bytes[1024];
		ssize_t size = recv(s->kernel_end, bytes, sizeof bytes, 0);
		double at;

		if (size < (ssize_t)sizeof(struct simrecord) + 16)
			die("%s does not say hello: see %s/log", program_names[program], s->folder);
		operation = *(uint16_t *)(bytes + sizeof(struct simrecord) + 4) & 1023;
		at = ((struct simrecord *)bytes)->boottime_ns / 1e9 - started;
		s->hello = operation == 8 ? at : s->hello;
		s->ready = at;
	} while (operation != (options->replay ? 7 : 6));
	s->size = options->replay ? options->replay : s->size;
	settle(s);
}

double subject_stop(struct subject *s, int signal)
{
	double since = seconds(CLOCK_MONOTONIC), took;

	kill(s->pid, signal);
	while (kill(s->pid, 0) == 0 && waitpid(s->child, NULL, WNOHANG) != s->pid) {
		if (seconds(CLOCK_MONOTONIC) - since > PATIENCE)
			kill(s->pid, SIGKILL);
		usleep(1000);
	}
	took = seconds(CLOCK_MONOTONIC) - since;
	if (s->child != s->pid)
		waitpid(s->child, NULL, WNOHANG);
	munmap(s->kernel, SIMKERNEL_REPLAY_AT + REPLAY_ROOM);
	munmap(s->page, 4096);
	for (int *fds[] = { &s->listener, &s->player, &s->kernel_end, &s->peer, &s->answering }, i = 0; i < 5; i++)
		close(*fds[i]);
	if (signal != SIGKILL)
		shell("rm -rf %s", s->folder);
	return took;
}

double cpu(const struct subject *s) { return seconds(s->clock) * 1e6; }

/* Until it has read all and does nothing more. */
void settle(struct subject *s)
{
	double before = cpu(s), since = seconds(CLOCK_MONOTONIC);

	while (seconds(CLOCK_MONOTONIC) - since < PATIENCE) {
		usleep(300);
		if (before == cpu(s) && __atomic_load_n(&s->page->queued, __ATOMIC_SEQ_CST) == 0)
			return;
		before = cpu(s);
	}
	die("%s is never idle", program_names[s->program]);
}

void subject_memory(const struct subject *s, double *rss, double *pss)
{
	char path[64], line[200];
	double kilobytes;
	FILE *file;

	snprintf(path, sizeof path, "/proc/%d/smaps_rollup", s->pid);
	if (!(file = fopen(path, "r")))
		die("%s", path);
	while (fgets(line, sizeof line, file)) {
		if (sscanf(line, "Rss: %lf", &kilobytes) == 1)
			*rss = kilobytes / 1024;
		if (sscanf(line, "Pss: %lf", &kilobytes) == 1)
			*pss = kilobytes / 1024;
	}
	fclose(file);
}

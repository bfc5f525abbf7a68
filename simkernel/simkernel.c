// SPDX-License-Identifier: MIT
/*
 * A kernel with RDMA netlink, to be preloaded into a port mapper daemon: socket(AF_NETLINK, ..., NETLINK_RDMA)
 * becomes one end of a unix socket pair, the other end goes to the player (see simkernel.h). As in the kernel
 * everything that a message causes happens within the send call: HELLO, the replay and NLMSG_DONE are in the
 * receive queue when it returns, each unread datagram is charged against the receive buffer, and over its limit
 * messages get EBUSY, ENOBUFS, or are dropped. All other sockets stay the host's.
 *
 *   cc -shared -fPIC -O2 -o simkernel.so simkernel.c
 */
#define _GNU_SOURCE
#include "simkernel.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define NETLINK_RDMA_PROTOCOL 20
#define CLIENT_SHIFT 10
#define OPERATION_MASK 1023
#define NLDEV 5
#define REMOTE_INFO 4
#define MAPINFO 6
#define MAPINFO_NUM 7
#define HELLO 8
#define KNOWN_OPERATIONS 9

#define REPLAY_DATAGRAMS 20      /* of which the last is never sent */
#define DEFAULT_RCVBUF 212992
#define MIN_RCVBUF 2304
#define MAX_RECV (32768 - 320)
#define CHARGE_SMALL 1280        /* a message alone in its buffer */
#define CHARGE_REPLAY 4352       /* a MAPINFO batch: one page */
#define PAIR_BUFFER (256 << 20)  /* of the unix sockets, which must never be the limit */
#define MAX_DATAGRAM 65536
#define MAX_FD 65536
#define SPARE_PAGES 16       /* as many sockets to the kernel in one process */

struct sock {
	int fd, kernel_end, type, page; /* the page's descriptor, -1 when another process made it */
	struct simsocket *shared;
	pthread_mutex_t lock;    /* the kernel runs one message of a socket at a time */
	unsigned char *pending;  /* a message that found the buffer full and will be run when there is room */
	uint32_t pending_size;
};

static struct sock *socks[MAX_FD];
static struct simkernel *kernel;
static pthread_once_t kernel_once = PTHREAD_ONCE_INIT;

static struct sock *find(int fd) { return fd >= 0 && fd < MAX_FD ? socks[fd] : NULL; }

static void die(const char *what)
{
	dprintf(2, "simkernel: %s: %s\n", what, strerror(errno));
	_exit(99);
}

static void open_kernel(void)
{
	const char *folder = getenv("SIMKERNEL");
	char path[200];
	off_t size;
	int fd;

	if (!folder)
		die("SIMKERNEL is not set");
	snprintf(path, sizeof path, "%s/kernel", folder);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || (size = lseek(fd, 0, SEEK_END)) < SIMKERNEL_REPLAY_AT)
		die(path);
	kernel = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	syscall(SYS_close, fd);
	if (kernel == MAP_FAILED || kernel->magic != SIMKERNEL_MAGIC)
		die(path);
}

/* Connected to the player. When that one is gone, however it ended, this process gets SIGKILL: no daemon is left
 * behind. -1 without a free descriptor. */
static int connect_player(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = syscall(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0 && errno == EMFILE)
		return -1;
	snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", getenv("SIMKERNEL"));
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
		die(address.sun_path);
	return fd;
}

static uint64_t inode_of(int fd)
{
	struct stat status;

	if (fstat(fd, &status) != 0)
		die("fstat");
	return status.st_ino;
}

static void end_with(int player)
{
	if (kernel->own_end) {
		syscall(SYS_close, player);
		return;
	}
	/* The byte can be read before its writer's kernel has signalled it: that signal, too, would be deadly. */
	usleep(50000);
	if (fcntl(player, F_SETSIG, SIGKILL) != 0 || fcntl(player, F_SETOWN, getpid()) != 0 ||
		fcntl(player, F_SETFL, O_ASYNC) != 0)
		die("fcntl");
}

static void announce(int player, int fd, int kernel_end, int page)
{
	struct simannounce hello = { SIMKERNEL_MAGIC, getpid(), inode_of(fd) };
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(2 * sizeof(int))];
	} control = { .header = { CMSG_LEN(2 * sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec iov = { &hello, sizeof hello };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
	};
	int fds[2] = { kernel_end, page };
	char seen;

	memcpy(CMSG_DATA(&control.header), fds, sizeof fds);
	if (syscall(SYS_sendmsg, player, &message, MSG_NOSIGNAL) < 0 || syscall(SYS_read, player, &seen, 1) != 1)
		die("announce");
	end_with(player);
}

static int pages[SPARE_PAGES], page_count;
static pthread_once_t pages_once = PTHREAD_ONCE_INIT;

/* Several at the first call, since a daemon in its sandbox makes no more. */
static void make_pages(void)
{
	for (; page_count < SPARE_PAGES; page_count++)
		if ((pages[page_count] = memfd_create("simsocket", MFD_CLOEXEC)) < 0 || ftruncate(pages[page_count], 4096) != 0)
			die("page");
}

static int take_page(void)
{
	pthread_once(&pages_once, make_pages);
	return page_count ? pages[--page_count] : -1;
}

static int open_netlink(int type)
{
	int pair[2], page, player, size = PAIR_BUFFER, flags = type & (SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct sock *s = calloc(1, sizeof *s);

	pthread_once(&kernel_once, open_kernel);
	if (kernel->socket_errno) {
		free(s);
		errno = kernel->socket_errno;
		return -1;
	}
	page = take_page();
	if (!s || page < 0)
		die("page");
	player = connect_player();
	if (player < 0 || syscall(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | flags, 0, pair) != 0 || pair[0] >= MAX_FD) {
		if (player >= 0)
			syscall(SYS_close, player);
		free(s);
		pages[page_count++] = page;
		errno = EMFILE;
		return -1;
	}
	s->shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, page, 0);
	if (s->shared == MAP_FAILED)
		die("page");
	for (int i = 0; i < 2; i++)
		if (syscall(SYS_setsockopt, pair[i], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) != 0)
			syscall(SYS_setsockopt, pair[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	fcntl(pair[1], F_SETFL, O_NONBLOCK);
	fcntl(pair[1], F_SETFD, FD_CLOEXEC);
	s->fd = pair[0];
	s->kernel_end = pair[1];
	s->type = type & 0xf;
	s->page = page;
	*s->shared = (struct simsocket){ 0 };
	s->shared->magic = SIMKERNEL_MAGIC;
	s->shared->rcvbuf = DEFAULT_RCVBUF;
	pthread_mutex_init(&s->lock, NULL);
	announce(player, s->fd, s->kernel_end, page);
	socks[s->fd] = s;
	return s->fd;
}

/* A socket of another process that was handed to this one: the player knows it. */
static struct sock *adopt(int fd)
{
	struct simannounce question = { SIMKERNEL_ADOPT, getpid(), inode_of(fd) };
	union { struct cmsghdr header; char bytes[CMSG_SPACE(2 * sizeof(int))]; } control;
	char known = 0;
	struct iovec iov = { &known, 1 };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
	};
	int player, fds[2];
	struct sock *s;

	pthread_once(&kernel_once, open_kernel);
	pthread_once(&pages_once, make_pages);
	player = connect_player();
	if (syscall(SYS_write, player, &question, sizeof question) != sizeof question ||
		syscall(SYS_recvmsg, player, &message, MSG_CMSG_CLOEXEC) != 1)
		die("adopt");
	if (!known) {
		syscall(SYS_close, player);
		return NULL;
	}
	memcpy(fds, CMSG_DATA(&control.header), sizeof fds);
	s = calloc(1, sizeof *s);
	s->shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fds[1], 0);
	syscall(SYS_close, fds[1]);
	if (s->shared == MAP_FAILED || s->shared->magic != SIMKERNEL_MAGIC)
		die("adopt");
	s->fd = fd;
	s->kernel_end = fds[0];
	s->type = SOCK_RAW;
	s->page = -1;
	pthread_mutex_init(&s->lock, NULL);
	end_with(player);
	return socks[fd] = s;
}

/* ---- kernel to daemon ---- */

static void overrun(struct sock *s)
{
	if (!__atomic_exchange_n(&s->shared->congested, 1, __ATOMIC_SEQ_CST))
		__atomic_store_n(&s->shared->error, ENOBUFS, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&s->shared->drops, 1, __ATOMIC_SEQ_CST);
}

static void enqueue(struct sock *s, const void *bytes, size_t size, uint32_t charge)
{
	struct simheader header = { charge, 0 };
	struct iovec iov[2] = { { &header, sizeof header }, { (void *)bytes, size } };
	struct msghdr message = { .msg_iov = iov, .msg_iovlen = 2 };

	__atomic_add_fetch(&s->shared->rmem, charge, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&s->shared->queued, 1, __ATOMIC_SEQ_CST);
	if (syscall(SYS_sendmsg, s->kernel_end, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
		__atomic_sub_fetch(&s->shared->rmem, charge, __ATOMIC_SEQ_CST);
		__atomic_sub_fetch(&s->shared->queued, 1, __ATOMIC_SEQ_CST);
		overrun(s);
	}
}

/* A unicast that does not wait for room. */
static void unicast(struct sock *s, const void *bytes, size_t size, uint32_t charge)
{
	if (s->shared->rmem > s->shared->rcvbuf || s->shared->congested)
		overrun(s);
	else
		enqueue(s, bytes, size, charge);
}

/* A dump allocates its answer as large as the largest receive so far. */
static uint32_t dump_charge(const struct sock *s)
{
	uint32_t wanted = (s->shared->max_recv > 3776 ? s->shared->max_recv : 3776) + 320, size = 4096;

	while (size < wanted)
		size *= 2;
	return size + 256;
}

static void done(struct sock *s, uint32_t sequence, int32_t result)
{
	struct {
		struct nlmsghdr header;
		int32_t result;
	} message = { { sizeof message, NLMSG_DONE, NLM_F_MULTI, sequence, s->shared->portid }, result };

	enqueue(s, &message, sizeof message, dump_charge(s));
}

static void error(struct sock *s, const struct nlmsghdr *refused, int32_t result)
{
	unsigned char bytes[NLMSG_HDRLEN + sizeof(int32_t) + 4096];
	uint32_t quoted = refused->nlmsg_len < 4096 ? refused->nlmsg_len : 4096;
	struct nlmsghdr header = { NLMSG_HDRLEN + sizeof result + quoted, NLMSG_ERROR, 0, refused->nlmsg_seq,
		s->shared->portid };

	memcpy(bytes, &header, sizeof header);
	memcpy(bytes + NLMSG_HDRLEN, &result, sizeof result);
	memcpy(bytes + NLMSG_HDRLEN + sizeof result, refused, quoted);
	unicast(s, bytes, header.nlmsg_len, CHARGE_SMALL);
}

static void hello(struct sock *s, const struct nlmsghdr *message)
{
	struct { struct nlmsghdr header; struct nlattr attribute; uint16_t abi, padding;
	} answer = {
		{ sizeof answer, message->nlmsg_type, NLM_F_REQUEST,
			__atomic_fetch_add(&kernel->next_sequence, 1, __ATOMIC_SEQ_CST), 0 },
		{ sizeof(struct nlattr) + sizeof(uint16_t), 1 },
		(uint16_t)kernel->abi,
		0,
	};
	uint16_t theirs;

	if (message->nlmsg_len >= NLMSG_HDRLEN + NLA_HDRLEN + sizeof theirs) {
		memcpy(&theirs, (const char *)message + NLMSG_HDRLEN + NLA_HDRLEN, sizeof theirs);
		answer.abi = theirs < answer.abi ? theirs : answer.abi;
	}
	unicast(s, &answer, sizeof answer, CHARGE_SMALL);
}

/* What the player has set at one time; its bytes are allocated. */
static unsigned char *copy_replay(uint32_t *count, uint32_t *size)
{
	unsigned char *copy = NULL;
	uint32_t version;

	for (;; usleep(100)) {
		version = __atomic_load_n(&kernel->replay_version, __ATOMIC_SEQ_CST);
		*count = kernel->replay_count;
		*size = kernel->replay_bytes;
		copy = realloc(copy, *size + 1);
		memcpy(copy, (unsigned char *)kernel + SIMKERNEL_REPLAY_AT, *size);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (version % 2 == 0 && version == __atomic_load_n(&kernel->replay_version, __ATOMIC_SEQ_CST))
			return copy;
	}
}

/* Returns what its ACK says. */
static int32_t replay(struct sock *s, const struct nlmsghdr *message)
{
	uint32_t total, size, datagrams = 0;
	unsigned char bytes[8192], *copy = copy_replay(&total, &size), *next = copy;
	uint32_t left = total, each = total ? size / total : 0;
	struct nlmsghdr end = { NLMSG_HDRLEN, NLMSG_DONE, NLM_F_MULTI, 0, 0 };
	struct { struct nlmsghdr header; struct { struct nlattr attribute; uint32_t value; } sequence, number;
	} number = {
		{ sizeof number, (message->nlmsg_type & ~OPERATION_MASK) + MAPINFO_NUM, NLM_F_REQUEST, 0, 0 },
		{ { 8, 1 }, 0 },
		{ { 8, 2 }, total },
	};

	while (left && (++datagrams < REPLAY_DATAGRAMS || kernel->replay_whole)) {
		uint32_t count = left < kernel->replay_per_datagram ? left : kernel->replay_per_datagram;

		memcpy(bytes, next, count * each);
		memcpy(bytes + count * each, &end, sizeof end);
		unicast(s, bytes, count * each + sizeof end, CHARGE_REPLAY);
		next += count * each;
		left -= count;
	}
	free(copy);
	if (left)
		return -ENOMEM; /* "Insufficient skbs for map info" */
	if (total) {
		number.header.nlmsg_seq = __atomic_fetch_add(&kernel->next_sequence, 1, __ATOMIC_SEQ_CST);
		unicast(s, &number, sizeof number, CHARGE_SMALL);
	}
	return 0;
}

/* ---- daemon to kernel ---- */

static void record(struct sock *s, const void *bytes, size_t size, int32_t verdict)
{
	struct timespec now;
	struct simrecord head = { .verdict = verdict };
	struct iovec iov[2] = { { &head, sizeof head }, { (void *)bytes, size } };
	struct msghdr message = { .msg_iov = iov, .msg_iovlen = 2 };

	if (kernel->quiet >> (((const struct nlmsghdr *)bytes)->nlmsg_type & 31) & 1)
		return;
	clock_gettime(CLOCK_BOOTTIME, &now);
	head.boottime_ns = now.tv_sec * 1000000000ull + now.tv_nsec;
	while (syscall(SYS_sendmsg, s->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == EAGAIN)
		poll(&(struct pollfd){ s->fd, POLLOUT, 0 }, 1, 1000);
}

static void run(struct sock *s, const struct nlmsghdr *message)
{
	uint32_t operation = message->nlmsg_type & OPERATION_MASK;
	int32_t result = operation == REMOTE_INFO ? -EINVAL : 0;

	record(s, message, message->nlmsg_len, 0);
	while (__atomic_load_n(&kernel->action[operation], __ATOMIC_SEQ_CST) == SIMKERNEL_HOLD)
		usleep(1000);
	if (kernel->action[operation] == SIMKERNEL_SILENT)
		return;
	if (kernel->action[operation] == SIMKERNEL_OVERRUN) {
		kernel->action[operation] = 0;
		overrun(s);
		return;
	}
	if (operation == HELLO)
		hello(s, message);
	else if (operation == MAPINFO)
		result = replay(s, message);
	done(s, message->nlmsg_seq, result);
}

static void refuse(struct sock *s, const struct nlmsghdr *message, int32_t result)
{
	record(s, message, message->nlmsg_len, result);
	error(s, message, result);
}

static void accept_one(struct sock *s, const struct nlmsghdr *message)
{
	uint32_t operation = message->nlmsg_type & OPERATION_MASK, client = message->nlmsg_type >> CLIENT_SHIFT;
	int known = client < 32 && (kernel->clients & (1u << client)) &&
		operation < (kernel->abi < 4 ? HELLO : KNOWN_OPERATIONS);

	if (!(message->nlmsg_flags & NLM_F_REQUEST) || message->nlmsg_type < NLMSG_MIN_TYPE) {
		record(s, message, message->nlmsg_len, 1);
	} else if (client == NLDEV && (kernel->clients & (1u << NLDEV))) {
		record(s, message, message->nlmsg_len, 0);
	} else if (!known) {
		refuse(s, message, -EINVAL);
	} else if (kernel->action[operation] < 0) {
		refuse(s, message, kernel->action[operation]);
	} else if (s->pending) {
		refuse(s, message, -EBUSY);
	} else if (s->shared->rmem >= s->shared->rcvbuf) {
		s->pending = malloc(message->nlmsg_len);
		memcpy(s->pending, message, s->pending_size = message->nlmsg_len);
		refuse(s, message, -ENOBUFS);
	} else {
		run(s, message);
	}
}

static ssize_t transmit(struct sock *s, const unsigned char *bytes, size_t size)
{
	int saved = errno;

	if (!s->shared->portid)
		s->shared->portid = getpid();
	pthread_mutex_lock(&s->lock);
	for (size_t at = 0; at + NLMSG_HDRLEN <= size;) {
		const struct nlmsghdr *message = (const struct nlmsghdr *)(bytes + at);

		if (message->nlmsg_len < NLMSG_HDRLEN || message->nlmsg_len > size - at)
			break;
		accept_one(s, message);
		at += NLMSG_ALIGN(message->nlmsg_len);
	}
	pthread_mutex_unlock(&s->lock);
	errno = saved;
	return size;
}

static ssize_t transmit_vector(struct sock *s, const struct iovec *iov, size_t count)
{
	static __thread _Alignas(4) unsigned char bytes[MAX_DATAGRAM];
	size_t size = 0;

	for (size_t i = 0; i < count; size += iov[i++].iov_len) {
		if (iov[i].iov_len > sizeof bytes - size) {
			errno = EMSGSIZE;
			return -1;
		}
		memcpy(bytes + size, iov[i].iov_base, iov[i].iov_len);
	}
	return transmit(s, bytes, size);
}

/* Whoever looks into an empty queue ends the congestion. */
static void looked(struct sock *s)
{
	if (__atomic_load_n(&s->shared->queued, __ATOMIC_SEQ_CST) == 0)
		__atomic_store_n(&s->shared->congested, 0, __ATOMIC_SEQ_CST);
}

/* What happens after a datagram was taken off the queue. */
static void taken(struct sock *s, uint32_t charge)
{
	int32_t rmem = __atomic_sub_fetch(&s->shared->rmem, charge, __ATOMIC_SEQ_CST);

	if (s->pending && rmem <= s->shared->rcvbuf / 2) {
		pthread_mutex_lock(&s->lock);
		unsigned char *message = s->pending;

		s->pending = NULL;
		if (message)
			run(s, (struct nlmsghdr *)message);
		pthread_mutex_unlock(&s->lock);
		free(message);
	}
	__atomic_sub_fetch(&s->shared->queued, 1, __ATOMIC_SEQ_CST);
	looked(s);
}

static ssize_t receive(struct sock *s, struct msghdr *user, int flags)
{
	struct simheader header;
	struct iovec iov[17] = { { &header, sizeof header } };
	struct msghdr message = { .msg_iov = iov, .msg_iovlen = user->msg_iovlen + 1 };
	size_t room = 0;
	int error;

	for (uint32_t asked = 1; __atomic_load_n(&kernel->hold_receive, __ATOMIC_SEQ_CST); asked = 1) {
		__atomic_compare_exchange_n(&kernel->hold_receive, &asked, 2, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
		usleep(1000);
	}
	error = __atomic_exchange_n(&s->shared->error, 0, __ATOMIC_SEQ_CST);
	if (error || user->msg_iovlen > 16) {
		looked(s);
		errno = error ? error : EMSGSIZE;
		return -1;
	}
	for (size_t i = 0; i < user->msg_iovlen; i++)
		room += (iov[i + 1] = user->msg_iov[i]).iov_len;
	if ((int32_t)room > s->shared->max_recv)
		s->shared->max_recv = room < MAX_RECV ? room : MAX_RECV;
	ssize_t size = syscall(SYS_recvmsg, s->fd, &message, flags | MSG_TRUNC);
	if (size < (ssize_t)sizeof header) {
		looked(s);
		return size < 0 ? size : (errno = EIO, -1);
	}
	size -= sizeof header;
	if (user->msg_name) {
		struct sockaddr_nl from = { .nl_family = AF_NETLINK, .nl_pid = header.source };

		memcpy(user->msg_name, &from, user->msg_namelen < sizeof from ? user->msg_namelen : sizeof from);
		user->msg_namelen = sizeof from;
	}
	user->msg_controllen = 0;
	user->msg_flags = (size_t)size > room ? MSG_TRUNC : 0;
	if (!(flags & MSG_PEEK))
		taken(s, header.charge);
	return (flags & MSG_TRUNC) || (size_t)size <= room ? size : (ssize_t)room;
}

/* ---- the calls ---- */

/* Asked once: a daemon in its sandbox cannot. */
static int has_net_admin(void)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = { 0 };

	return syscall(SYS_capget, &header, data) == 0 && (data[0].effective & (1u << CAP_NET_ADMIN));
}

int socket(int domain, int type, int protocol)
{
	return domain == AF_NETLINK && protocol == NETLINK_RDMA_PROTOCOL
		? open_netlink(type)
		: (int)syscall(SYS_socket, domain, type, protocol);
}

int bind(int fd, const struct sockaddr *address, socklen_t size)
{
	struct sock *s = find(fd);
	const struct sockaddr_nl *netlink = (const struct sockaddr_nl *)address;

	if (!s)
		return syscall(SYS_bind, fd, address, size);
	if (size < sizeof *netlink || netlink->nl_family != AF_NETLINK ||
		(s->shared->portid && s->shared->portid != netlink->nl_pid))
		errno = EINVAL;
	else if (netlink->nl_groups && !has_net_admin())
		errno = EPERM;
	else if (kernel->binds_in_use && kernel->binds_in_use--)
		errno = EADDRINUSE;
	else {
		s->shared->portid = netlink->nl_pid ? netlink->nl_pid : (uint32_t)getpid();
		s->shared->groups = netlink->nl_groups;
		return 0;
	}
	return -1;
}

int connect(int fd, const struct sockaddr *address, socklen_t size)
{
	return find(fd) ? 0 : (int)syscall(SYS_connect, fd, address, size);
}

int getsockname(int fd, struct sockaddr *restrict address, socklen_t *restrict size)
{
	struct sock *s = find(fd);

	if (!s)
		return syscall(SYS_getsockname, fd, address, size);
	struct sockaddr_nl own = { .nl_family = AF_NETLINK, .nl_pid = s->shared->portid, .nl_groups = s->shared->groups };
	memcpy(address, &own, *size < sizeof own ? *size : sizeof own);
	*size = sizeof own;
	return 0;
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
	struct sock *s = find(fd);
	int64_t number;

	if (!s || level != SOL_SOCKET)
		return s ? 0 : (int)syscall(SYS_setsockopt, fd, level, name, value, size);
	if (name == SO_RCVBUFFORCE && !has_net_admin()) {
		errno = EPERM;
		return -1;
	}
	if (name == SO_RCVBUF || name == SO_RCVBUFFORCE) {
		number = size >= sizeof(int) ? *(const int *)value : 0;
		if (name == SO_RCVBUF && number > kernel->rmem_max)
			number = kernel->rmem_max;
		number = number > INT32_MAX / 2 ? INT32_MAX / 2 : number;
		s->shared->rcvbuf = number * 2 < MIN_RCVBUF ? MIN_RCVBUF : number * 2;
	}
	return 0;
}

int getsockopt(int fd, int level, int name, void *restrict value, socklen_t *restrict size)
{
	struct sock *s = find(fd);
	int number = 0, result;

	if (!s) {
		result = syscall(SYS_getsockopt, fd, level, name, value, size);
		if (result == 0 && level == SOL_SOCKET && name == SO_DOMAIN && *(int *)value == AF_UNIX && fd < MAX_FD)
			s = adopt(fd); /* a process that is given descriptors asks what they are */
		if (!s)
			return result;
	}
	if (level != SOL_SOCKET) {
		errno = ENOPROTOOPT;
		return -1;
	}
	switch (name) {
	case SO_RCVBUF: number = s->shared->rcvbuf; break;
	case SO_SNDBUF: number = DEFAULT_RCVBUF; break;
	case SO_TYPE: number = s->type; break;
	case SO_DOMAIN: number = AF_NETLINK; break;
	case SO_PROTOCOL: number = NETLINK_RDMA_PROTOCOL; break;
	case SO_ERROR: number = __atomic_exchange_n(&s->shared->error, 0, __ATOMIC_SEQ_CST); break;
	}
	memcpy(value, &number, *size < sizeof number ? *size : sizeof number);
	*size = sizeof number;
	return 0;
}

ssize_t sendto(int fd, const void *bytes, size_t size, int flags, const struct sockaddr *to, socklen_t to_size)
{
	struct sock *s = find(fd);

	return s ? transmit_vector(s, &(struct iovec){ (void *)bytes, size }, 1)
			 : syscall(SYS_sendto, fd, bytes, size, flags, to, to_size);
}

ssize_t send(int fd, const void *bytes, size_t size, int flags) { return sendto(fd, bytes, size, flags, NULL, 0); }

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	struct sock *s = find(fd);

	return s ? transmit_vector(s, message->msg_iov, message->msg_iovlen) : syscall(SYS_sendmsg, fd, message, flags);
}

ssize_t write(int fd, const void *bytes, size_t size)
{
	struct sock *s = find(fd);

	return s ? transmit_vector(s, &(struct iovec){ (void *)bytes, size }, 1) : syscall(SYS_write, fd, bytes, size);
}

static int peer_refused(void)
{
	int error = kernel ? __atomic_load_n(&kernel->peer_errno, __ATOMIC_SEQ_CST) : 0;

	if (error) {
		__atomic_add_fetch(&kernel->peer_refused, 1, __ATOMIC_SEQ_CST);
		errno = error;
	}
	return error;
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	struct sock *s = find(fd);

	if (!s && (flags & MSG_ERRQUEUE) && peer_refused())
		return -1;
	return s ? receive(s, message, flags) : syscall(SYS_recvmsg, fd, message, flags);
}

ssize_t recvfrom(int fd, void *restrict bytes, size_t size, int flags, struct sockaddr *restrict from,
	socklen_t *restrict from_size)
{
	struct sock *s = find(fd);
	struct iovec iov = { bytes, size };
	struct msghdr message = {
		.msg_name = from, .msg_namelen = from && from_size ? *from_size : 0, .msg_iov = &iov, .msg_iovlen = 1
	};

	if (!s)
		return syscall(SYS_recvfrom, fd, bytes, size, flags, from, from_size);
	ssize_t received = receive(s, &message, flags);
	if (received >= 0 && from && from_size)
		*from_size = message.msg_namelen;
	return received;
}

ssize_t recv(int fd, void *bytes, size_t size, int flags) { return recvfrom(fd, bytes, size, flags, NULL, NULL); }

ssize_t read(int fd, void *bytes, size_t size)
{
	return find(fd) ? recvfrom(fd, bytes, size, 0, NULL, NULL) : syscall(SYS_read, fd, bytes, size);
}

ssize_t __recvfrom_chk(
	int fd, void *bytes, size_t size, size_t room, int flags, struct sockaddr *from, socklen_t *from_size)
{
	(void)room;
	return recvfrom(fd, bytes, size, flags, from, from_size);
}

ssize_t __recv_chk(int fd, void *bytes, size_t size, size_t room, int flags)
{
	(void)room;
	return recv(fd, bytes, size, flags);
}

ssize_t __read_chk(int fd, void *bytes, size_t size, size_t room)
{
	(void)room;
	return read(fd, bytes, size);
}

int recvmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags, struct timespec *timeout)
{
	unsigned int taken_count = 0;

	if (!find(fd))
		return peer_refused() ? -1 : (int)syscall(SYS_recvmmsg, fd, messages, count, flags, timeout);
	for (; taken_count < count; taken_count++) {
		int more = taken_count ? MSG_DONTWAIT : 0;
		ssize_t size = recvmsg(
			fd, &messages[taken_count].msg_hdr, (flags & ~MSG_WAITFORONE) | (flags & MSG_WAITFORONE ? more : 0));

		if (size < 0)
			return taken_count ? (int)taken_count : -1;
		messages[taken_count].msg_len = size;
	}
	return taken_count;
}

int sendmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags)
{
	if (!find(fd))
		return syscall(SYS_sendmmsg, fd, messages, count, flags);
	for (unsigned int i = 0; i < count; i++)
		messages[i].msg_len = sendmsg(fd, &messages[i].msg_hdr, flags);
	return count;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	static int (*real)(clockid_t, struct timespec *);
	int result;

	real = real ? real : (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	result = real(clock, now);
	if (clock == CLOCK_BOOTTIME && result == 0) {
		pthread_once(&kernel_once, open_kernel);
		uint64_t nanoseconds = now->tv_nsec + kernel->clock_ahead;

		now->tv_sec += nanoseconds / 1000000000;
		now->tv_nsec = nanoseconds % 1000000000;
	}
	return result;
}

int close(int fd)
{
	struct sock *s = find(fd);

	if (s) {
		socks[fd] = NULL;
		syscall(SYS_close, s->kernel_end);
		munmap(s->shared, 4096);
		if (s->page >= 0) { /* the next to be taken is the one that has been free for longest: the player may still look */
			memmove(pages + 1, pages, page_count++ * sizeof *pages);
			pages[0] = s->page;
		}
		free(s->pending);
		free(s);
	}
	return syscall(SYS_close, fd);
}

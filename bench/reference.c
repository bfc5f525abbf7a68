// SPDX-License-Identifier: MIT
/*
 * The port mapper's part for the kernel and for peers, in C, for comparison only: it makes the calls that an ADD, a
 * REMOVE and a Request need and no other, parses the same messages, keeps the same table (rows of 64 bytes with
 * sequence and checksum, chained by port) and fills the same replies. No logging, configuration, state file,
 * resends, deadlines or limits. With --floor it makes only the calls: nothing is parsed beyond what they need,
 * there is no table, and the replies are canned.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <rdma/rdma_netlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ROWS 65536
#define ANSWER_WITHIN 9500000000ull
#define LOW_PORT 1024
#define KEPT 1024
#define LONGEST 320

struct row {
	uint32_t sequence, checksum;
	uint64_t high, low;
	uint32_t scope;
	uint16_t port;
	uint8_t family, unused;
	uint16_t mapped;
	uint8_t state, client;
	uint32_t flags;
	int32_t references;
	uint32_t generation;
	uint64_t created, touched;
};
_Static_assert(sizeof(struct row) == 64, "as in the daemon");

struct request {
	uint16_t operation;
	uint8_t client;
	uint32_t sequence, flags;
	struct sockaddr_storage local;
	bool whole;
};

static struct row rows[ROWS];
static int heads[65536], next_row[ROWS], free_row, touched_rows, fds[65536];
static int netlink, answering, next_port = LOW_PORT;
static uint32_t our_sequence;
static _Alignas(4) uint8_t kept[KEPT][LONGEST];
static unsigned kept_from, kept_to;
static uint64_t seen_empty;
static bool floor_only;

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* ---- the table ---- */

static void begin(struct row *row) { __atomic_store_n(&row->sequence, row->sequence | 1, __ATOMIC_SEQ_CST); }

static void end(struct row *row)
{
	const uint64_t *words = (const uint64_t *)row;
	uint64_t checksum = 0xcbf29ce484222325;

	for (int i = 1; i < 8; i++) {
		checksum = (checksum ^ words[i]) * 0x9e3779b97f4a7c15;
		checksum = checksum << 29 | checksum >> 35;
	}
	row->checksum = checksum ^ checksum >> 32;
	__atomic_store_n(&row->sequence, row->sequence + 1, __ATOMIC_RELEASE);
}

static void key_of(const struct sockaddr_storage *from, struct row *row)
{
	const struct sockaddr_in6 *v6 = (const void *)from;
	const struct sockaddr_in *v4 = (const void *)from;

	row->family = from->ss_family == AF_INET ? 4 : 6;
	row->port = ntohs(v4->sin_port);
	if (row->family == 4) {
		row->high = 0;
		row->low = ntohl(v4->sin_addr.s_addr);
		return;
	}
	memcpy(&row->high, v6->sin6_addr.s6_addr, 8);
	memcpy(&row->low, v6->sin6_addr.s6_addr + 8, 8);
	row->high = be64toh(row->high);
	row->low = be64toh(row->low);
	row->scope = v6->sin6_scope_id;
}

static bool same(const struct row *a, const struct row *b)
{
	return a->family == b->family && a->high == b->high && a->low == b->low && a->port == b->port;
}

static int find(const struct row *key, bool overlapping)
{
	int found = -1;

	for (int slot = heads[key->port] - 1; slot >= 0; slot = next_row[slot] - 1) {
		const struct row *row = &rows[slot];

		if (same(row, key))
			return slot;
		if (overlapping && row->family == key->family && ((!row->high && !row->low) || (!key->high && !key->low)))
			found = slot;
	}
	return found;
}

static int insert(const struct row *key, uint16_t mapped, const struct request *request, uint64_t at)
{
	int slot = free_row ? free_row - 1 : touched_rows++;
	struct row *row = &rows[slot];
	uint32_t sequence, generation = row->generation;

	if (free_row)
		free_row = next_row[slot];
	begin(row);
	sequence = row->sequence;
	*row = *key;
	row->sequence = sequence;
	row->generation = generation + 1;
	row->mapped = mapped;
	row->state = request->flags ? 2 : 1;
	row->client = request->client;
	row->flags = request->flags;
	row->references = 1;
	row->created = row->touched = at;
	end(row);
	next_row[slot] = heads[key->port];
	heads[key->port] = slot + 1;
	return slot;
}

static void delete(int slot)
{
	struct row *row = &rows[slot];
	int *link = &heads[row->port];

	while (*link != slot + 1)
		link = &next_row[*link - 1];
	*link = next_row[slot];
	begin(row);
	*row = (struct row){ .sequence = row->sequence, .generation = row->generation };
	end(row);
	next_row[slot] = free_row;
	free_row = slot + 1;
}

/* ---- messages ---- */

static void put(uint8_t *message, int type, const void *value, size_t size)
{
	struct nlmsghdr *header = (struct nlmsghdr *)message;
	struct nlattr attribute = { NLA_HDRLEN + size, type };
	uint8_t *at = message + header->nlmsg_len;

	memset(at + NLA_ALIGN(attribute.nla_len) - 4, 0, 4);
	memcpy(at, &attribute, sizeof attribute);
	memcpy(at + NLA_HDRLEN, value, size);
	header->nlmsg_len += NLA_ALIGN(attribute.nla_len);
}

static void put_address(uint8_t *message, int type, const struct row *key, uint16_t port)
{
	struct sockaddr_storage storage = { 0 };
	struct sockaddr_in *v4 = (void *)&storage;
	struct sockaddr_in6 *v6 = (void *)&storage;
	uint64_t high = htobe64(key->high), low = htobe64(key->low);

	v4->sin_port = htons(port);
	if (key->family == 4) {
		v4->sin_family = AF_INET;
		v4->sin_addr.s_addr = htonl(key->low);
	} else {
		v6->sin6_family = AF_INET6;
		memcpy(v6->sin6_addr.s6_addr, &high, 8);
		memcpy(v6->sin6_addr.s6_addr + 8, &low, 8);
		v6->sin6_scope_id = key->scope;
	}
	put(message, type, &storage, sizeof storage);
}

static uint8_t *start_message(uint8_t *message, int client, int operation)
{
	*(struct nlmsghdr *)message =
		(struct nlmsghdr){ NLMSG_HDRLEN, (client << 10) + operation, NLM_F_REQUEST, our_sequence++, getpid() };
	return message;
}

/* What came while a DONE was awaited waits here. */
static void keep(const uint8_t *bytes, ssize_t size)
{
	if (size >= NLMSG_HDRLEN && size <= LONGEST && kept_to - kept_from < KEPT)
		memcpy(kept[kept_to++ % KEPT], bytes, size);
}

/* Sends, and reads until its DONE. */
static void send_message(const uint8_t *message)
{
	_Alignas(4) uint8_t bytes[8192];
	uint32_t sequence = ((const struct nlmsghdr *)message)->nlmsg_seq;
	struct sockaddr_nl from;
	const struct nlmsghdr *header = (const struct nlmsghdr *)bytes;

	if (send(netlink, message, ((const struct nlmsghdr *)message)->nlmsg_len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		_exit(1);
	for (;;) {
		socklen_t from_size = sizeof from;
		ssize_t size = recvfrom(netlink, bytes, sizeof bytes, MSG_DONTWAIT | MSG_TRUNC, (struct sockaddr *)&from, &from_size);

		if (size < 0)
			_exit(1); /* the simulated kernel's DONE is there when the send returns */
		if (header->nlmsg_type == NLMSG_DONE && header->nlmsg_seq == sequence)
			return;
		keep(bytes, size);
	}
}

static bool parse(const uint8_t *bytes, struct request *request)
{
	const struct nlmsghdr *header = (const struct nlmsghdr *)bytes;
	size_t at = NLMSG_HDRLEN, end = header->nlmsg_len;

	*request = (struct request){
		.operation = header->nlmsg_type & 1023, .client = header->nlmsg_type >> 10, .sequence = header->nlmsg_seq
	};
	while (at < end) {
		struct nlattr attribute;

		if (end - at < sizeof attribute)
			return false;
		memcpy(&attribute, bytes + at, sizeof attribute);
		if (attribute.nla_len < sizeof attribute || attribute.nla_len > end - at)
			return false;
		switch (attribute.nla_type & NLA_TYPE_MASK) {
		case IWPM_NLA_MANAGE_ADDR:
			if (attribute.nla_len < NLA_HDRLEN + sizeof request->local)
				break;
			memcpy(&request->local, bytes + at + NLA_HDRLEN, sizeof request->local);
			request->whole = request->local.ss_family == AF_INET || request->local.ss_family == AF_INET6;
			break;
		case IWPM_NLA_MANAGE_FLAGS:
			memcpy(&request->flags, bytes + at + NLA_HDRLEN, sizeof request->flags);
			break;
		}
		at += NLA_ALIGN(attribute.nla_len);
	}
	return request->whole;
}

static uint16_t claim(uint16_t except)
{
	struct sockaddr_in any = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	for (;;) {
		uint16_t port = next_port;

		next_port = next_port == 65535 ? LOW_PORT : next_port + 1;
		any.sin_port = htons(port);
		if (port != except && !fds[port] && bind(fd, (struct sockaddr *)&any, sizeof any) == 0) {
			fds[port] = fd + 1;
			return port;
		}
	}
}

static void release(uint16_t port)
{
	close(fds[port] - 1);
	fds[port] = 0;
}

static void add(const uint8_t *bytes)
{
	_Alignas(4) uint8_t message[600];
	struct request request;
	struct row key = { 0 };
	uint16_t zero = 0, mapped;
	uint64_t at = now();

	if (!parse(bytes, &request))
		return;
	key_of(&request.local, &key);
	if (find(&key, false) >= 0 || find(&key, true) >= 0)
		return;
	mapped = request.flags ? key.port : claim(key.port);
	insert(&key, mapped, &request, at);
	start_message(message, request.client, RDMA_NL_IWPM_ADD_MAPPING);
	put(message, IWPM_NLA_RMANAGE_MAPPING_SEQ, &request.sequence, sizeof request.sequence);
	put_address(message, IWPM_NLA_RMANAGE_ADDR, &key, key.port);
	put_address(message, IWPM_NLA_RMANAGE_MAPPED_LOC_ADDR, &key, mapped);
	put(message, IWPM_NLA_RMANAGE_MAPPING_ERR, &zero, sizeof zero);
	if (now() <= seen_empty + ANSWER_WITHIN)
		send_message(message);
}

static void take_away(const uint8_t *bytes)
{
	struct request request;
	struct row key = { 0 };
	int slot;

	if (!parse(bytes, &request))
		return;
	key_of(&request.local, &key);
	if ((slot = find(&key, false)) < 0)
		return;
	if (rows[slot].state == 1)
		release(rows[slot].mapped);
	delete(slot);
}

/* The local port stands 8 bytes behind the first attribute, the flags at the end. */
static void floor_kernel(const uint8_t *bytes)
{
	static _Alignas(4) uint8_t reply[296] = { [0] = 296 & 255, 296 >> 8 };
	static uint16_t mapped[65536];
	const struct nlmsghdr *header = (const struct nlmsghdr *)bytes;
	uint16_t port = *(const uint16_t *)(bytes + 30);
	bool no_port_map = bytes[header->nlmsg_len - 4];

	if ((header->nlmsg_type & 1023) == RDMA_NL_IWPM_REMOVE_MAPPING) {
		if (mapped[port])
			release(mapped[port]);
		mapped[port] = 0;
		return;
	}
	if (!no_port_map)
		mapped[port] = claim(0);
	*(struct nlmsghdr *)reply = (struct nlmsghdr){ sizeof reply, header->nlmsg_type, NLM_F_REQUEST, our_sequence++, 0 };
	*(struct nlattr *)(reply + NLMSG_HDRLEN) = (struct nlattr){ 8, 1 };
	memcpy(reply + NLMSG_HDRLEN + NLA_HDRLEN, &header->nlmsg_seq, 4);
	send_message(reply);
}

static void serve(const uint8_t *bytes)
{
	_Alignas(4) uint8_t message[200];
	const struct nlmsghdr *header = (const struct nlmsghdr *)bytes;
	uint16_t version = 4, zero = 0;

	switch (header->nlmsg_type - (RDMA_NL_IWCM << 10)) {
	case RDMA_NL_IWPM_ADD_MAPPING: floor_only ? floor_kernel(bytes) : add(bytes); break;
	case RDMA_NL_IWPM_REMOVE_MAPPING: floor_only ? floor_kernel(bytes) : take_away(bytes); break;
	case RDMA_NL_IWPM_REG_PID:
		start_message(message, RDMA_NL_IWCM, RDMA_NL_IWPM_REG_PID);
		put(message, IWPM_NLA_RREG_PID_SEQ, &header->nlmsg_seq, sizeof header->nlmsg_seq);
		put(message, IWPM_NLA_RREG_IBDEV_NAME, "siw0", 5);
		put(message, IWPM_NLA_RREG_ULIB_NAME, "iWarpPortMapperUser", 20);
		put(message, IWPM_NLA_RREG_ULIB_VER, &version, sizeof version);
		put(message, IWPM_NLA_RREG_PID_ERR, &zero, sizeof zero);
		send_message(message);
		break;
	case RDMA_NL_IWPM_HELLO:
		start_message(message, RDMA_NL_IWCM, RDMA_NL_IWPM_MAPINFO);
		put(message, 1, "iWarpPortMapperUser", 20);
		put(message, 2, &version, sizeof version);
		send_message(message);
		break;
	}
}

/* ---- peers ---- */

static uint16_t get16(const uint8_t *at) { return at[0] << 8 | at[1]; }

static void tell_remote(const struct row *row, const uint8_t *request)
{
	_Alignas(4) uint8_t message[600];
	struct row remote = { .family = 4, .low = ntohl(*(const uint32_t *)(request + 16)) };
	uint32_t none = 0;
	uint16_t zero = 0;

	start_message(message, row->client, RDMA_NL_IWPM_REMOTE_INFO);
	put(message, IWPM_NLA_RQUERY_MAPPING_SEQ, &none, sizeof none);
	put_address(message, IWPM_NLA_RQUERY_LOCAL_ADDR, row, row->port);
	put_address(message, IWPM_NLA_RQUERY_REMOTE_ADDR, &remote, get16(request + 6));
	put_address(message, IWPM_NLA_RQUERY_MAPPED_LOC_ADDR, row, row->mapped);
	put_address(message, IWPM_NLA_RQUERY_MAPPED_REM_ADDR, &remote, get16(request + 2));
	put(message, IWPM_NLA_RQUERY_MAPPING_ERR, &zero, sizeof zero);
	send_message(message);
}

/* Requests of v4 get an Accept or a Reject; an Ack ends nothing, since nothing is kept of them. */
static void serve_peers(void)
{
	uint8_t bytes[65], control[256];
	struct sockaddr_in from;
	struct iovec iov = { bytes, sizeof bytes };
	ssize_t size;

	for (;;) {
		struct msghdr message = { .msg_name = &from,
			.msg_namelen = sizeof from,
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof control };
		struct row key = { .family = 4 };
		int slot = -1;

		iov.iov_len = sizeof bytes;
		size = recvmsg(answering, &message, MSG_DONTWAIT);
		if (size < 0)
			return;
		if (size != 64 || bytes[0] != 0x04)
			continue;
		key.port = get16(bytes + 4);
		key.low = ntohl(*(const uint32_t *)(bytes + 32));
		if (floor_only) {
			static _Alignas(4) uint8_t canned[560];

			*(struct nlmsghdr *)canned = (struct nlmsghdr){ sizeof canned,
				(RDMA_NL_IWCM << 10) + RDMA_NL_IWPM_REMOTE_INFO, NLM_F_REQUEST, our_sequence++, 0 };
			send_message(canned);
			bytes[0] = 0x14;
		} else if ((slot = find(&key, true)) >= 0) {
			tell_remote(&rows[slot], bytes);
			bytes[4] = rows[slot].mapped >> 8;
			bytes[5] = rows[slot].mapped;
			bytes[0] = 0x14;
		} else {
			bytes[0] = 0x34;
		}
		bytes[2] = bytes[3] = 0;
		iov.iov_len = 48;
		sendmsg(answering, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
}

static void serve_kernel(void)
{
	_Alignas(4) uint8_t bytes[8192];

	for (;;) {
		struct sockaddr_nl from;
		socklen_t from_size = sizeof from;
		uint64_t before = now();
		ssize_t size = recvfrom(netlink, bytes, sizeof bytes, MSG_DONTWAIT | MSG_TRUNC, (struct sockaddr *)&from, &from_size);

		if (size < 0) {
			seen_empty = before;
			break;
		}
		keep(bytes, size);
	}
	while (kept_from != kept_to) {
		const uint8_t *message = kept[kept_from % KEPT];

		serve(message);
		kept_from++;
	}
}

int main(int argc, char **argv)
{
	_Alignas(4) uint8_t message[100];
	struct sockaddr_nl own = { .nl_family = AF_NETLINK, .nl_pid = getpid(), .nl_groups = 1 << (RDMA_NL_GROUP_IWPM - 1) };
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(3935) };
	struct epoll_event events[2] = { { EPOLLIN, { .fd = 0 } }, { EPOLLIN, { .fd = 1 } } };
	int epoll = epoll_create1(EPOLL_CLOEXEC), buffer = 8 << 20, yes = 1;
	uint16_t version = 4;

	floor_only = argc > 1 && strcmp(argv[argc - 1], "--floor") == 0;
	netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_RDMA);
	setsockopt(netlink, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
	answering = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	setsockopt(answering, IPPROTO_IP, IP_PKTINFO, &yes, sizeof yes);
	if (bind(netlink, (struct sockaddr *)&own, sizeof own) != 0 ||
		bind(answering, (struct sockaddr *)&any, sizeof any) != 0)
		return 1;
	close(fcntl(epoll, F_DUPFD, 19900)); /* as the daemon does: a table of descriptors that does not grow later */
	epoll_ctl(epoll, EPOLL_CTL_ADD, netlink, &events[0]);
	epoll_ctl(epoll, EPOLL_CTL_ADD, answering, &events[1]);
	seen_empty = now();
	start_message(message, RDMA_NL_IWCM, RDMA_NL_IWPM_HELLO);
	put(message, 1, &version, sizeof version);
	send_message(message);
	serve_kernel();
	for (;;) {
		int count = epoll_wait(epoll, events, 2, 2000);

		serve_kernel();
		for (int i = 0; i < count; i++)
			if (events[i].data.fd == 1)
				serve_peers();
	}
}

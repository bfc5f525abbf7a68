// SPDX-License-Identifier: MIT
/* What a kernel and peers ask of a daemon, and how long it takes. One thread; nothing is allocated while it
 * measures. */
#define _GNU_SOURCE
#include "bench.h"
#include "../simkernel/simkernel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <poll.h>
#include <rdma/rdma_netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHARGE 1280              /* of a request in the kernel's receive buffer */
#define PORTS_PER_ADDRESS 60000
#define FIRST_PORT 1000
#define ANSWERED_BY 5000         /* the port that the peer says it is mapped to */
#define MAX_SAMPLES 65536
#define PATIENCE 60              /* seconds for an answer */
#define IN_FLIGHT 1024           /* more than any window */

static double sent_at[IN_FLIGHT], samples[MAX_SAMPLES];
static int sample_count;

static void sample(uint64_t id)
{
	if (sample_count < MAX_SAMPLES)
		samples[sample_count++] = (seconds(CLOCK_MONOTONIC) - sent_at[id % IN_FLIGHT]) * 1e6;
}

static int compare(const void *one, const void *other)
{
	double a = *(const double *)one, b = *(const double *)other;

	return a < b ? -1 : a > b;
}

double median_of(double *values, int count)
{
	qsort(values, count, sizeof *values, compare);
	return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* ---- netlink ---- */

static size_t put_attribute(uint8_t *at, int type, const void *value, size_t size)
{
	struct nlattr attribute = { NLA_HDRLEN + size, type };

	memcpy(at, &attribute, sizeof attribute);
	memcpy(at + NLA_HDRLEN, value, size);
	return NLA_ALIGN(NLA_HDRLEN + size);
}

static struct sockaddr_storage address_of(int index, bool mapped)
{
	struct sockaddr_storage storage = { 0 };
	struct sockaddr_in *v4 = (struct sockaddr_in *)&storage;

	v4->sin_family = AF_INET;
	v4->sin_port = htons(mapped ? 20000 + index : FIRST_PORT + index % PORTS_PER_ADDRESS);
	v4->sin_addr.s_addr = htonl(0x0a000001 + index / PORTS_PER_ADDRESS);
	return storage;
}

/* ADD_MAPPING, REMOVE_MAPPING or MAPINFO of mapping number INDEX; returns its bytes. */
size_t put_mapping(uint8_t *to, struct subject *s, int operation, int index, uint32_t flags)
{
	struct nlmsghdr header = { .nlmsg_type = (CLIENT << 10) + operation, .nlmsg_flags = NLM_F_REQUEST };
	struct sockaddr_storage local = address_of(index, false), mapped = address_of(index, !(flags & NO_PORT_MAP));
	size_t size = NLMSG_HDRLEN;

	if (operation == RDMA_NL_IWPM_MAPINFO) {
		header.nlmsg_flags = NLM_F_MULTI;
		size += put_attribute(to + size, 1, &local, sizeof local);
		size += put_attribute(to + size, 2, &mapped, sizeof mapped);
	} else {
		header.nlmsg_seq = __atomic_fetch_add(&s->kernel->next_sequence, 1, __ATOMIC_SEQ_CST);
		size += put_attribute(to + size, IWPM_NLA_MANAGE_MAPPING_SEQ, &header.nlmsg_seq, sizeof header.nlmsg_seq);
		size += put_attribute(to + size, IWPM_NLA_MANAGE_ADDR, &local, sizeof local);
	}
	if (operation != RDMA_NL_IWPM_REMOVE_MAPPING)
		size += put_attribute(to + size, 3, &flags, sizeof flags);
	header.nlmsg_len = size;
	memcpy(to, &header, sizeof header);
	return size;
}

void tell(struct subject *s, const void *message, size_t size)
{
	struct simheader header = { CHARGE, 0 };
	struct iovec iov[2] = { { &header, sizeof header }, { (void *)message, size } };
	struct msghdr datagram = { .msg_iov = iov, .msg_iovlen = 2 };

	sent_at[((const struct nlmsghdr *)message)->nlmsg_seq % IN_FLIGHT] = seconds(CLOCK_MONOTONIC);
	__atomic_add_fetch(&s->page->rmem, CHARGE, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&s->page->queued, 1, __ATOMIC_SEQ_CST);
	if (sendmsg(s->kernel_end, &datagram, MSG_NOSIGNAL) < 0)
		die("%s takes no netlink messages", program_names[s->program]);
}

/* The next message of the daemon: the sequence number that it answers. */
uint32_t hear(struct subject *s, int *operation, int *error)
{
	uint8_t bytes[1024];
	const uint8_t *message = bytes + sizeof(struct simrecord);
	ssize_t size = recv(s->kernel_end, bytes, sizeof bytes, 0) - (ssize_t)sizeof(struct simrecord);
	uint32_t sequence;

	if (size < NLMSG_HDRLEN + NLA_HDRLEN + 4)
		die("%s does not answer: see %s/log", program_names[s->program], s->folder);
	*operation = ((const struct nlmsghdr *)message)->nlmsg_type & 1023;
	memcpy(&sequence, message + NLMSG_HDRLEN + NLA_HDRLEN, sizeof sequence); /* all of them put SEQ first */
	*error = *operation == RDMA_NL_IWPM_HANDLE_ERR ? *(const uint16_t *)(message + NLMSG_HDRLEN + 2 * NLA_HDRLEN + 4) : 0;
	return sequence;
}

static uint32_t hear_good(struct subject *s, int expected)
{
	int operation, error;
	uint32_t sequence = hear(s, &operation, &error);

	if (operation != expected)
		die("%s answers operation %d with %d, error %d, at %d mappings", program_names[s->program], expected,
			operation, error, s->size);
	return sequence;
}

void register_client(struct subject *s)
{
	_Alignas(4) uint8_t message[200];
	struct nlmsghdr header = { .nlmsg_type = CLIENT << 10,
		.nlmsg_flags = NLM_F_REQUEST,
		.nlmsg_seq = __atomic_fetch_add(&s->kernel->next_sequence, 1, __ATOMIC_SEQ_CST) };
	size_t size = NLMSG_HDRLEN;

	size += put_attribute(message + size, IWPM_NLA_REG_PID_SEQ, &header.nlmsg_seq, 4);
	size += put_attribute(message + size, IWPM_NLA_REG_IF_NAME, "eth0\0\0\0\0\0\0\0\0\0\0\0", 16);
	size += put_attribute(message + size, IWPM_NLA_REG_IBDEV_NAME, (char[32]){ "siw0" }, 32);
	size += put_attribute(message + size, IWPM_NLA_REG_ULIB_NAME, (char[32]){ "iWarpPortMapperUser" }, 32);
	header.nlmsg_len = size;
	memcpy(message, &header, sizeof header);
	tell(s, message, size);
	hear_good(s, RDMA_NL_IWPM_REG_PID);
}

static void tell_mapping(struct subject *s, int operation, int index, uint32_t flags)
{
	_Alignas(4) uint8_t message[300];

	tell(s, message, put_mapping(message, s, operation, index, flags));
}

static void add(struct subject *s, int first, int count, int window, uint32_t flags)
{
	for (int sent = 0, heard = 0; heard < count; heard++) {
		for (; sent < count && sent - heard < window; sent++)
			tell_mapping(s, RDMA_NL_IWPM_ADD_MAPPING, first + sent, flags);
		sample(hear_good(s, RDMA_NL_IWPM_ADD_MAPPING));
	}
}

static void take_away(struct subject *s, int first, int count)
{
	for (int i = 0; i < count; i++)
		tell_mapping(s, RDMA_NL_IWPM_REMOVE_MAPPING, first + i, 0);
}

void fill(struct subject *s, int size, uint32_t flags)
{
	for (sample_count = 0; s->size < size; s->size += 64, sample_count = 0)
		add(s, s->size, size - s->size < 64 ? size - s->size : 64, 64, flags);
	s->size = size;
	settle(s);
}

/* A process that keeps WINDOW requests outstanding until it is killed, and the table as small as it was. */
pid_t load_without_end(struct subject *s, int window)
{
	struct subject aside = { .program = s->program, .kernel_end = -1, .listener = s->listener };
	pid_t child = fork();

	if (child)
		return child;
	close(STDERR_FILENO); /* at the daemon's end nobody hears it any more */
	for (int sent = 0, heard = 0;; heard++) {
		struct pollfd ready[] = { { aside.listener, POLLIN, 0 }, { aside.kernel_end, POLLIN, 0 },
			{ s->kernel_end, POLLIN, 0 } };

		for (; sent - heard < window; sent++)
			tell_mapping(s, RDMA_NL_IWPM_ADD_MAPPING, s->size + sent % (4 * window), NO_PORT_MAP);
		poll(ready, 3, -1);
		if (ready[0].revents)
			accept_socket(&aside); /* ours answers by another one at its end */
		hear_good(ready[1].revents ? &aside : s, RDMA_NL_IWPM_ADD_MAPPING);
		take_away(s, s->size + heard % (4 * window), 1);
	}
}

/* ---- what is measured ---- */

static struct figure figure_of(int count, double elapsed, double used, double generator)
{
	struct figure result = { .rate = count / elapsed, .cpu = used / count, .generator = generator * 1e6 / count };

	qsort(samples, sample_count, sizeof *samples, compare);
	result.median = samples[sample_count / 2];
	result.p99 = samples[sample_count * 99 / 100];
	return result;
}

/* So few at a time that the table keeps about its size. */
struct figure load_adds(struct subject *s, int count, int window, uint32_t flags)
{
	double elapsed = 0, used = 0, generator = 0;
	int batch = s->size < 1000 ? 50 : 250;

	sample_count = 0;
	for (int done = 0; done < count; done += batch) {
		double before = cpu(s), own = seconds(CLOCK_PROCESS_CPUTIME_ID), started = seconds(CLOCK_MONOTONIC);

		add(s, s->size, batch, window, flags);
		elapsed += seconds(CLOCK_MONOTONIC) - started;
		generator += seconds(CLOCK_PROCESS_CPUTIME_ID) - own;
		settle(s);
		used += cpu(s) - before;
		take_away(s, s->size, batch);
		settle(s);
	}
	return figure_of(sample_count, elapsed, used, generator);
}

/* ADD and REMOVE in turn. */
struct figure load_churn(struct subject *s, int count, int window, uint32_t flags)
{
	double before = cpu(s), own = seconds(CLOCK_PROCESS_CPUTIME_ID), started = seconds(CLOCK_MONOTONIC), elapsed;

	sample_count = 0;
	for (int done = 0; done < count; done += window) {
		add(s, s->size, window, window, flags);
		take_away(s, s->size, window);
	}
	elapsed = seconds(CLOCK_MONOTONIC) - started;
	own = seconds(CLOCK_PROCESS_CPUTIME_ID) - own;
	settle(s);
	return figure_of(sample_count, elapsed, cpu(s) - before, own);
}

static void put16(uint8_t *at, uint16_t value) { at[0] = value >> 8, at[1] = value; }

static int hosts = 1000; /* that ask */

/* A Request from one of the hosts, which the handle names. */
static void send_request(struct subject *s, int mapping)
{
	struct sockaddr_storage asked = address_of(mapping, false);
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(3935) }, local = *(struct sockaddr_in *)&asked;
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
	} control = { .header = { CMSG_LEN(sizeof(struct in_pktinfo)), IPPROTO_IP, IP_PKTINFO } };
	struct in_pktinfo source = { .ipi_spec_dst.s_addr = htonl(0x0a400001 + (s->number << 16) + s->handle % hosts) };
	uint8_t request[64] = { 0x04 };
	struct iovec iov = { request, sizeof request };
	struct msghdr message = { .msg_name = &to,
		.msg_namelen = sizeof to,
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof control };

	to.sin_addr.s_addr = htonl(0x0a090001 + (s->number << 8));
	memcpy(CMSG_DATA(&control.header), &source, sizeof source);
	put16(request + 2, 40001);
	memcpy(request + 4, &local.sin_port, 2);
	put16(request + 6, 40000);
	memcpy(request + 8, &s->handle, 8);
	memcpy(request + 16, &source.ipi_spec_dst, 4);
	memcpy(request + 32, &local.sin_addr, 4);
	memcpy(request + 48, &source.ipi_spec_dst, 4);
	sent_at[s->handle++ % IN_FLIGHT] = seconds(CLOCK_MONOTONIC);
	if (sendmsg(s->peer, &message, 0) < 0)
		die("sendmsg");
}

static void send_ack(struct subject *s, uint8_t *answer, struct sockaddr_in *to)
{
	struct iovec iov = { answer, 48 };
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
	} control = { .header = { CMSG_LEN(sizeof(struct in_pktinfo)), IPPROTO_IP, IP_PKTINFO } };
	struct in_pktinfo source = { 0 };
	struct msghdr message = { .msg_name = to,
		.msg_namelen = sizeof *to,
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof control };

	memcpy(&source.ipi_spec_dst, answer + 16, 4);
	memcpy(CMSG_DATA(&control.header), &source, sizeof source);
	answer[0] = 0x24;
	sendmsg(s->peer, &message, 0);
}

/* An answer; false when it is to none that waits: C sends its Accepts again. An Accept gets its Ack. */
static bool take_answer(struct subject *s, int type)
{
	uint8_t answer[65];
	struct sockaddr_in from;
	socklen_t size = sizeof from;
	uint64_t handle;
	bool awaited;

	if (recvfrom(s->peer, answer, sizeof answer, 0, (struct sockaddr *)&from, &size) != 48)
		die("%s does not answer a Request", program_names[s->program]);
	memcpy(&handle, answer + 8, sizeof handle);
	awaited = handle + IN_FLIGHT >= s->handle && sent_at[handle % IN_FLIGHT] != 0;
	if (awaited && answer[0] >> 4 != type)
		die("%s answers a Request with type %d", program_names[s->program], answer[0] >> 4);
	if (awaited)
		sample(handle);
	sent_at[handle % IN_FLIGHT] = awaited ? 0 : sent_at[handle % IN_FLIGHT];
	if (answer[0] >> 4 == 1)
		send_ack(s, answer, &from);
	return awaited;
}

/* The kernel says nothing to what it hears of peers, so the simulated one is not asked to tell us. */
static struct figure converse(struct subject *s, int count, int window, int first, int type)
{
	double before, own, started, elapsed;

	s->kernel->quiet = ~0u;
	settle(s);
	sample_count = 0;
	before = cpu(s), own = seconds(CLOCK_PROCESS_CPUTIME_ID), started = seconds(CLOCK_MONOTONIC);
	for (int sent = 0, heard = 0; heard < count; heard++) {
		for (; sent < count && sent - heard < window; sent++)
			send_request(s, first + (int)(s->handle * 7919 % (s->size ? s->size : 1)));
		while (!take_answer(s, type))
			;
	}
	elapsed = seconds(CLOCK_MONOTONIC) - started;
	own = seconds(CLOCK_PROCESS_CPUTIME_ID) - own;
	settle(s);
	s->kernel->quiet = 0;
	return figure_of(count, elapsed, cpu(s) - before, own);
}

struct figure load_requests(struct subject *s, int count, int window, uint32_t flags)
{
	(void)flags;
	return converse(s, count, window, 0, 1);
}

struct figure load_rejects(struct subject *s, int count, int window, uint32_t flags)
{
	(void)flags;
	return converse(s, count, window, s->size, 3);
}

/* Answers the daemon's own Request, as the port mapper of the host that it asks. */
static void answer_query(struct subject *s)
{
	uint8_t message[64];
	struct sockaddr_in from;
	socklen_t size = sizeof from;

	do {
		if (recvfrom(s->answering, message, sizeof message, 0, (struct sockaddr *)&from, &size) < 48)
			die("%s asks no peer", program_names[s->program]);
	} while (message[0] != 0x04); /* an Ack of the last one */
	message[0] = 0x14;
	put16(message + 2, 0);
	put16(message + 4, ANSWERED_BY);
	sendto(s->answering, message, 48, 0, (struct sockaddr *)&from, size);
}

/* QUERY_MAPPING -> Request -> Accept -> answer, Ack; our own turn is in its time. Then REMOVE. */
struct figure load_queries(struct subject *s, int count, int window, uint32_t flags)
{
	double before = cpu(s), own = seconds(CLOCK_PROCESS_CPUTIME_ID), started = seconds(CLOCK_MONOTONIC), elapsed;
	_Alignas(4) uint8_t message[320];

	(void)window;
	sample_count = 0;
	for (int i = 0; i < count; i++) {
		struct nlmsghdr header = { .nlmsg_type = (CLIENT << 10) + RDMA_NL_IWPM_QUERY_MAPPING, .nlmsg_flags = NLM_F_REQUEST,
			.nlmsg_seq = __atomic_fetch_add(&s->kernel->next_sequence, 1, __ATOMIC_SEQ_CST) };
		struct sockaddr_storage local = address_of(s->size + i % 50, false), remote = address_of(7, false);
		size_t size = NLMSG_HDRLEN;

		((struct sockaddr_in *)&remote)->sin_addr.s_addr = htonl(0x0a090002 + (s->number << 8));
		size += put_attribute(message + size, IWPM_NLA_QUERY_MAPPING_SEQ, &header.nlmsg_seq, 4);
		size += put_attribute(message + size, IWPM_NLA_QUERY_LOCAL_ADDR, &local, sizeof local);
		size += put_attribute(message + size, IWPM_NLA_QUERY_REMOTE_ADDR, &remote, sizeof remote);
		size += put_attribute(message + size, IWPM_NLA_QUERY_FLAGS, &flags, sizeof flags);
		header.nlmsg_len = size;
		memcpy(message, &header, sizeof header);
		tell(s, message, size);
		answer_query(s);
		sample(hear_good(s, RDMA_NL_IWPM_QUERY_MAPPING));
		tell_mapping(s, RDMA_NL_IWPM_REMOVE_MAPPING, s->size + i % 50, 0);
	}
	elapsed = seconds(CLOCK_MONOTONIC) - started;
	own = seconds(CLOCK_PROCESS_CPUTIME_ID) - own;
	settle(s);
	return figure_of(count, elapsed, cpu(s) - before, own);
}

/* A job starts: each of so many hosts, not seen before, connects to one of the first mappings; meanwhile the host
 * itself makes a mapping every millisecond. Returns the seconds until the last host has its Accept. */
double job_start(struct subject *s, int count, int listeners, int window, double *p99)
{
	static double times[MAX_SAMPLES];
	const int usual = hosts, first = s->size;
	double started = seconds(CLOCK_MONOTONIC), next = started, took = 0;
	int sent = 0, heard = 0, added = 0, operation, error;
	bool adding = false;

	hosts = count;
	s->handle = 0;
	s->kernel->quiet = 1u << RDMA_NL_IWPM_REMOTE_INFO;
	while (heard < count || adding) {
		struct pollfd ready[] = { { s->peer, POLLIN, 0 }, { s->kernel_end, POLLIN, 0 } };

		for (; sent < count && sent - heard < window; sent++)
			send_request(s, sent % listeners);
		if (heard < count && !adding && seconds(CLOCK_MONOTONIC) >= next) {
			double *slot = &sent_at[s->kernel->next_sequence % IN_FLIGHT], asked = *slot; /* of a Request */

			times[added] = seconds(CLOCK_MONOTONIC), next = times[added] + 0.001, adding = true;
			tell_mapping(s, RDMA_NL_IWPM_ADD_MAPPING, first + added++, NO_PORT_MAP);
			*slot = asked;
		}
		if (poll(ready, 2, PATIENCE * 1000) == 0)
			die("%s has served %d of %d hosts", program_names[s->program], heard, count);
		sample_count = 0;
		if (ready[0].revents && take_answer(s, 1))
			took = seconds(CLOCK_MONOTONIC) - started, heard++;
		if (ready[1].revents && (hear(s, &operation, &error), operation == RDMA_NL_IWPM_ADD_MAPPING))
			times[added - 1] = (seconds(CLOCK_MONOTONIC) - times[added - 1]) * 1e6, adding = false;
	}
	hosts = usual;
	s->kernel->quiet = 0;
	take_away(s, first, added);
	settle(s);
	qsort(times, added, sizeof *times, compare);
	*p99 = times[added * 99 / 100];
	return took;
}

/* ---- during a flood ---- */

#define KNOWN_HOSTS 8
#define ASK_EVERY 0.01           /* seconds; of all of them */
#define ASK_AGAIN 0.5            /* as both daemons do at the latest */
#define IN_TIME 1.0
#define MAX_ASKED 4096

static struct { uint64_t handle; double at; bool again, answered; } questions[MAX_ASKED];

static void ask(struct subject *s, int number)
{
	s->handle = questions[number].handle;
	send_request(s, 0);
}

/* What known hosts have heard by now, and what they ask again. Returns how many were answered in time. */
static int turn_peers(struct subject *s, int asked)
{
	double now = seconds(CLOCK_MONOTONIC);
	uint8_t answer[65];
	struct sockaddr_in from;
	socklen_t size = sizeof from;
	uint64_t handle;
	int answered = 0;

	while (recvfrom(s->peer, answer, sizeof answer, MSG_DONTWAIT, (struct sockaddr *)&from, &size) == 48) {
		memcpy(&handle, answer + 8, sizeof handle);
		for (int i = 0; i < asked; i++)
			if (questions[i].handle == handle && now - questions[i].at <= IN_TIME)
				questions[i].answered = true;
		if (answer[0] >> 4 == 1)
			send_ack(s, answer, &from);
	}
	for (int i = 0; i < asked; i++) {
		answered += questions[i].answered;
		if (!questions[i].answered && !questions[i].again && now - questions[i].at > ASK_AGAIN) {
			questions[i].again = true;
			ask(s, i);
		}
	}
	return answered;
}

/* ADD and REMOVE a thousand times a second while the process FLOOD runs (for a second when that is 0), and known
 * hosts that ask meanwhile. */
struct figure adds_beside(struct subject *s, pid_t flood, int *asked, int *answered)
{
	static uint64_t round;
	double started = seconds(CLOCK_MONOTONIC), ended = 0, now;
	int operation, error;
	uint32_t sequence;

	round++;
	*asked = sample_count = 0;
	for (now = started; !ended || now - ended < IN_TIME + 0.1; now = seconds(CLOCK_MONOTONIC)) {
		if (!ended && *asked < MAX_ASKED && now - started >= *asked * ASK_EVERY) {
			questions[*asked] =
				(typeof(*questions)){ .handle = (round * MAX_ASKED + *asked) * 1000 + *asked % KNOWN_HOSTS,
					.at = now };
			ask(s, (*asked)++);
		}
		*answered = turn_peers(s, *asked);
		if (!ended) {
			tell_mapping(s, RDMA_NL_IWPM_ADD_MAPPING, s->size, 0);
			do
				sequence = hear(s, &operation, &error); /* of peers as well */
			while (operation == RDMA_NL_IWPM_REMOTE_INFO);
			sample(sequence);
			take_away(s, s->size, 1);
		}
		usleep(1000);
		if (!ended && (flood ? waitpid(flood, NULL, WNOHANG) == flood : now - started > 1))
			ended = now;
	}
	return figure_of(sample_count, now - started, 0, 0);
}

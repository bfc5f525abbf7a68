// SPDX-License-Identifier: MIT
/* The connection endpoints that the simulated kernel has, of its own choice: how it asks for their mappings, what it
 * says of them to who asks about devices (nldev), and what the daemon must hold for them. */
#define _GNU_SOURCE
#include "fuzz.h"

#include <errno.h>
#include <linux/netlink.h>
#include <rdma/rdma_netlink.h>
#include <string.h>

#define ENDPOINTS 96
#define DEVICES 2              /* iWARP devices, from number 3 on; the one behind them is another */
#define FIRST_DEVICE 3
#define LISTEN 8               /* RDMA_CM_LISTEN; any other state is a connection's */
#define CONNECTED 5
#define PER_DATAGRAM 7
#define TIMES_ASKED 25         /* audits: the daemon gives up after 30 that fail */
#define RECORDING_TIME 10100   /* ms */
#define SILENCE 1100           /* ms that the daemon waits for an answer about devices */
#define QUERY_TIME 1.5         /* s: longer than query_deadline */
#define PATIENCE 0.05          /* s: how long after a lie of silence the time is put forward; else AUDIT_TIME */

/* How an audit goes wrong. All but SWAPPED can be seen, so that the daemon may change nothing. */
enum lie {
	TRUE, SWAPPED,             /* one is shown twice in the place of another: only two such audits are believed */
	SHORT, SILENT, REFUSED, INTERRUPTED, MUTATED, PRIVATE, UNCOUNTED, LOST, LIES
};

static struct endpoint {
	bool exists, listens, is_wildcard, is_answered, is_unmapped;
	uint16_t mapped;           /* 0: it has no mapped port */
	uint8_t devices, accepted; /* of a listener: connections with its address */
	uint32_t sequence;
	uint8_t local[128];
} endpoints[ENDPOINTS];

static uint32_t added;         /* so many so far: each has a port of its own */
static struct random random_lie;
static enum lie lie;
static int lie_at, victim, asked, begun, audits, descriptors;
static bool was_swapped, is_one_lie;

/* ---- coming and going ---- */

static size_t build_replayed(uint8_t *start, const struct endpoint *endpoint)
{
	uint32_t flags = endpoint->is_unmapped;
	uint8_t mapped[128], *at = begin(start, CLIENT << 10 | MAPINFO, NLM_F_MULTI, 0);

	memcpy(mapped, endpoint->local, 128);
	if (endpoint->mapped)
		put16(mapped + 2, htons(endpoint->mapped));
	at = attribute(attribute(attribute(at, 1, endpoint->local, 128), 2, mapped, 128), 3, &flags, 4);
	return finish(start, at);
}

/* What the kernel would replay now. */
static void record(void)
{
	static uint8_t bytes[2 * ENDPOINTS * 288];
	size_t size = 0;

	for (int i = 0; i < ENDPOINTS; i++)
		for (int n = 0; endpoints[i].exists && endpoints[i].is_answered && n < endpoints[i].devices; n++)
			size += build_replayed(bytes + size, &endpoints[i]);
	host_set_replay(bytes, size);
}

static void add(struct random *random)
{
	static const char *const addresses[] = { "172.31.200.", "172.31.200.", "fd00:ac1f:c8::", "0.0.0.0" };
	struct endpoint *one = endpoints;
	uint32_t kind = below(random, 8) ? below(random, 3) : 3, flags, number = added++;
	static struct input input = { .kind = 'K' };
	char text[40];

	while (one < endpoints + ENDPOINTS && one->exists)
		one++;
	if (one == endpoints + ENDPOINTS || !host_is_asked())
		return;
	snprintf(text, sizeof text, kind == 3 ? "%s" : kind == 2 ? "%s%x" : "%s%u", addresses[kind], 1 + number % 250);
	*one = (struct endpoint){ .exists = true, .listens = kind == 3 || below(random, 3), .is_wildcard = kind == 3,
		.is_unmapped = below(random, 8) == 0, .devices = 1 };
	put16(one->local, kind == 2 ? AF_INET6 : AF_INET);
	put16(one->local + 2, htons(2000 + number % 15000));
	inet_pton(get16(one->local), text, one->local + (kind == 2 ? 8 : 4));
	one->accepted = one->listens ? below(random, 3) : 0;
	one->devices = one->is_wildcard ? DEVICES : 1;
	flags = one->is_unmapped;
	input.size = 0;
	for (int n = 0; n < one->devices; n++) {
		uint8_t *at = input.bytes + input.size;

		if (one->listens) {
			input.size += build_manage(at, ADD_MAPPING, CLIENT, one->local, &flags);
		} else {
			uint8_t remote[128] = { 0 };

			put16(remote, get16(one->local));
			put16(remote + 2, htons(7174));
			inet_pton(get16(remote), kind == 2 ? "fd00::2" : "10.0.0.2", remote + (kind == 2 ? 8 : 4));
			input.size += build_manage(at, QUERY_MAPPING, CLIENT, one->local, NULL);
			attribute(attribute(at + input.size, 3, remote, 128), 4, &flags, 4);
			put32(at, input.size += 132 + 8);
		}
		one->sequence = get32(at + 8); /* of the last */
	}
	judge_sent(&input);
	host_send(&input);
}

/* It ends; nobody may hear of it. */
static void end(struct endpoint *one, bool is_told)
{
	static struct input input = { .kind = 'K' };

	input.size = 0;
	for (int n = 0; n < one->devices; n++)
		input.size += build_manage(input.bytes + input.size, REMOVE_MAPPING, CLIENT, one->local, NULL);
	one->exists = false;
	record();
	if (is_told) {
		judge_sent(&input);
		host_send(&input);
	}
}

void endpoints_change(struct random *random, uint32_t more, uint32_t fewer, bool is_told)
{
	while (more--)
		add(random);
	while (fewer--) {
		struct endpoint *one = &endpoints[below(random, ENDPOINTS)];

		/* an ADD that nobody answered yet may be answered by the next process */
		if (one->exists && one->is_answered)
			end(one, is_told);
	}
}

void endpoints_end(void)
{
	for (int i = 0; i < ENDPOINTS; i++)
		if (endpoints[i].exists)
			end(&endpoints[i], true);
}

static bool are_answered(void)
{
	for (int i = 0; i < ENDPOINTS; i++)
		if (endpoints[i].exists && !endpoints[i].is_answered)
			return false;
	return true;
}

/* False when some are not answered, though all that the kernel said has been served. */
bool endpoints_await(void)
{
	fence();
	for (double since = patience(); !are_answered() && !has_failed() && patience() - since < QUERY_TIME; host_wait(20))
		host_drain();
	return are_answered();
}

/* Those that have no answer get none any more. */
void endpoints_give_up(void)
{
	for (int i = 0; i < ENDPOINTS; i++)
		endpoints[i].is_answered = true;
	record();
}

void endpoints_heard(const uint8_t *bytes, size_t size)
{
	uint16_t operation = get16(bytes + 4) & 1023, port;
	size_t mapped = operation == ADD_MAPPING ? 28 + 132 : 28 + 2 * 132;

	if (operation != ADD_MAPPING && operation != QUERY_MAPPING && operation != HANDLE_ERR)
		return;
	for (int i = 0; i < ENDPOINTS; i++)
		if (endpoints[i].exists && !endpoints[i].is_answered && endpoints[i].sequence == get32(bytes + 20)) {
			port = operation == HANDLE_ERR || get16(bytes + size - 4) ? 0 : ntohs(get16(bytes + mapped + 2));
			endpoints[i].is_answered = true;
			endpoints[i].mapped = port == ntohs(get16(endpoints[i].local + 2)) ? 0 : port;
			record();
		}
}

/* The peer of a connection accepts. */
bool endpoints_met(enum socket_name at, const struct sockaddr_in6 *from, const uint8_t *bytes, size_t size)
{
	static struct input input;
	bool v4 = from->sin6_family == AF_INET;

	if (size < 48 || bytes[0] >> 4 || (v4 ? memcmp(bytes + 16, "\xac\x1f\xc8", 3) : memcmp(bytes + 18, "\xac\x1f", 2)))
		return false;
	input = (struct input){ .kind = 'u', .from = at, .to = v4 ? V4_ASKING : V6_ASKING, .size = 48 };
	memcpy(input.bytes, bytes, 48);
	input.bytes[0] |= 1 << 4;
	put16(input.bytes + 2, 0);
	put16(input.bytes + 4, htons(41001));
	judge_sent(&input);
	host_send(&input);
	return true;
}

/* ---- what is said of them ---- */

static void send_out(uint32_t source, uint8_t *start, uint8_t *end, bool is_true)
{
	size_t size = finish(start, end);
	uint8_t copy[MAX_INPUT];

	host_say(source, start, size);
	for (uint32_t n = is_true && lie == MUTATED ? 1 + below(&random_lie, 4) : 0; n; n--) {
		memcpy(copy, start, size);
		host_say(source, copy, mutate(&random_lie, copy, size, true));
	}
}

static bool is_hidden(int number)
{
	return number == victim && (lie == SWAPPED || lie == SHORT || lie == INTERRUPTED || lie == PRIVATE);
}

static uint8_t *put_endpoint(uint8_t *at, const struct endpoint *one, bool listens)
{
	uint8_t *start = at, state = listens ? LISTEN : CONNECTED, local[128];
	uint32_t space = 0x106;

	at = attribute(at, RDMA_NLDEV_ATTR_RES_CM_ID_ENTRY, "", 0);
	at = attribute(attribute(at, RDMA_NLDEV_ATTR_RES_PS, &space, 4), RDMA_NLDEV_ATTR_RES_STATE, &state, 1);
	if (one) { /* else it has no address yet */
		memcpy(local, one->local, 128);
		if (one->is_wildcard && !listens)
			inet_pton(AF_INET, "10.0.0.1", local + 4);
		at = attribute(at, RDMA_NLDEV_ATTR_RES_SRC_ADDR, local, 128);
	}
	put16(start, at - start);
	return at;
}

static bool is_at(int number, int device)
{
	return endpoints[number].exists && (endpoints[number].devices > 1 || number % DEVICES == device);
}

/* Each device has one endpoint without an address. */
static int count(int device)
{
	int total = 1;

	for (int i = 0; i < ENDPOINTS; i++)
		if (is_at(i, device) && !(is_hidden(i) && lie == PRIVATE))
			total += 1 + endpoints[i].accepted;
	return total;
}

static void say_endpoints(uint32_t source, const uint8_t *question, uint32_t sequence, uint32_t device, bool nothing)
{
	uint8_t bytes[MAX_INPUT], *at = bytes, *list = NULL;
	uint32_t number = FIRST_DEVICE + device;
	uint16_t flags = NLM_F_MULTI | (lie == INTERRUPTED && !nothing ? NLM_F_DUMP_INTR : 0);
	int inside = 0;

	for (int i = -1; i < ENDPOINTS; i++) {
		struct endpoint *one = i < 0 ? NULL : &endpoints[i];
		bool is_here = device < DEVICES && (!one || is_at(i, device));
		/* in the place of the hidden one, another that is shown already */
		struct endpoint *other = lie == SWAPPED || lie == INTERRUPTED ? &endpoints[victim ^ DEVICES] : NULL,
			*shown = one && is_hidden(i) ? other : one;
		int times = one ? 1 + one->accepted : 1;

		if (one && is_hidden(i) && !shown)
			continue;
		for (int n = 0; !nothing && is_here && n < times; n++) {
			if (!inside++) {
				at = begin(bytes, get16(question + 4), flags, sequence);
				at = attribute(at, RDMA_NLDEV_ATTR_DEV_INDEX, &number, 4);
				at = attribute(list = at, RDMA_NLDEV_ATTR_RES_CM_ID, "", 0);
			}
			at = put_endpoint(at, shown, one && one->listens && n == 0);
			put16(list, at - list);
			if (inside == PER_DATAGRAM) {
				send_out(source, bytes, at, !nothing);
				inside = 0;
			}
		}
	}
	if (inside)
		send_out(source, bytes, at, !nothing);
}

static void say_device(uint32_t source, const uint8_t *question, uint32_t sequence, int device, bool nothing)
{
	static const char *const names[] = { "qp", "cm_id" };
	uint8_t bytes[600], *at, *summary, *entry, type = device < DEVICES ? RDMA_NODE_RNIC : RDMA_NODE_IB_CA;
	uint32_t number = FIRST_DEVICE + device;
	/* of a mutated answer the daemon may see more than there is, but not so many */
	uint64_t total = nothing ? 0 : device == DEVICES ? 17 : count(device) + (lie == MUTATED ? 1000 : 0), others = 5;

	at = attribute(begin(bytes, get16(question + 4), NLM_F_MULTI, sequence), RDMA_NLDEV_ATTR_DEV_INDEX, &number, 4);
	at = attribute(at, RDMA_NLDEV_ATTR_DEV_NAME, device ? "siw1" : "siw0", 5);
	if ((get16(question + 4) & 1023) == RDMA_NLDEV_CMD_GET) {
		at = attribute(at, RDMA_NLDEV_ATTR_DEV_NODE_TYPE, &type, 1);
	} else if (lie != UNCOUNTED || device != victim % DEVICES || nothing) {
		at = attribute(summary = at, RDMA_NLDEV_ATTR_RES_SUMMARY, "", 0);
		for (int i = 0; i < 2; i++) {
			at = attribute(entry = at, RDMA_NLDEV_ATTR_RES_SUMMARY_ENTRY, "", 0);
			at = attribute(at, RDMA_NLDEV_ATTR_RES_SUMMARY_ENTRY_NAME, names[i], i ? 6 : 3);
			at = attribute(at, RDMA_NLDEV_ATTR_RES_SUMMARY_ENTRY_CURR, i ? &total : &others, 8);
			put16(entry, at - entry);
		}
		put16(summary, at - summary);
	}
	send_out(source, bytes, at, !nothing);
}

static void say_end(uint32_t source, uint32_t sequence, uint16_t type, int32_t result, uint16_t flags)
{
	uint8_t bytes[64], *at = begin(bytes, type, flags | NLM_F_MULTI, sequence);

	put32(at, result);
	host_say(source, bytes, finish(bytes, at + 4));
}

/* A whole answer; nothing: there are devices without endpoints. */
static void say(uint32_t source, const uint8_t *question, uint32_t sequence, bool nothing)
{
	uint8_t bytes[64], mode = lie != PRIVATE || nothing, *at;
	int operation = get16(question + 4) & 1023;

	if (operation == RDMA_NLDEV_CMD_SYS_GET) {
		at = attribute(begin(bytes, get16(question + 4), 0, sequence), RDMA_NLDEV_SYS_ATTR_NETNS_MODE, &mode, 1);
		return send_out(source, bytes, at, !nothing);
	}
	if (operation == RDMA_NLDEV_CMD_RES_CM_ID_GET)
		say_endpoints(source, question, sequence, get32(question + 20) - FIRST_DEVICE, nothing);
	else
		for (int device = 0; device <= DEVICES; device++)
			say_device(source, question, sequence, device, nothing);
	say_end(source, sequence, NLMSG_DONE, 0, lie == INTERRUPTED && !nothing ? NLM_F_DUMP_INTR : 0);
}

/* From now on the kernel tells the truth about devices, or lies. */
void endpoints_lie(uint32_t number)
{
	random_lie.state = mix(number);
	is_one_lie = number;
}

static void begin_lie(void)
{
	lie = is_one_lie ? below(&random_lie, LIES) : TRUE;
	lie_at = below(&random_lie, 6);
	do /* the one that is shown in its place stands beside it, on the same device */
		victim = below(&random_lie, ENDPOINTS);
	while (!endpoints[victim].exists && below(&random_lie, 200));
	if (!endpoints[victim].exists || !endpoints[victim ^ DEVICES].exists || endpoints[victim].devices > 1 ||
		(lie == SWAPPED && was_swapped))
		lie = lie == SWAPPED || lie == INTERRUPTED || lie == PRIVATE || lie == SHORT ? TRUE : lie;
	was_swapped = lie == SWAPPED;
	asked = 0;
}

void endpoints_asked(const uint8_t *question, size_t size)
{
	uint32_t sequence = get32(question + 8);
	int operation = get16(question + 4) & 1023;

	if (operation == RDMA_NLDEV_CMD_SYS_GET)
		begin_lie(), begun++;
	if (operation == RDMA_NLDEV_CMD_RES_CM_ID_GET &&
		(size < 24 || (lie != MUTATED && get32(question + 20) - FIRST_DEVICE >= DEVICES)))
		return fail("output: the kernel is asked for the endpoints of what is no iWARP device");
	/* another process, and an answer to another question */
	say(1 + below(&random_lie, 100000), question, sequence, true);
	say(0, question, sequence + (below(&random_lie, 2) ? 1 : -1), true);
	if (asked++ == lie_at && lie == SILENT)
		return;
	if (asked - 1 == lie_at && lie == LOST)
		return host_say_lost();
	if (asked - 1 == lie_at && lie == REFUSED)
		return say_end(0, sequence, below(&random_lie, 2) ? NLMSG_ERROR : NLMSG_DONE, -ENOMEM, 0);
	say(0, question, sequence, false);
}

void endpoints_audited(void) { audits++; }

/* ---- what must hold ---- */

/* One audit, if one is due; false when none is. */
static bool audit(void)
{
	int before = begun;

	for (pass(RECORDING_TIME); host_is_auditing() && !has_failed(); pass(SILENCE)) /* which ends one without an answer */
		for (double since = patience(); host_is_auditing() && !has_failed(); host_wait(5)) {
			host_drain();
			if (patience() - since > (lie == SILENT || lie == LOST ? PATIENCE : AUDIT_TIME))
				break;
		}
	pass(0); /* what became of it is done */
	return begun != before;
}

void endpoints_audit(uint32_t number)
{
	endpoints_lie(number);
	audit();
	endpoints_check();
}

/* The port of each is held. */
void endpoints_check(void)
{
	char text[64];

	for (int i = 0; i < ENDPOINTS && !has_failed(); i++)
		if (endpoints[i].exists && endpoints[i].mapped && host_port_is_free(endpoints[i].mapped)) {
			bool v4 = get16(endpoints[i].local) == AF_INET;

			inet_ntop(v4 ? AF_INET : AF_INET6, endpoints[i].local + (v4 ? 4 : 8), text, sizeof text);
			fail("kept: port %u is free, which the kernel uses for %s %u", endpoints[i].mapped, text,
				ntohs(get16(endpoints[i].local + 2)));
		}
}

static struct endpoint *find(const struct sockaddr_in6 *local)
{
	bool v4 = local->sin6_family == AF_INET;

	for (int i = 0; i < ENDPOINTS; i++)
		if (endpoints[i].exists && memcmp(endpoints[i].local, local, 4) == 0 &&
			memcmp(endpoints[i].local + (v4 ? 4 : 8), (uint8_t *)local + (v4 ? 4 : 8), v4 ? 4 : 16) == 0)
			return &endpoints[i];
	return NULL;
}

/* Nothing is open but what was at the beginning, and the ports of the mappings. */
void endpoints_check_ports(void)
{
	struct dumped *rows;
	int held = 0, opened, count = host_dump(&rows);

	if (count != host_shown())
		return; /* the log lacks some */

	for (int port = LOWEST_PORT; (port = host_held(port, HIGHEST_PORT)); port++) {
		bool is_used = false;

		held++;
		for (int i = 0; i < count; i++)
			is_used |= rows[i].mapped_port == port;
		if (!is_used)
			return fail("port: TCP port %d is bound, and no mapping has it", port);
	}
	opened = host_measure_at_rest(descriptors + held).descriptors;
	if (opened != descriptors + held)
		fail("descriptors: %d, %d without mappings, of which %d have ports", opened, descriptors, held);
}

/* The daemon has no mappings. */
void endpoints_begin(void) { descriptors = host_measure_at_rest(0).descriptors; }

/* Two true audits later the daemon has a mapping for each, as the kernel has it, and no other. */
void endpoints_settle(void)
{
	struct dumped *rows = NULL;
	int expected = 0, total = 0, shown = 0, before = audits;
	char text[64];

	endpoints_await();
	endpoints_give_up();
	endpoints_lie(0);
	/* a replay puts one off */
	for (int n = 0, quiet = 0; quiet < 2 && !has_failed(); n++) {
		quiet = audit() ? 0 : quiet + 1;
		if (n == TIMES_ASKED)
			return fail("audit: it has no end");
	}
	endpoints_check();
	for (int i = 0; i < ENDPOINTS; i++)
		expected += endpoints[i].exists && endpoints[i].mapped;
	for (int n = 0; n < 20 && !has_failed() && (n == 0 || shown < total); n++) {
		total = host_dump(&rows);
		shown = host_shown();
		for (int i = 0; i < shown && !has_failed(); i++) {
			struct endpoint *one = find(&rows[i].local);
			bool v4 = rows[i].local.sin6_family == AF_INET;

			inet_ntop(rows[i].local.sin6_family, (uint8_t *)&rows[i].local + (v4 ? 4 : 8), text, sizeof text);
			if (!one)
				fail("released: %s %u is mapped to %u with %d references, and after %d audits the kernel has no such "
				     "endpoint", text, ntohs(rows[i].local.sin6_port), rows[i].mapped_port, rows[i].references,
					audits - before);
			else if (one->mapped && one->mapped != rows[i].mapped_port)
				fail("kept: %s %u is mapped to %u, and the kernel uses %u", text, ntohs(rows[i].local.sin6_port),
					rows[i].mapped_port, one->mapped);
			else if (rows[i].references != one->devices)
				fail("audit: %s %u has %d references, and the kernel %d", text, ntohs(rows[i].local.sin6_port),
					rows[i].references, one->devices);
		}
	}
	if (!has_failed() && total < expected)
		fail("kept: %d mappings, and the kernel uses %d", total, expected);
	if (!has_failed())
		endpoints_check_ports();
}

uint16_t endpoints_port(uint32_t number)
{
	return endpoints[number % ENDPOINTS].exists ? endpoints[number % ENDPOINTS].mapped : 0;
}

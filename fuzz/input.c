// SPDX-License-Identifier: MIT
/* What is sent. Input number i of a seed is a function of the two, but for what the daemon sent before: handles,
 * sequence numbers, ports. */
#define _GNU_SOURCE
#include "fuzz.h"

#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CORPUS 1024
#define RECENT 64              /* a power of two */
#define POOL 6000              /* local endpoints: more than the daemon has room for */
#define PHASE 6000             /* inputs: filling, mixed, emptying take turns */

struct sample { uint32_t size; uint8_t *bytes; };

static struct sample netlink[MAX_CORPUS], peer[MAX_CORPUS];
static uint32_t netlink_count, peer_count;

/* What the daemon said lately, and what we sent lately. */
static struct sample said[RECENT], sent[RECENT];
static uint32_t said_count, sent_count, daemon_sequence;

static uint64_t next(struct random *random) { return mix(random->state++); }
uint32_t below(struct random *random, uint32_t limit) { return (uint32_t)((next(random) >> 32) * limit >> 32); }
static bool one_in(struct random *random, uint32_t n) { return below(random, n) == 0; }

static void keep(struct sample *ring, uint32_t *count, const uint8_t *bytes, uint32_t size)
{
	struct sample *at = &ring[(*count)++ % RECENT];

	at->bytes = realloc(at->bytes, size ? size : 1);
	memcpy(at->bytes, bytes, at->size = size);
}

void input_saw(const uint8_t *bytes, size_t size, uint32_t sequence)
{
	if (sequence)
		daemon_sequence = sequence;
	if (size <= 64)
		keep(said, &said_count, bytes, size);
}

uint32_t read_hex(const char *text, uint8_t *bytes, uint32_t room)
{
	static const char digits[] = "0123456789abcdef";
	const char *high, *low;
	uint32_t size = 0;

	for (; size < room && *text && (high = strchr(digits, text[0])) && text[1] && (low = strchr(digits, text[1]));
		text += 2)
		bytes[size++] = (high - digits) << 4 | (low - digits);
	return size;
}

/* ---- the corpus: lines "K hex" and "U hex" ---- */

void input_load(const char *path)
{
	static char line[4 * MAX_INPUT];
	FILE *file = fopen(path, "r");

	while (file && fgets(line, sizeof line, file)) {
		uint32_t *count = *line == 'K' ? &netlink_count : &peer_count;
		uint8_t *bytes = malloc(strlen(line) / 2);
		uint32_t size = read_hex(line + 2, bytes, MAX_INPUT);

		if (*count < MAX_CORPUS)
			(*line == 'K' ? netlink : peer)[(*count)++] = (struct sample){ size, bytes };
	}
	if (!file || !netlink_count || !peer_count) {
		fprintf(stderr, "fuzz: %s is no corpus\n", path);
		exit(2);
	}
	fclose(file);
}

/* ---- well-formed messages ---- */

static void address_in(uint8_t *storage, int family, const char *text, uint16_t port)
{
	memset(storage, 0, 128);
	put16(storage, family);
	put16(storage + 2, htons(port));
	inet_pton(family, text, storage + (family == AF_INET ? 4 : 8));
	if (family == AF_INET6 && !strncmp(text, "fe80", 4))
		put32(storage + 24, 2);
}

/* One of the pool; low numbers overlap each other, wildcards among them. */
static void local_address(uint8_t *storage, uint32_t number)
{
	static const struct {
		int family;
		const char *text;
	} some[] = {
		{ AF_INET, "10.0.0.1" },
		{ AF_INET6, "fd00::1" },
		{ AF_INET, "0.0.0.0" },
		{ AF_INET6, "::" },
		{ AF_INET6, "fe80::1" },
		{ AF_INET, "10.0.0.1" },
	};
	char text[32];

	if (number < 600)
		return address_in(storage, some[number % 6].family, some[number % 6].text, 5000 + number / 6 % 40);
	snprintf(text, sizeof text, "10.3.%u.%u", number >> 8, number & 255);
	address_in(storage, AF_INET, text, 6000 + number % 50);
}

static void remote_address(struct random *random, uint8_t *storage, int family)
{
	static const char *const v4[] = { "10.0.0.2", "10.0.0.3", "10.0.0.2", "10.0.0.4", "10.0.0.1", "10.1.7.7",
		"10.2.0.1", "127.0.0.1", "224.0.0.1", "255.255.255.255", "0.0.0.0" };
	static const char *const v6[] = { "fd00::2", "fd00::3", "fd00::2", "fd00::4", "fd00::1", "fe80::2",
		"2001:db8::1", "::1", "ff02::1", "::", "::ffff:10.0.0.2" };
	uint32_t which = below(random, 11), narrow = below(random, 4);

	address_in(storage, family, (family == AF_INET ? v4 : v6)[narrow ? which % 4 : which],
		one_in(random, 3) ? 5000 + below(random, 40) : below(random, 65536));
}

uint8_t *begin(uint8_t *at, uint16_t type, uint16_t flags, uint32_t sequence)
{
	memset(at, 0, NLMSG_HDRLEN);
	put16(at + 4, type);
	put16(at + 6, flags);
	put32(at + 8, sequence);
	return at + NLMSG_HDRLEN;
}

uint8_t *attribute(uint8_t *at, uint16_t type, const void *value, uint16_t size)
{
	memset(at, 0, NLA_ALIGN(4 + size));
	put16(at, 4 + size);
	put16(at + 2, type);
	memcpy(at + 4, value, size);
	return at + NLA_ALIGN(4 + size);
}

size_t finish(uint8_t *start, uint8_t *end)
{
	put32(start, end - start);
	return end - start;
}

size_t build_manage(
	uint8_t *start, enum operation operation, uint8_t client, const void *address, const uint32_t *flags)
{
	uint32_t zero = 0;
	uint8_t *at = attribute(begin(start, client << 10 | operation, NLM_F_REQUEST, host_sequence()), 1, &zero, 4);

	at = attribute(at, 2, address, 128);
	return finish(start, flags ? attribute(at, 3, flags, 4) : at);
}

static size_t build_register(uint8_t *start, struct random *random)
{
	uint32_t zero = 0;
	char name[16] = "eth0", device[32] = "siw0", library[32] = "iWarpPortMapperUser";
	uint32_t sequence = one_in(random, 40) ? 1 : host_sequence();
	uint8_t *at = begin(start, (one_in(random, 8) ? 3 : CLIENT) << 10, NLM_F_REQUEST, sequence);
	at = attribute(at, 1, &zero, 4);

	device[3] = '0' + below(random, 10);
	if (one_in(random, 20))
		library[below(random, 19)] ^= 1;
	at = attribute(attribute(attribute(at, 2, name, 16), 3, device, 32), 4, library, 32);
	return finish(start, at);
}

static size_t build_query(uint8_t *start, struct random *random, uint32_t number)
{
	uint32_t zero = 0, flags = one_in(random, 8);
	uint8_t local[128], remote[128], *at = begin(start, CLIENT << 10 | QUERY_MAPPING, NLM_F_REQUEST, host_sequence());
	at = attribute(at, 1, &zero, 4);

	local_address(local, number);
	remote_address(random, remote, one_in(random, 50) ? AF_INET6 : get16(local));
	at = attribute(attribute(at, 2, local, 128), 3, remote, 128);
	return finish(start, one_in(random, 4) ? at : attribute(at, 4, &flags, 4));
}

static size_t build_mapinfo(uint8_t *start, struct random *random, uint32_t number)
{
	uint32_t flags = one_in(random, 8);
	uint8_t local[128], mapped[128], *at = begin(start, CLIENT << 10 | MAPINFO, NLM_F_MULTI, 0);

	local_address(local, number);
	memcpy(mapped, local, 128);
	if (!one_in(random, 4))
		put16(mapped + 2, htons(one_in(random, 10) ? below(random, 65536) : 20000 + below(random, 2400)));
	return finish(start, attribute(attribute(attribute(at, 1, local, 128), 2, mapped, 128), 3, &flags, 4));
}

static size_t build_small(uint8_t *start, struct random *random)
{
	uint32_t zero = 0, number = below(random, 5);
	uint16_t abi = below(random, 6);

	switch (below(random, 4)) {
	case 0:
		return finish(
			start, attribute(begin(start, CLIENT << 10 | HELLO, NLM_F_REQUEST, host_sequence()), 1, &abi, 2));
	case 1:
		return finish(start,
			attribute(attribute(
			begin(start, CLIENT << 10 | MAPINFO_NUM, NLM_F_REQUEST, host_sequence()), 1, &zero, 4), 2, &number, 4));
	default: { /* a stale outcome */
		static const int32_t results[] = { 0, -22, -16, -105, -1, -11, 0x7fffffff };
		bool done = one_in(random, 2);
		uint8_t *at = begin(
			start, done ? NLMSG_DONE : NLMSG_ERROR, done ? NLM_F_MULTI : 0, daemon_sequence - below(random, 200));

		put32(at, results[below(random, 7)]);
		return finish(start, at + (one_in(random, 5) ? 0 : 4));
	}
	}
}

size_t build_peer(uint8_t *at, int type, int family, uint64_t handle, const char *connecting,
	uint16_t connecting_port, const char *accepting, uint16_t accepting_port)
{
	memset(at, 0, 64);
	at[0] = type << 4 | (family == AF_INET ? 4 : 6);
	put16(at + 4, htons(accepting_port));
	put16(at + 6, htons(connecting_port));
	put64(at + 8, handle);
	inet_pton(family, connecting, at + 16);
	inet_pton(family, accepting, at + 32);
	return 48;
}

static size_t make_peer(uint8_t *at, struct random *random, bool v4)
{
	uint8_t local[128];
	int address_size = v4 ? 4 : 16;

	build_peer(at, one_in(random, 3) ? below(random, 4) : 0, v4 ? AF_INET : AF_INET6,
		one_in(random, 2) ? next(random) : below(random, 8), v4 ? "10.0.0.2" : "fd00::2", 5000 + below(random, 8),
		v4 ? "10.0.0.1" : "fd00::1", 5000 + below(random, 40));
	if (one_in(random, 3)) {
		local_address(local, below(random, POOL));
		if (get16(local) == (v4 ? AF_INET : AF_INET6)) {
			memcpy(at + 32, local + (v4 ? 4 : 8), address_size);
			memcpy(at + 4, local + 2, 2);
		}
	}
	if (at[0] >> 4 || one_in(random, 3))
		return 48;
	memcpy(at + 48, at + 16, 16);
	put16(at + 2, htons(30000 + below(random, 100)));
	return 64;
}

/* ---- mutations ---- */

static const uint32_t edges[] = { 0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 20, 127, 128, 132, 255, 256, 0x7fff, 0x8000,
	0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xfffffffc, 0xffffffff };

static void put_edge(struct random *random, uint8_t *at, size_t width)
{
	uint32_t value = one_in(random, 3) ? (uint32_t)next(random) : edges[below(random, sizeof edges / sizeof *edges)];

	memcpy(at, &value, width);
}

/* Puts the attributes of the first message into another order; some twice, some not at all, some with another
 * length or type. */
static size_t mutate_attributes(struct random *random, uint8_t *bytes, size_t size)
{
	static uint8_t copy[MAX_INPUT];
	uint32_t starts[16], count = 0, at = NLMSG_HDRLEN;
	uint32_t end = size < 20 || get32(bytes) > size ? (uint32_t)size : get32(bytes);
	uint8_t *to;

	for (; count < 16 && at + 4 <= end && get16(bytes + at) >= 4 && at + get16(bytes + at) <= end;
		 at += NLA_ALIGN(get16(bytes + at)))
		starts[count++] = at;
	if (!count)
		return size;
	memcpy(copy, bytes, size);
	to = bytes + NLMSG_HDRLEN;
	for (uint32_t i = 0, total = count + below(random, 3); i < total; i++) {
		uint32_t from = starts[one_in(random, 2) ? below(random, count) : i % count], length = NLA_ALIGN(get16(copy + from));

		if (to + length > bytes + MAX_INPUT || one_in(random, 12))
			continue;
		memcpy(to, copy + from, length);
		if (one_in(random, 6))
			put16(to, one_in(random, 2) ? get16(to) + below(random, 9) - 4 : edges[below(random, 20)]);
		if (one_in(random, 6))
			put16(to + 2, get16(to + 2) ^ (one_in(random, 2) ? 0xc000 : below(random, 8)));
		to += length;
	}
	return finish(bytes, to);
}

size_t mutate(struct random *random, uint8_t *bytes, size_t size, bool is_netlink)
{
	for (uint32_t n = 1 + below(random, one_in(random, 4) ? 12 : 3); n; n--) {
		uint32_t at = size ? below(random, one_in(random, 2) && size > 16 ? 16 : size) : 0, other;

		switch (below(random, is_netlink ? 11 : 8)) {
		case 0: case 1:
			if (size)
				bytes[at] ^= 1 << below(random, 8);
			break;
		case 2:
			if (size)
				bytes[at] = next(random);
			break;
		case 3:
			if (size >= 4)
				put_edge(random, bytes + (below(random, size - 3) & ~1u), one_in(random, 2) ? 2 : 4);
			break;
		case 4:
			size = below(random, size + 1);
			break;
		case 5:
			for (other = one_in(random, 8) ? below(random, 4096) : below(random, 20); other && size < MAX_INPUT - 4; other--)
				bytes[size++] = one_in(random, 2) ? 0 : next(random);
			break;
		case 6: /* a piece of another place */
			if (size > 8) {
				other = below(random, size);
				memmove(bytes + at, bytes + other, below(random, size - (at > other ? at : other) + 1));
			}
			break;
		case 7:
			if (!is_netlink && size) { /* type, family, handle: the fields that select */
				bytes[0] = one_in(random, 2) ? below(random, 4) << 4 | (one_in(random, 2) ? 4 : 6) : next(random);
				break;
			} /* fall through */
		case 8:
			if (size >= 16) {
				if (one_in(random, 2))
					put32(bytes, one_in(random, 2) ? size + below(random, 40) - 20 : edges[below(random, 25)]);
				else
					put16(bytes + 4, one_in(random, 2) ? below(random, 8) << 10 | below(random, 12) : below(random, 65536));
			}
			break;
		case 9:
			if (size >= 16)
				put_edge(random, bytes + 6 + 2 * below(random, 4), 2);
			break;
		case 10:
			size = mutate_attributes(random, bytes, size);
			break;
		}
	}
	return size;
}

/* ---- one input ---- */

static size_t copy_sample(uint8_t *at, const struct sample *sample)
{
	memcpy(at, sample->bytes, sample->size);
	return sample->size;
}

static size_t make_message(uint8_t *at, struct random *random, uint64_t index)
{
	uint32_t phase = index / PHASE % 4, number = one_in(random, 2) ? below(random, 600) : below(random, POOL);
	uint32_t flags = one_in(random, 3);
	uint32_t add = phase == 0 ? 50 : phase < 3 ? 20 : 5, remove = phase == 0 ? 8 : phase < 3 ? 30 : 60;
	uint32_t kind = below(random, 100);
	uint8_t address[128];

	local_address(address, number);
	if (kind < add)
		return build_manage(at, ADD_MAPPING, one_in(random, 30) ? 3 : CLIENT, address, one_in(random, 5) ? NULL : &flags);
	if (kind < add + remove)
		return build_manage(at, REMOVE_MAPPING, CLIENT, address, NULL);
	switch (kind % 8) {
	case 0: case 1: case 2: return build_query(at, random, number);
	case 3: return build_mapinfo(at, random, number);
	case 4: return build_small(at, random);
	case 5: return one_in(random, 4) ? build_register(at, random) : build_query(at, random, below(random, 240));
	default: { /* recorded; with a number of its own, as a kernel would have it */
		size_t size = copy_sample(at, &netlink[below(random, netlink_count)]);

		if (size >= 16 && one_in(random, 2))
			put32(at + 8, host_sequence());
		return size;
	}
	}
}

static void make_netlink(struct input *input, struct random *random, uint64_t index)
{
	uint32_t messages = one_in(random, 5) ? 1 + below(random, 12) : 1;

	input->kind = one_in(random, 100) ? 'F' : 'K';
	input->to = next(random);
	while (messages--) {
		uint8_t *at = input->bytes + input->size;
		size_t size = make_message(at, random, index);

		if (input->size + size > MAX_INPUT - 5000)
			return;
		if (one_in(random, 3))
			size = mutate(random, at, size, true);
		if (input->size + size > MAX_INPUT - 5000)
			return;
		input->size += messages ? NLMSG_ALIGN(size) : size;
	}
	if (one_in(random, 12))
		input->size = mutate(random, input->bytes, input->size, true);
}

static void make_udp(struct input *input, struct random *random)
{
	struct sample *samples = peer;
	uint32_t count = peer_count;

	input->kind = one_in(random, 30) ? 'C' : 'U';
	input->to = below(random, DESTINATIONS);
	input->from = below(random, SOCKETS);
	input->address = one_in(random, 2) ? 0 : 1 + below(random, one_in(random, 2) ? 4 : 65535);
	if (one_in(random, 3) && said_count >= RECENT) /* its own words, back */
		samples = said, count = RECENT;
	if (one_in(random, 2))
		input->size = make_peer(input->bytes, random, input->to < V6_ANSWERING);
	else
		input->size = copy_sample(input->bytes, &samples[below(random, count)]);
	if (input->size >= 48 && one_in(random, 3))
		input->bytes[0] = (input->bytes[0] & 0xf) | below(random, 4) << 4;
	if (one_in(random, 3))
		input->size = mutate(random, input->bytes, input->size, false);
}

static void make_event(struct input *input, struct random *random)
{
	static const int32_t actions[] = { -16, -105, -22, -1 };

	input->kind = "AAARROBBNH"[below(random, 10)];
	input->to = input->kind == 'B' ? one_in(random, 4) ? 3u : 4u : below(random, 9);
	if (input->kind == 'A') {
		put32(input->bytes, actions[below(random, 4)]);
		input->size = 4;
	} else if (input->kind == 'N') {
		input->to = next(random);
	} else if (input->kind == 'H') {
		input->to = below(random, one_in(random, 30) ? 8 : 7);
		for (uint32_t n = below(random, one_in(random, 8) ? MAX_INPUT : 12); n; n--)
			input->bytes[input->size++] = next(random);
	} else if (input->kind == 'R') {
		for (uint32_t n = below(random, 40); n; n--) {
			size_t size = build_mapinfo(input->bytes + input->size, random, below(random, 600));

			if (one_in(random, 20))
				input->bytes[input->size + 16 + below(random, size - 16)] ^= 1 << below(random, 8);
			input->size += size;
		}
	}
}

void input_make(struct input *input, uint64_t seed, uint64_t index)
{
	struct random random = { mix(seed ^ mix(index)) };

	memset(input, 0, offsetof(struct input, bytes));
	if (one_in(&random, 120))
		make_event(input, &random);
	else if (one_in(&random, 40) && sent_count >= RECENT) { /* once more */
		struct sample *again = &sent[below(&random, RECENT)];

		input->kind = 'K';
		input->size = copy_sample(input->bytes, again);
	} else if (one_in(&random, 2))
		make_netlink(input, &random, index);
	else
		make_udp(input, &random);
	if (input->kind == 'K' && input->size && one_in(&random, 4))
		keep(sent, &sent_count, input->bytes, input->size);
}

/* What a peer does with a message of the daemon: mostly what it should. */
void input_answer(
	struct random *random, enum socket_name at, const struct sockaddr_in6 *from, const uint8_t *bytes, size_t size)
{
	static struct input input;
	int type = bytes[0] >> 4;
	bool v4 = from->sin6_family == AF_INET;

	if ((type != 0 && type != 1) || size < 48 || one_in(random, 5))
		return;
	input = (struct input){ .kind = type ? 'U' : 'u',
		.from = one_in(random, 20) ? below(random, SOCKETS) : at,
		.to = (v4 ? 0 : 2) + !type,
		.size = 48 };
	memcpy(input.bytes, bytes, 48);
	input.bytes[0] = (bytes[0] & 0xf) | (type == 1 ? 2 : one_in(random, 4) ? 3 : 1) << 4;
	put16(input.bytes + 2, 0);
	if (type == 0)
		put16(input.bytes + 4, htons(40000 + below(random, 1000)));
	if (one_in(random, 6))
		input.size = mutate(random, input.bytes, input.size, false);
	for (uint32_t copies = one_in(random, 6) ? 3 : 1; copies; copies--)
		submit(&input);
}

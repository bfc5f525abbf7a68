// SPDX-License-Identifier: MIT
/* What the daemon may send: well-formed messages, each answer to a request that was made, none of them twice.
 * Counts are kept until judge_forget. */
#include "fuzz.h"

#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS (1u << 20)

enum count_of { ASKED_OPERATION = 1, ASKED, PEER_ASKED, ACCEPT_SENT };

static struct count { uint64_t key; uint32_t asked, answered; } *counts;
static uint32_t used;
static uint32_t mapinfo_numbers;        /* may be answered besides: those that the simulated kernel makes by itself */

/* Of the daemon, by its sequence: one that comes again unchanged is sent again, not a second answer. */
static struct {
	uint32_t sequence;
	uint64_t digest;
} messages[4096];

static struct count *find(uint64_t key)
{
	uint32_t at = mix(key) & (SLOTS - 1);

	if (!counts)
		counts = calloc(SLOTS, sizeof *counts);
	while (counts[at].key != key && counts[at].key)
		at = (at + 1) & (SLOTS - 1);
	if (!counts[at].key) {
		counts[at].key = key;
		used++;
	}
	return &counts[at];
}

/* Then nothing is counted any more until judge_forget. */
bool judge_is_full(void) { return used > SLOTS / 2; }

void judge_forget(void)
{
	memset(counts, 0, SLOTS * sizeof *counts);
	used = 0;
	mapinfo_numbers = 0;
}

static uint64_t digest(const uint8_t *bytes, size_t size, uint64_t value)
{
	for (size_t i = 0; i < size; i++)
		value = (value ^ bytes[i]) * 0x100000001b3;
	return mix(value) | 1;
}

static uint64_t kernel_key(enum count_of what, uint32_t client, uint32_t sequence, uint32_t operation)
{
	return mix((uint64_t)sequence << 32 | client << 16 | operation << 8 | what) | 1;
}

static uint64_t peer_key(enum count_of what, const uint8_t *handle, const void *address, size_t size)
{
	return digest(address, size, digest(handle, 8, what));
}

static void asked(uint32_t client, uint32_t sequence, uint32_t operation, uint32_t times)
{
	find(kernel_key(ASKED_OPERATION, client, sequence, operation))->asked += times;
	find(kernel_key(ASKED, client, sequence, 0))->asked += times;
}

/* Every message in a datagram that a reader of netlink can find. Without a sender's address a UDP input counts for
 * its handle alone. */
void judge_sent(const struct input *input)
{
	if (judge_is_full())
		return;
	if (input->kind == 'K') {
		uint32_t size = input->size < 8192 ? input->size : 8192;

		for (uint32_t at = 0; at + NLMSG_HDRLEN <= size && get32(input->bytes + at) >= NLMSG_HDRLEN &&
			get32(input->bytes + at) <= size - at; at += NLMSG_ALIGN(get32(input->bytes + at))) {
			uint16_t type = get16(input->bytes + at + 4);

			asked(type >> 10, get32(input->bytes + at + 8), type & 1023, 1);
		}
	} else if (strchr("UuC", input->kind) && input->size >= 16) {
		int type = input->bytes[0] >> 4;

		if (type < 2)
			find(peer_key(type ? ACCEPT_SENT : PEER_ASKED, input->bytes + 8, "", 0))->asked++;
	}
}

/* ---- to the kernel ---- */

#define STRING 0xff /* at most 32 bytes with the terminating NUL */
static const uint8_t layouts[][7] = {
	[REG_PID] = { 4, STRING, STRING, 2, 2 },
	[ADD_MAPPING] = { 4, 128, 128, 2 },
	[QUERY_MAPPING] = { 4, 128, 128, 128, 128, 2 },
	[REMOTE_INFO] = { 4, 128, 128, 128, 128, 2 },
	[HANDLE_ERR] = { 4, 2 },
	[MAPINFO] = { STRING, 2 },
	[MAPINFO_NUM] = { 4, 4, 4 },
	[HELLO] = { 2 },
};

static const char *fault_in_address(const uint8_t *at)
{
	size_t end = get16(at) == AF_INET ? 8 : 28;

	if (get16(at) != AF_INET && get16(at) != AF_INET6)
		return "an address of no family";
	for (; end < 128; end++)
		if (at[end])
			return "an address with something behind it";
	return NULL;
}

static const char *fault_in_attributes(uint32_t operation, const uint8_t *bytes, size_t size)
{
	size_t at = NLMSG_HDRLEN;
	uint16_t family = 0;
	const char *fault;

	for (int i = 0; layouts[operation][i]; i++) {
		uint8_t expected = layouts[operation][i];
		uint16_t length = at + 4 <= size ? get16(bytes + at) : 0, value = length - 4;

		if (length < 4 || at + NLA_ALIGN(length) > size || get16(bytes + at + 2) != i + 1)
			return "an attribute is missing";
		if (expected == STRING
				? value < 1 || value > 32 || memchr(bytes + at + 4, 0, value) != bytes + at + length - 1
				: value != expected)
			return "an attribute has the wrong size";
		if (expected == 128 && (fault = fault_in_address(bytes + at + 4)))
			return fault;
		if (expected == 128) {
			if (family && family != get16(bytes + at + 4))
				return "addresses of two families";
			family = get16(bytes + at + 4);
		}
		for (int pad = length; pad < NLA_ALIGN(length); pad++)
			if (bytes[at + pad])
				return "padding that is not zero";
		at += NLA_ALIGN(length);
	}
	return at == size ? NULL : "something behind the last attribute";
}

static bool is_known_code(uint16_t code, bool is_error)
{
	return is_error ? code >= 10 && code <= 17 : code == 0 || code == 16;
}

static const char *fault_in_message(int verdict, const uint8_t *bytes, size_t size)
{
	uint16_t type = get16(bytes + 4), operation = type & 1023;
	uint32_t client = type >> 10, sequence = get32(bytes + 8), request;
	uint64_t whole = digest(bytes, size, 0);
	const char *fault;

	if (size < NLMSG_HDRLEN || get32(bytes) != size || verdict == 1 || !(get16(bytes + 6) & NLM_F_REQUEST))
		return "a bad header";
	if (get32(bytes + 12) != host_port_id())
		return "a foreign port id";
	if (operation > HELLO || operation == REMOVE_MAPPING)
		return "an operation that the kernel does not take";
	if ((fault = fault_in_attributes(operation, bytes, size)))
		return fault;
	if (messages[sequence % 4096].sequence == sequence && messages[sequence % 4096].digest == whole)
		return NULL;
	messages[sequence % 4096].sequence = sequence;
	messages[sequence % 4096].digest = whole;
	if (judge_is_full())
		return NULL;
	if (operation == MAPINFO) {
		mapinfo_numbers++;
		asked(client, 0, MAPINFO, host_replay_count());
	}
	if (operation == HELLO || operation == MAPINFO || operation == REMOTE_INFO)
		return NULL;
	request = get32(bytes + NLMSG_HDRLEN + 4);
	if (operation == MAPINFO_NUM && request == 0)
		return NULL; /* of nothing, for its ACK alone */
	if (!is_known_code(operation == MAPINFO_NUM ? 0 : get16(bytes + size - 4), operation == HANDLE_ERR))
		return "an unknown code";
	if (operation != HANDLE_ERR) {
		struct count *kind = find(kernel_key(ASKED_OPERATION, client, request, operation));

		if (kind->answered >= kind->asked && operation == MAPINFO_NUM && mapinfo_numbers) {
			mapinfo_numbers--;
			return NULL;
		}
		if (kind->answered++ >= kind->asked)
			return kind->asked ? "one answer more than there were requests" : "an answer to what nobody asked";
	}
	struct count *all = find(kernel_key(ASKED, client, request, 0));
	return all->answered++ < all->asked ? NULL
		: all->asked ? "one answer more than there were requests"
		: "an answer to what nobody asked";
}

static void complain(const char *who, const char *fault, const uint8_t *bytes, size_t size)
{
	char text[2 * 600 + 1] = "";

	for (size_t i = 0; i < size && i < 600; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	fail("output: %s in a message to %s: %s", fault, who, text);
}

void judge_kernel(int verdict, const uint8_t *bytes, size_t size)
{
	const char *fault = fault_in_message(verdict, bytes, size);

	if (fault)
		complain("the kernel", fault, bytes, size);
}

/* ---- to peers ---- */

static const char *fault_in_peer_message(
	enum socket_name at, const struct sockaddr_in6 *from, const uint8_t *bytes, size_t size)
{
	int type = bytes[0] >> 4, family = bytes[0] & 15, address = family == 4 ? 4 : 16;
	bool v4 = from->sin6_family == AF_INET;

	if (size != (type ? 48 : 64) || type > 3 || family != (v4 ? 4 : 6) || bytes[1] || (type && get16(bytes + 2)))
		return "a bad header";
	for (int field = 16; field < (int)size; field += 16)
		for (int i = address; i < 16; i++)
			if (bytes[field + i])
				return "an address with something behind it";
	if (type == 0)
		return at == ANY4 || at == ANY6 ? "a Request to what is no port mapper" : get64(bytes + 8) ? NULL : "handle 0";
	if (judge_is_full())
		return NULL;
	struct count *count = find(peer_key(type == 2 ? ACCEPT_SENT : PEER_ASKED, bytes + 8, "", 0));
	return count->answered++ < count->asked ? NULL : type == 2 ? "an Ack without an Accept" : "more answers than Requests";
}

void judge_peer(enum socket_name at, const struct sockaddr_in6 *from, const uint8_t *bytes, size_t size)
{
	const char *fault = fault_in_peer_message(at, from, bytes, size);

	if (fault)
		complain("a peer", fault, bytes, size);
}

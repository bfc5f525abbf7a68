// SPDX-License-Identifier: MIT
/*
 * Sends Requests as fast as it can, each with a source, a handle and a connecting endpoint of its own, to UDP port
 * 3935 of a host; every other one asks for the endpoint that is given, the others for another port. Says how many
 * it sent and how long that took, in nanoseconds. Needs CAP_NET_RAW.
 *
 *   flood TARGET ASKED-ADDRESS ASKED-PORT COUNT SEED
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define BATCH 8
#define MAPPER_PORT 3935

struct request {
	struct iphdr ip;
	struct udphdr udp;
	uint8_t version_type_family, pm_time;
	uint16_t mapped_port, accepting_port, connecting_port;
	uint64_t handle;
	uint32_t connecting[4], accepting[4], mapped[4];
} __attribute__((packed));

static uint64_t state;

static uint64_t dice(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	return state ^= state << 17;
}

/* 11.0.0.0/8: nobody's. */
static uint32_t stranger(void) { return htonl(0x0b000000u | (uint32_t)(dice() >> 40)); }

static void fill(struct request *r, uint32_t target, uint32_t asked, uint16_t port)
{
	uint64_t noise = dice();

	memset(r, 0, sizeof *r);
	r->ip = (struct iphdr){ .version = 4,
		.ihl = 5,
		.ttl = 64,
		.protocol = IPPROTO_UDP,
		.tot_len = htons(sizeof *r),
		.saddr = stranger(),
		.daddr = target };
	r->udp = (struct udphdr){
		.source = htons(1024 + noise % 60000), .dest = htons(MAPPER_PORT), .len = htons(sizeof *r - sizeof r->ip)
	};
	r->version_type_family = 4;
	r->handle = dice();
	r->connecting[0] = r->mapped[0] = r->ip.saddr;
	r->connecting_port = r->mapped_port = htons(1024 + (noise >> 20) % 60000);
	r->accepting[0] = asked;
	r->accepting_port = noise >> 63 ? htons(port) : (uint16_t)(noise >> 40);
}

static long long nanoseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ll + now.tv_nsec;
}

int main(int count, char **words)
{
	static struct request requests[BATCH];
	struct mmsghdr messages[BATCH] = { 0 };
	struct iovec vectors[BATCH];
	struct sockaddr_in to = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	long long wanted, sent = 0, began = nanoseconds();
	struct in_addr asked;

	if (count != 6 || fd < 0 || inet_pton(AF_INET, words[1], &to.sin_addr) != 1 ||
		inet_pton(AF_INET, words[2], &asked) != 1) {
		fprintf(stderr, "flood: %s\n", fd < 0 ? strerror(errno) : "TARGET ASKED-ADDRESS ASKED-PORT COUNT SEED");
		return 1;
	}
	wanted = atoll(words[4]);
	state = strtoull(words[5], NULL, 0) | 1;
	for (int i = 0; i < BATCH; i++) {
		vectors[i] = (struct iovec){ &requests[i], sizeof requests[i] };
		messages[i].msg_hdr =
			(struct msghdr){ .msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &vectors[i], .msg_iovlen = 1 };
	}
	while (sent < wanted) {
		int n = wanted - sent < BATCH ? (int)(wanted - sent) : BATCH, done;

		for (int i = 0; i < n; i++)
			fill(&requests[i], to.sin_addr.s_addr, asked.s_addr, (uint16_t)atoi(words[3]));
		done = sendmmsg(fd, messages, n, 0);
		if (done < 0 && errno != ENOBUFS && errno != EINTR) {
			perror("flood: sendmmsg");
			return 1;
		}
		sent += done > 0 ? done : 0;
	}
	printf("%lld %lld\n", sent, nanoseconds() - began);
	return 0;
}

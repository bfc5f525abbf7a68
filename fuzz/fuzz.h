// SPDX-License-Identifier: MIT
/*
 * Black-box fuzzing of the native daemon: what the files here share. host.c: where the daemon runs; input.c: what is
 * sent; judge.c: what may come back; fuzz.c: the run.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define MAX_INPUT 12288        /* the daemon reads 8192: longer ones are cut off there */
#define CLIENT 2               /* RDMA_NL_IWCM */

enum operation {
	REG_PID, ADD_MAPPING, QUERY_MAPPING, REMOVE_MAPPING, REMOTE_INFO, HANDLE_ERR, MAPINFO, MAPINFO_NUM, HELLO
};

/* One input. The kinds, as they stand in a file of inputs:
 *   K  netlink from the kernel     F  netlink from another process, to = its port id
 *   U  UDP from socket `from`, source address by `address`, to destination `to`
 *   u  the same, in answer to a Request of the daemon: its handle is put in again at a replay
 *   C  UDP from a socket that is closed at once
 *   A  the kernel treats operation `to` as bytes say (simkernel.h), or all as it should
 *   R  bytes are what the kernel replays from now on
 *   O  the kernel drops a message     B  kernel ABI `to`     S  the daemon stops until its socket is full or '.'
 *   .  wait until all is served */
struct input {
	char kind;
	uint8_t from;
	uint32_t to, address;
	uint32_t size;
	uint8_t bytes[MAX_INPUT];
};

enum destination { V4_ANSWERING, V4_ASKING, V6_ANSWERING, V6_ASKING, V6_LINK_LOCAL, DESTINATIONS };
enum socket_name { PEER4_A, PEER4_B, ANY4, PEER6_A, PEER6_B, ANY6, SOCKETS };

/* fuzz.c */
double seconds(void);
uint64_t mix(uint64_t value);
void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
void submit(const struct input *input);

/* host.c */
struct measure { long rss, anonymous; int descriptors, threads; };
struct dumped { struct sockaddr_in6 local; int client, references; };
void host_start(const char *daemon, const char *preload, const char *fault);
void host_stop(void);
void host_send(const struct input *input);
void host_go_on(void);                              /* the daemon stands still no longer */
void host_drain(void);                              /* takes all that came, by way of on_kernel and on_peer */
void host_wait(int milliseconds);                   /* until something can be taken */
uint32_t host_sequence(void);
uint32_t host_port_id(void);
uint32_t host_replay_count(void);
struct measure host_measure(void);
/* how many mappings the daemon says it has; *rows holds those it showed, host_shown() of them */
int host_dump(struct dumped **rows);
int host_shown(void);
int host_held_port(void);                           /* a TCP port that is bound on the daemon's host, 0 if none is */
bool host_port_is_free(uint16_t port);
void host_print_log(FILE *to);
void host_print_state(const char *path);
void on_kernel(int verdict, const uint8_t *bytes, size_t size);
void on_peer(enum socket_name at, const struct sockaddr_in6 *from, const uint8_t *bytes,
	size_t size);

/* input.c */
struct random { uint64_t state; };
uint32_t below(struct random *random, uint32_t limit);
uint32_t read_hex(const char *text, uint8_t *bytes, uint32_t room);
void input_load(const char *corpus);
void input_make(struct input *input, uint64_t seed, uint64_t index);
void input_answer(struct random *random, enum socket_name at, const struct sockaddr_in6 *from, const uint8_t *bytes,
	size_t size);
void input_saw(const uint8_t *bytes, size_t size, uint32_t daemon_sequence);
size_t build_manage(uint8_t *at, enum operation operation, uint8_t client, const void *address, const uint32_t *flags);
size_t build_peer(uint8_t *at, int type, int family, uint64_t handle, const char *connecting,
	uint16_t connecting_port, const char *accepting, uint16_t accepting_port);

/* judge.c */
void judge_forget(void);                            /* nothing is outstanding: whatever still comes was not asked for */
bool judge_is_full(void);
void judge_sent(const struct input *input);
void judge_kernel(int verdict, const uint8_t *bytes, size_t size);
void judge_peer(enum socket_name at, const struct sockaddr_in6 *from, const uint8_t *bytes,
	size_t size);

static inline uint16_t get16(const uint8_t *at) { uint16_t v; __builtin_memcpy(&v, at, 2); return v; }
static inline uint32_t get32(const uint8_t *at) { uint32_t v; __builtin_memcpy(&v, at, 4); return v; }
static inline uint64_t get64(const uint8_t *at) { uint64_t v; __builtin_memcpy(&v, at, 8); return v; }
static inline void put16(uint8_t *at, uint16_t v) { __builtin_memcpy(at, &v, 2); }
static inline void put32(uint8_t *at, uint32_t v) { __builtin_memcpy(at, &v, 4); }
static inline void put64(uint8_t *at, uint64_t v) { __builtin_memcpy(at, &v, 8); }

#endif

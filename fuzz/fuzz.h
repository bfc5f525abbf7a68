// SPDX-License-Identifier: MIT
/*
 * Black-box fuzzing of the native daemon: what the files here share. host.c: where the daemon runs; input.c: what is
 * sent; judge.c: what may come back; endpoints.c: what the kernel has; lives.c: the episodes; fuzz.c: the run.
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
#define MAPPINGS 4096          /* fewer ports than descriptors, these fewer than mappings: each can run out */
#define LOWEST_PORT 20000
#define HIGHEST_PORT 21599
#define MAX_FDS 253            /* SCM_MAX_FD */
#define STORED 64
#define EPISODES 2             /* kinds of them */
#define ANSWER_TIME 10.0       /* s: as long as a kernel waits */
#define AUDIT_TIME 5.0         /* s */

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
 *   N  what the kernel says of devices is true or one of the lies of number `to`
 *   H  a peer of the hand-over socket says bytes and does `to`, see host.c
 *   E  an episode: audits or lives by `to`, with bytes as its seed
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
/* The same, but it stands still while the daemon or this process waits for a processor: a slow machine is no fault. */
double patience(void);
uint64_t mix(uint64_t value);
void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
void submit(const struct input *input);
bool has_failed(void);
void calm(void);
bool fence(void);
void remove_all(void);
/* Time passes on the daemon's host; when this returns it has woken up and has nothing to do any more. */
void pass(uint64_t milliseconds);

/* host.c */
struct measure { long rss, anonymous; int descriptors, threads; };
struct dumped { struct sockaddr_in6 local; int client, references; uint16_t mapped_port; };
void host_start(const char *daemon, const char *preload, const char *fault);
void host_stop(void);
void host_send(const struct input *input);
void host_go_on(void);                              /* the daemon stands still no longer */
void host_advance(uint64_t milliseconds);
void host_set_replay(const uint8_t *bytes, size_t size);
bool host_is_auditing(void);                        /* a socket is open that asked about devices */
bool host_is_asked(void);                           /* the kernel has a port mapper */
void host_say(uint32_t source, const uint8_t *bytes, size_t size); /* to the socket that asked last */
void host_say_lost(void);                           /* what was said there was too much */
void host_dismiss(void);                            /* the silent peer of the hand-over: it may have ports */
bool host_send_fds(int to, const void *text, size_t size, const int *fds, int count);
void host_configure(int max_mappings);
const char *host_folder(void);
void host_launch(const char *option, const int *fds, int count);
int host_take_stored(int *fds);
void host_let_end(void);
void host_signal(int number);
void host_kill_next(void);
bool host_is_ready(void);
bool host_runs(void);
bool host_has_next(void);
void host_settle(void);
void host_drain(void);                              /* takes all that came, by way of on_kernel and on_peer */
void host_wait(int milliseconds);                   /* until something can be taken */
uint32_t host_sequence(void);
uint32_t host_port_id(void);
uint32_t host_replay_count(void);
struct measure host_measure(void);
/* Without what is open for a moment, as in an audit: waits for so many descriptors, or any number with 0. */
struct measure host_measure_at_rest(int descriptors);
double host_waited(void);                           /* s: by the daemon and this process, for a processor */
/* how many mappings the daemon says it has; *rows holds those it showed, host_shown() of them */
int host_dump(struct dumped **rows);
int host_shown(void);
int host_held(int from, int to);                    /* the first TCP port that is bound on the daemon's host, or 0 */
int host_open_there(int family, int type, const struct sockaddr *address, socklen_t length);
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

uint8_t *begin(uint8_t *at, uint16_t type, uint16_t flags, uint32_t sequence);
uint8_t *attribute(uint8_t *at, uint16_t type, const void *value, uint16_t size);
size_t finish(uint8_t *start, uint8_t *end);
size_t mutate(struct random *random, uint8_t *bytes, size_t size, bool is_netlink);

/* endpoints.c */
void endpoints_lie(uint32_t number);
void endpoints_asked(const uint8_t *question, size_t size);
void endpoints_audited(void);
void endpoints_heard(const uint8_t *bytes, size_t size);
void endpoints_change(struct random *random, uint32_t more, uint32_t fewer, bool is_told);
bool endpoints_await(void);
void endpoints_give_up(void);
void endpoints_end(void);
uint16_t endpoints_port(uint32_t number);
void endpoints_audit(uint32_t number);
void endpoints_check(void);
void endpoints_check_ports(void);
void endpoints_begin(void);
void endpoints_settle(void);
bool endpoints_met(enum socket_name at, const struct sockaddr_in6 *from, const uint8_t *bytes, size_t size);

/* lives.c */
void episode(const struct input *input);

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

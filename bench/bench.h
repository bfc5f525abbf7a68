// SPDX-License-Identifier: MIT
/* Side-by-side measurements of port mapper daemons; README.md says what is measured and how. */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

enum program { OURS, THEIRS, REFERENCE, FLOOR, PROGRAMS };

#define CLIENT 2              /* iw_cm */
#define NO_PORT_MAP 1u
#define JOB_HOSTS 10000       /* that connect when a job starts */

/* One running daemon in a network namespace of its own, and what is needed to be its kernel and its peers. */
struct subject {
	enum program program;
	int number;                /* of the cable; 10.9.NUMBER.1 is the daemon's end, .2 ours */
	pid_t child, pid;          /* what was started, and what opened the netlink socket: the same unless it detached */
	char folder[64];
	struct simkernel *kernel;
	struct simsocket *page;
	int listener, player, kernel_end, peer, answering;
	clockid_t clock;
	double hello, ready;       /* seconds from exec to HELLO, to the end of its handshake */
	int size;                  /* mappings it has */
	uint64_t handle;
};

enum way { FOREGROUND, DETACHED };

struct options {
	enum way way;
	const char *ports;         /* "LOW HIGH" of the host's range */
	int max_mappings;
	int replay;                /* mappings that the kernel replays, and with which flags */
	uint32_t replay_flags;
	int first_mapping;         /* the replay's first one */
	bool keep_state;           /* of the subject that was here before */
	bool bounded;              /* by the daemon's own bounds on what it serves */
};

/* What was seen of one load. Times are microseconds; the rate is operations a second. */
struct figure { double rate, median, p99, cpu, generator; };

/* subject.c */
extern const char *const program_names[PROGRAMS];
extern const char *program_paths[PROGRAMS];
_Noreturn void die(const char *format, ...);
double seconds(clockid_t clock);
void subject_start(struct subject *s, enum program program, const struct options *options);
void accept_socket(struct subject *s);
double subject_stop(struct subject *s, int signal); /* seconds until it had ended */
void settle(struct subject *s);
double cpu(const struct subject *s);
void subject_memory(const struct subject *s, double *rss, double *pss);

/* load.c */
void tell(struct subject *s, const void *message, size_t size);
uint32_t hear(struct subject *s, int *operation, int *error);
void register_client(struct subject *s);
size_t put_mapping(uint8_t *to, struct subject *s, int operation, int index, uint32_t flags);
void fill(struct subject *s, int size, uint32_t flags);
typedef struct figure load(struct subject *s, int count, int window, uint32_t flags);
load load_adds, load_churn, load_requests, load_rejects, load_queries;
double job_start(struct subject *s, int count, int listeners, int window, double *p99);
pid_t load_without_end(struct subject *s, int window);
struct figure adds_beside(struct subject *s, pid_t flood, int *asked, int *answered);

/* report.c */
enum unit { LOAD, MILLISECONDS, MEGABYTES, BYTES, INSTRUCTIONS, QUOTIENT, PERCENT };
struct row {
	const char *group;
	char name[80];
	const char *key;           /* of the rows that a curve or a target is about */
	int size;
	enum unit unit;
	bool has[PROGRAMS];
	struct figure seen[PROGRAMS]; /* cpu is the value of what is not a load */
};
struct row *add_row(const char *group, const char *key, int size, enum unit unit, const char *format, ...);
double median_of(double *values, int count);
void print_header(void);
void print_row(const struct row *row);
void read_counts(const char *folder);
void write_report(const char *folder, int rounds, double took);

#endif
